"""A base distribution seen through invertible layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .distribution import Distribution, LogDensity, clear_overflow, near, set_aside_infinite
from .memory import Memory
from .substituted import substituted
from .term import Hooked, refined, starting
from .transform import Chain, Transform, copies, zeros

STARTING = 4096  # rows that the base's nets start from, at most


class Flow(Distribution):
    r"""A density given by a base and a chain of layers: ``log p(x) = log p_base(f(x)) + log|det df/dx|``.

    ``f`` is the chain, from data x to latent z. The flow is a model (an ``nn.Module`` whose forward is the log density)
    and a distribution. Shapes are checked once at construction, on the meta device, without arithmetic.

    Cost: one pass through the layers for ``log_prob``, one inverse pass for ``sample``.
    ``kind`` says whether ``log_prob`` is exact, a lower bound or an unbiased estimate.

    Reference: Normalizing Flows for Probabilistic Modeling and Inference, Papamakarios, Nalisnick, Rezende, Mohamed,
    Lakshminarayanan, 2019, arXiv:1912.02762.

    Arguments:
        base: the distribution of z.
        transforms: the layers, from data to latent.
        shape: the event on the data side, if it is not the base's.
        context: the shape of one raw context (an int for a vector).
        embed: a net that turns raw contexts into what the layers see; evaluated once per context.
        memory: what the layers keep for the gradient, ``"full"``, ``"constant"`` or ``"checkpoint"``; see :class:`Chain`.

    Raises:
        ValueError: a layer can't take what comes to it (the layer is named), or a context is missing.

    Example::

        >>> flow = Flow(Normal((2,)), Elementwise(Affine(), (2,)))
        >>> flow.log_prob(torch.randn(8, 2)).shape, flow.sample((5,)).shape
        (torch.Size([8]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        base: Distribution,
        *transforms: Transform,
        shape: Sequence[int] | None = None,
        context: int | Sequence[int] | None = None,
        embed: nn.Module | None = None,
        memory: Memory = "full",
    ):
        if not isinstance(base, Distribution):
            remedy = "wrap it in FromTorch" if isinstance(base, torch.distributions.Distribution) else "give one, such as Normal((2,))"
            raise ValueError(f"Flow: expected a distribution of this library as base, got {type(base).__name__}; {remedy}")
        for i, layer in enumerate(transforms):
            if not isinstance(layer, Transform):
                remedy = "a net stands within a layer, as Coupling(mask, Affine(), net)" if isinstance(layer, nn.Module) else "give layers"
                raise ValueError(f"Flow: expected layer {i} to be a Transform, got {type(layer).__name__}; {remedy}")
        super().__init__(base.shape if shape is None else shape, context)
        self.base = base
        self.transform = Chain(*transforms, memory=memory)
        self.embed = embed
        self._check_layers()

    def log_prob(self, x: Tensor, context: Tensor | None = None, samples: int = 1) -> Tensor:
        """Log density in nats, ``(B, *shape) -> (B,)``.

        ``samples=K`` averages K passes: log-mean-exp for a bound (the importance-weighted bound), mean for an estimate.
        A model that is both is refused, since log-mean-exp over unbiased noise overstates. An exact one needs no second pass.
        At infinity it is ``-inf``, and where numbers overflow on the way from beyond 1e9; of a NaN, NaN.
        """
        self.check(x, context)
        context = None if context is None else self.embedding(context)
        x, infinite = (x, None) if near(x) else set_aside_infinite(x)
        if samples == 1 or self.kind == "exact":
            log_prob = self._log_prob(x, context)
        elif self.stochastic_forward and self.estimate:
            raise ValueError("Flow: samples > 1 is undefined for a model that is both a bound and an estimate")
        else:
            terms = self._draws(x, context, samples).unflatten(0, (samples, x.shape[0]))
            log_prob = terms.logsumexp(0) - math.log(samples) if self.stochastic_forward else terms.mean(0)
        return log_prob if infinite is None else clear_overflow(log_prob, x).masked_fill(infinite, -torch.inf)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, ldj = self.transform(x, context)
        return self.base.log_prob(z, self.base.seen(context)) + ldj

    def _draws(self, x: Tensor, context: Tensor | None, samples: int) -> Tensor:
        """:meth:`_log_prob` of copies of x, ``(samples * B,)``: what comes before the first random layer is done once."""
        layers = list(self.transform.transforms)
        at = next((i for i, layer in enumerate(layers) if layer.stochastic_forward or layer.estimate), len(layers))
        before, rest = Chain(*layers[:at], memory=self.transform.memory), Chain(*layers[at + 1 :], memory=self.transform.memory)
        x, ldj = before(x, context)
        x, step = layers[at].draws(x, context, samples) if at < len(layers) else (copies(x, samples), zeros(copies(x, samples)))
        context = None if context is None else copies(context, samples)
        z, last = rest(x, context)
        return self.base.log_prob(z, self.base.seen(context)) + copies(ldj, samples) + step + last

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_prob = self._draw_base(rows, context)
        x, ldj = self.transform.inverse(z, context)
        return x, log_prob - ldj

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        return self.transform.decode(self.base.center(rows, self.base.seen(context)), context)

    def draw_and_kl(self, prior: LogDensity, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.transform.transforms:
            return super().draw_and_kl(prior, rows, context)
        return self.base.draw_and_kl(prior, rows, self.base.seen(context))

    def _sample_rows(self, rows: int, context: Tensor | None) -> Tensor:
        z = self.base.sample((rows,)) if self.base.context_shape is None else self.base.sample((), context)
        return self.transform.generate(z, context)

    def _draw_base(self, rows: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.base.context_shape is None:
            return self.base.sample_and_log_prob((rows,))
        return self.base.sample_and_log_prob((), context)

    def embedding(self, context: Tensor) -> Tensor:
        return context if self.embed is None else self.embed(context)

    def check(self, x: Tensor, context: Tensor | None) -> None:
        """As :meth:`Distribution.check`, and raise ValueError for a dtype that the nets can't take."""
        super().check(x, context)
        if x.dtype != self._held(x) and not any(layer.takes for layer in self.transform.modules() if isinstance(layer, Transform)):
            self._check_dtype("x", x)
        if context is not None and context.is_floating_point() and self.embed is None:
            self._check_dtype("context", context)

    def _check_dtype(self, what: str, x: Tensor) -> None:
        held = self._held(x)
        if x.dtype != held and not torch.is_autocast_enabled(x.device.type):
            ours, its = str(held).removeprefix("torch."), str(x.dtype).removeprefix("torch.")
            raise ValueError(f"Flow: {what} is {its} but the parameters are {ours}; give {what}.to({held}), or use flow.to({x.dtype})")

    def _held(self, x: Tensor) -> torch.dtype:
        """The dtype of the layers' parameters; without any, that of x."""
        return next((p.dtype for p in self.transform.parameters() if p.is_floating_point()), x.dtype)

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        context = None if context is None else self.embedding(context)
        rising = self._rising(x, context)
        below = self.base.cdf(self.transform.encode(x, context), self.base.seen(context)).flatten()
        return torch.where(rising, below, 1 - below)

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        context = None if context is None else self.embedding(context)
        level = q.flatten()
        z = self.base.icdf(torch.where(self._rising(q, context), level, 1 - level), self.base.seen(context))
        return self.transform.decode(z.to(self._held(z)), context)

    @torch.no_grad()
    def _rising(self, like: Tensor, context: Tensor | None) -> Tensor:
        """Whether x rises with z, one number each, for each row: ``(B,)``; seen at nine quantiles of the base."""
        if not (self.transform.bijective and self.kind == "exact"):
            raise ValueError("Flow: layers that are random have no distribution function; take the share of draws from sample")
        rows = 1 if context is None else len(context)
        steps = []
        for level in torch.linspace(0.1, 0.9, 9, dtype=like.dtype, device=like.device):
            z = self.base.icdf(level.expand(rows), self.base.seen(context))
            steps.append(self.transform.decode(z.to(self._held(z)), context).flatten())
        ups = (torch.stack(steps).diff(dim=0) > 0).sum(0)
        if not bool(((ups == 0) | (ups == 8)).all()):
            raise ValueError("Flow: its layers are not monotone here, so that it has no distribution function; take draws from sample")
        return ups == 8

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The latent of x, ``(B, *shape) -> (B, *base.shape)``."""
        self.check(x, context)
        return self.transform.encode(x, context if context is None else self.embedding(context))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The data of a latent, ``(B, *base.shape) -> (B, *shape)``."""
        self._check_rows("z", z, self.base.shape)
        self._check_context(z.shape[0], context)
        self._check_dtype("z", z)
        return self.transform.decode(z, context if context is None else self.embedding(context))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Data-dependent start of all that has one, layers, nets and the base, from a batch of data."""
        self.check(x, context)
        with starting(self):
            context = None if context is None else self.embedding(context)
            self.transform.initialize(x, context)
            z = self.transform(x, context)[0]
            self.base.initialize(z, self.base.seen(context))
            some = slice(0, STARTING)
            self.base.log_prob(z[some], self.base.seen(None if context is None else context[some]))  # which its nets wait for

    def refresh(self) -> None:
        """Bring derived state up to date wherever there is any; ``fit`` calls it before each step."""
        refresh(self)

    def prepend(
        self,
        *transforms: Transform,
        shape: Sequence[int] | None = None,
        context: int | Sequence[int] | None = None,
        embed: nn.Module | None = None,
    ) -> Flow:
        """The same model behind further layers on the data side (preprocessing); layers and parameters are shared."""
        if self.embed is not None and embed is not None:
            embed = nn.Sequential(embed, self.embed)
        return Flow(
            self.base,
            *transforms,
            *self.transform.transforms,
            shape=self.shape if shape is None else shape,
            context=self.context_shape if context is None else context,
            embed=embed or self.embed,
            memory=self.transform.memory,
        )

    def _check_layers(self) -> None:
        """Walk two imaginary rows through the layers, so that a misfit is found now and named."""
        x = torch.empty(2, *self.shape, device="meta")
        context = None if self.context_shape is None else torch.empty(2, *self.context_shape, device="meta")
        if context is not None and self.embed is not None:
            context = _on_meta(self.embed, "embed", context)
        for i, layer in enumerate(self.transform.transforms):
            x, _ = _on_meta(layer, f"layer {i}", x, context)
        if x.shape[1:] != self.base.shape:
            raise ValueError(f"Flow: the layers give events of shape {tuple(x.shape[1:])} but the base has {tuple(self.base.shape)}")
        _on_meta(self.base, "base", x, self.base.seen(context))


def refresh(model: nn.Module) -> None:
    """Bring derived state up to date wherever there is any in the model, whether it is a flow or holds some."""
    for part in with_derived_state(model):
        part.refresh()


def with_derived_state(model: nn.Module) -> list[Hooked]:
    """Its parts that have derived state."""
    hooked = (module for module in model.modules() if isinstance(module, Hooked) and not isinstance(module, Flow))
    return [module for module in hooked if type(module).refresh is not Hooked.refresh]


def _on_meta(module: nn.Module, where: str, *inputs: Tensor | None):
    """The module's forward with all tensors on the meta device: shapes only."""
    try:
        with torch.no_grad(), refined(module, 0):
            return substituted(module, lambda tensor: tensor.to("meta"), *inputs, buffers=True)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        shapes = " and context ".join(str(tuple(t.shape)) for t in inputs if t is not None)
        raise ValueError(f"Flow: {where} ({type(module).__name__}) cannot take x {shapes}: {error}") from error
