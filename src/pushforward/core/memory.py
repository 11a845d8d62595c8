"""Gradients through a chain whose activations are not kept: they are found again by inversion, or from each step's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from .transform import Transform

Memory = Literal["full", "constant", "checkpoint"]
Part = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]

AGREE = 0.02  # how well a step that drew random numbers must give its output again, relative: bfloat16 keeps under three digits


def parts(steps: Sequence[Transform], normal: Sequence[bool], memory: Memory, inverse: bool) -> Iterator[Part]:
    """The steps in the order of computation, grouped into what autograd sees as one.

    Arguments:
        steps: in the order data to latent.
        normal: which of them are differentiated in the normal way, since they save memory themselves.
        memory: ``"constant"`` (maximal runs of bijective steps become one :class:`Replay`) or ``"checkpoint"`` (each step by itself).
        inverse: whether from latent to data.
    """

    def kind(pair: tuple[Transform, bool]) -> Memory:
        step, plain = pair
        return "full" if plain or (memory == "constant" and (step.estimate or not step.bijective)) else memory

    pairs = list(zip(steps, normal))
    for found, run in groupby(reversed(pairs) if inverse else pairs, key=kind):
        members = [step for step, _ in run]
        if found == "constant":
            yield partial(_replay, members, inverse)
            continue
        for step in members:
            way: Part = step.inverse if inverse else step
            yield way if found == "full" else partial(checkpoint, way, use_reentrant=False)


def _replay(steps: Sequence[Transform], inverse: bool, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Show autograd all that a run depends on: x, context, and every parameter once."""
    places: dict[Tensor, int] = {}
    names = [
        {  # by module, so that a shared module comes once and a shared parameter under each of its names
            f"step.{name}.{short}" if name else f"step.{short}": places.setdefault(p, len(places))
            for name, module in step.named_modules()
            for short, p in module.named_parameters(recurse=False)
        }
        for step in steps
    ]
    return Replay.apply(steps, names, inverse, x, context, *places)  # type: ignore[no-any-return]


class Replay(torch.autograd.Function):
    """A run of bijective steps that keeps its input and output only; backward walks back from the output.

    There each step is undone for the value of what entered it, then run again with gradient: one more pass in each direction. Both
    use the parameters, the autocast state and the random numbers of forward. Errors of the inverse add up over a run, so the first
    step takes the input itself.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        steps: Sequence[Transform],
        names: Sequence[dict[str, int]],
        inverse: bool,
        x: Tensor,
        context: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.steps, ctx.names, ctx.inverse, ctx.autocast = steps, names, inverse, _autocast(x)
        ctx.draws = []
        z, ldj = x, x.new_zeros(x.shape[0], dtype=torch.promote_types(x.dtype, torch.float32))
        with ctx.autocast():
            for step in steps:
                before = _random_state(x)
                z, part = step.inverse(z, context) if inverse else step(z, context)
                ldj = ldj + part
                drew = not all(torch.equal(a, b) for a, b in zip(before, _random_state(x)))
                ctx.draws.append(before if drew else None)
        ctx.save_for_backward(x, z, context, *parameters)
        return z, ldj

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_ldj: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():  # torch's once_differentiable would not see what depends on x or parameters alone
            raise RuntimeError("Chain: memory='constant' has no second derivative (create_graph=True); use memory='full' or 'checkpoint'")
        x, z, context, *parameters = ctx.saved_tensors
        needs_x, needs_context, *needs = ctx.needs_input_grad[3:]
        leaves = [p.detach().requires_grad_(need) for p, need in zip(parameters, needs)]
        context = None if context is None else context.detach().requires_grad_(needs_context)
        learns = [needs_x or needs_context or any(needs[i] for i in names.values()) for names in ctx.names]
        first = learns.index(True)  # nothing before it wants a gradient
        found: dict[Tensor, Tensor] = {}
        generators = [x.device] if x.is_cuda and any(ctx.draws) else []
        with torch.random.fork_rng(generators, enabled=any(ctx.draws)):
            for i in reversed(range(first, len(ctx.steps))):
                given = {name: leaves[place] for name, place in ctx.names[i].items()}
                wanted = [leaf for leaf in {*given.values()} if leaf.requires_grad] + [context] * needs_context
                with ctx.autocast(), torch.no_grad():
                    _restore(x, ctx.draws[i])
                    entered = x if i == 0 else _call(_Undo(ctx.steps[i]), given, z, context, ctx.inverse)
                entered = entered.detach().requires_grad_()
                with ctx.autocast(), torch.enable_grad():
                    _restore(x, ctx.draws[i])
                    outputs = _call(_Do(ctx.steps[i]), given, entered, context, ctx.inverse)
                if ctx.draws[i] is not None:
                    _check_agrees(ctx.steps[i], outputs[0].detach(), z)
                grad, *slopes = _gradients(outputs, (grad, grad_ldj), [entered, *wanted])
                del outputs
                for leaf, slope in zip(wanted, slopes):
                    found[leaf] = found[leaf] + slope if leaf in found else slope
                z = entered.detach()
        return None, None, None, grad if needs_x else None, None if context is None else found.get(context), *map(found.get, leaves)


class _Do(nn.Module):
    """Either direction of a step, as the forward of a module: what functional_call can call."""

    def __init__(self, step: Transform):
        super().__init__()
        self.step = step

    def forward(self, x: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        return self.step.inverse(x, context) if inverse else self.step(x, context)


class _Undo(nn.Module):
    """What entered a step, from what left it; only the value."""

    def __init__(self, step: Transform):
        super().__init__()
        self.step = step

    def forward(self, z: Tensor, context: Tensor | None, inverse: bool) -> Tensor:
        return self.step.encode(z, context) if inverse else self.step.decode(z, context)


def _call(module: nn.Module, parameters: dict[str, Tensor], *arguments: Any) -> Any:
    """The module with other parameters. Ties are known by name already; torch's own search for them leaves shared modules changed."""
    return functional_call(module, parameters, arguments, tie_weights=False)


def _gradients(outputs: Sequence[Tensor], grads: Sequence[Tensor], leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    """The gradients with respect to the leaves; zero where nothing depends on one."""
    pairs = [(out, grad.to(out.dtype)) for out, grad in zip(outputs, grads) if out.requires_grad]
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad([out for out, _ in pairs], leaves, [grad for _, grad in pairs], allow_unused=True, materialize_grads=True)


def _autocast(x: Tensor) -> Callable[[], Any]:
    """The autocast state of now, to enter again. Without its cache: that holds casts made without gradient, for use with one."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return lambda: torch.autocast(kind, dtype, enabled, cache_enabled=False)


def _random_state(x: Tensor) -> list[Tensor]:
    """Of the generators that a step on x's device may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(x.device)] if x.is_cuda else [])]


def _restore(x: Tensor, state: list[Tensor] | None) -> None:
    if state is not None:
        torch.set_rng_state(state[0])
        if x.is_cuda:
            torch.cuda.set_rng_state(state[1], x.device)


def _check_agrees(step: Transform, again: Tensor, z: Tensor) -> None:
    """Undone with the same random numbers, a net with dropout gives the same z; unless the inverse calls it in another way."""
    if not (again - z).abs().max() <= AGREE * z.abs().max():
        raise ValueError(
            f"Chain: memory='constant' found another z than forward had, in a {type(step).__name__} that draws random numbers (dropout?) "
            "otherwise on its way back; use memory='checkpoint', or no dropout"
        )
