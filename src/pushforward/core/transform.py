"""The contract of every layer, and the two ways to combine layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .memory import Memory, Part, parts
from .term import Term, terms


class Transform(Term):
    r"""A layer between data x and latent z that knows its contribution to the log-likelihood.

    ``log p(x) = log p(z) + ldj``. For a bijection ``ldj = log|det dz/dx|``. A layer may also be a surjection or
    stochastic (dequantization, slicing, a VAE): it is the same kind of thing with another ``ldj``.

    Shapes: axis 0 is the batch, axis 1 the features or channels, the rest space; ``ldj`` is ``(B,)``.
    ``context`` has one row per row of x, and is ignored where it is not used.

    Three facts describe the likelihood: ``stochastic_forward`` (x -> z is random), ``stochastic_inverse`` (z -> x is
    random), ``estimate`` (ldj is noisy but unbiased). They are those of the layers within, unless a layer says otherwise.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731.
    """

    takes: torch.dtype | None = None  # the dtype of rows that a model with this layer asks for
    run: RunLayers | None = None  # of layers that can be computed several at once: the function that does it
    entries: tuple[str, ...] = ("inverse", "draws")  # methods by which objectives enter it, beside a call: FSDP gathers its weights there

    @property
    def stochastic_inverse(self) -> bool:
        """z -> x is random."""
        return any(term.stochastic_inverse for term in terms(self) if isinstance(term, Transform))

    @property
    def bijective(self) -> bool:
        """Neither direction is random."""
        return not (self.stochastic_forward or self.stochastic_inverse)

    @property
    def exact(self) -> bool:
        """``log p(z) + ldj`` is the log-likelihood itself, neither a bound nor a noisy estimate."""
        return not (self.stochastic_forward or self.estimate)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data to latent: ``(z, ldj)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latent to data: ``(x, ldj)`` with the contribution of this direction (minus that of forward)."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse")

    def draws(self, x: Tensor, context: Tensor | None, samples: int) -> tuple[Tensor, Tensor]:
        """:meth:`forward` of ``samples`` copies of x, one copy of all rows after the other; what x alone decides is done once."""
        return self.forward(copies(x, samples), None if context is None else copies(context, samples))

    def through(self, call: Call, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """:meth:`forward` with ``call(layer, x, context)`` in place of ``layer(x, context)`` for the layers right within a container:
        how an objective asks more of some layers. A layer that holds none for it is called as always.
        """
        return self(x, context)  # type: ignore[no-any-return]

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """z of x, deterministic where the layer has a natural choice and cheap where only ldj is dear."""
        return self.forward(x, context)[0]

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """x of z, as :meth:`encode`."""
        return self.inverse(z, context)[0]

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """x of z as samples are made: drawn where z -> x is random, without the log-density of what was drawn, else :meth:`decode`."""
        return self.inverse(z, context)[0] if self.stochastic_inverse else self.decode(z, context)

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Data-dependent start from one batch that enters ``forward`` (``inverse`` if so asked)."""


Call = Callable[[Transform, Tensor, Tensor | None], tuple[Tensor, Tensor]]
RunLayers = Callable[[Sequence[Transform], bool, Tensor, Tensor | None], tuple[Tensor, Tensor]]  # (layers, inverse, x, context)


class Chain(Transform):
    """Layers one after the other, in the order data -> latent; ldj is the sum of theirs.

    ``memory`` says what forward and inverse keep for their gradient. ``"full"``: every activation. ``"constant"``: input and
    output of each run of bijective layers, and of one layer at a time all that is inside; backward finds the activations again by
    inversion, so that memory does not grow with the number of layers, at the cost of one more pass in each direction. Gradients are
    the same up to the error of the inverse, and there is no second derivative. ``"checkpoint"``: the input of each layer, for
    layers that have no cheap inverse; one more forward pass. Layers that are random or hold a chain with a ``memory`` of its own
    are differentiated in the normal way between the runs.

    Reference of ``"constant"``: The Reversible Residual Network, Gomez, Ren, Urtasun, Grosse, 2017, arXiv:1707.04585; for flows
    Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039.

    Raises:
        ValueError: another ``memory``; or in backward, a layer with dropout that is not undone by the same calls of its net.

    Example::

        >>> chain = Chain(Permute([1, 0]), Elementwise(Affine(), (2,)))
        >>> z, ldj = chain(torch.randn(8, 2))
        >>> z.shape, ldj.shape
        (torch.Size([8, 2]), torch.Size([8]))
    """

    transforms: Sequence[Transform]

    def __init__(self, *transforms: Transform, memory: Memory = "full"):
        super().__init__()
        if memory not in get_args(Memory):
            raise ValueError(f"Chain: expected memory 'full', 'constant' or 'checkpoint', got {memory!r}")
        self.transforms = nn.ModuleList(transforms)  # type: ignore[assignment]
        self.memory = memory
        self._sparing = [any(isinstance(m, Chain) and m.memory != "full" for m in t.modules()) for t in transforms]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ldj = zeros(x)
        for part in self._parts(x, inverse=False):
            x, step = part(x, context)
            ldj = ldj + step
        return x, ldj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ldj = zeros(z)
        for part in self._parts(z, inverse=True):
            z, step = part(z, context)
            ldj = ldj + step
        return z, ldj

    def through(self, call: Call, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`; where ``memory`` is "constant" activations are kept."""
        ldj = zeros(x)
        for transform in self.transforms:
            once: Part = partial(call, transform)
            x, step = checkpoint(once, x, context, use_reentrant=False) if self.memory == "checkpoint" else once(x, context)
            ldj = ldj + step
        return x, ldj

    def _parts(self, x: Tensor, inverse: bool) -> Iterable[Part]:
        """What to call one after the other: the layers, or groups of them that save memory."""
        if self.memory != "full" and torch.is_grad_enabled():
            return parts(self.transforms, self._sparing, self.memory, inverse)
        return (run or (layer.inverse if inverse else layer) for run, layer in self._runs(x, inverse))

    def _runs(self, x: Tensor, inverse: bool) -> Iterator[tuple[Part | None, Transform]]:
        """In the order of computation: each run of layers of vectors that are computed at once, or a layer by itself."""
        layers = list(self.transforms)[:: -1 if inverse else 1]
        if x.dim() != 2 or torch.compiler.is_compiling():  # a graph has its layers one by one
            yield from ((None, layer) for layer in layers)
            return
        for run, members in groupby(layers, key=lambda layer: layer.run):
            if run is None:
                yield from ((None, layer) for layer in members)
            else:
                yield partial(run, list(members), inverse), layers[0]

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._in_turn("encode", x, context, inverse=False)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._in_turn("decode", z, context, inverse=True)

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._in_turn("generate", z, context, inverse=True)

    def _in_turn(self, way: str, x: Tensor, context: Tensor | None, inverse: bool) -> Tensor:
        for run, layer in self._runs(x, inverse):
            x = run(x, context)[0] if run else getattr(layer, way)(x, context)
        return x

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        for transform in reversed(self.transforms) if inverse else self.transforms:
            transform.initialize(x, context, inverse)
            x, _ = transform.inverse(x, context) if inverse else transform(x, context)

    def extra_repr(self) -> str:
        return "" if self.memory == "full" else f"memory={self.memory}"


class Inverse(Transform):
    """A layer run the other way: its forward is the layer's inverse (an IAF is an inverted MAF)."""

    def __init__(self, transform: Transform):
        super().__init__()
        self.transform = transform

    @property
    def stochastic_forward(self) -> bool:
        return self.transform.stochastic_inverse

    @property
    def stochastic_inverse(self) -> bool:
        return self.transform.stochastic_forward

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform(z, context)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.transform.decode(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.transform.encode(z, context)

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        self.transform.initialize(x, context, not inverse)


def zeros(x: Tensor) -> Tensor:
    """A log-det of zero for each row, in float32 or better: ``(B, ...) -> (B,)``."""
    return x.new_zeros(x.shape[0], dtype=torch.promote_types(x.dtype, torch.float32))


def copies(x: Tensor, samples: int) -> Tensor:
    """``samples`` copies of all rows, one after the other: ``(B, ...) -> (samples * B, ...)``."""
    return x.repeat(samples, *(1 for _ in x.shape[1:]))


def sum_event(x: Tensor) -> Tensor:
    """Sum over all but the batch axis, in float32 or better: ``(B, ...) -> (B,)``."""
    return x.flatten(1).sum(1, dtype=torch.promote_types(x.dtype, torch.float32))


def join(x: Tensor, context: Tensor | None) -> Tensor:
    """Data and context side by side on axis 1, the one way they are put together.

    ``x`` is ``(B, C, *space)``. A vector context ``(B, K)`` is broadcast over space; a map ``(B, K, *other)`` is brought to
    the resolution of x by average pooling or by repetition. Returns ``(B, C + K, *space)``.
    """
    if context is None:
        return x
    if context.shape[0] != x.shape[0]:
        raise ValueError(f"join: context has {context.shape[0]} rows but x has {x.shape[0]}; give one context row per row of x")
    space = x.shape[2:]
    if context.dim() == 2:
        context = context.reshape(*context.shape, *(1 for _ in space)).expand(*context.shape, *space)
    elif context.shape[2:] != space:
        pools: dict[int, Callable[..., Tensor]] = {1: nn.functional.adaptive_avg_pool1d, 2: nn.functional.adaptive_avg_pool2d}
        pool = pools.get(len(space))
        if pool is None or context.dim() != x.dim():
            raise ValueError(f"join: context {tuple(context.shape)} does not fit x {tuple(x.shape)}; give (B, K) or (B, K, *space)")
        context = pool(context, tuple(space))
    return torch.cat([x, context.to(x.dtype)], 1)
