"""Nets that bring points closer together: the contract, and that of vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import refresh
from ..words import check_counts
from .lipswish import CLipSwish, LipSwish, Sine
from .prefix import transformed
from .spectral import SpectralLinear, SpectralMap

Pull = Callable[[Tensor], Tensor]  # vectors (K, B, *shape) times a transposed Jacobian
SmoothUnits = Literal["lipswish", "clipswish", "sine"]
SMOOTH_UNITS: dict[SmoothUnits, type[LipSwish | Sine]] = {"lipswish": LipSwish, "clipswish": CLipSwish, "sine": Sine}
LEAST_FACTOR = 0.1  # of what a dense layer's factors are, before they are normalized


class LipschitzNet(nn.Module):
    """A net of the shape of x that brings points closer together: ``|f(x) - f(y)| <= lipschitz |x - y|``, in Euclidean norm, row by row.

    The bound is that of the weights at the last :meth:`refresh`. A flow's own, which ``fit`` calls before each step, does the same.
    Another net is :meth:`forward` and :attr:`lipschitz`, from parts such as :class:`SpectralLinear` and :class:`LipSwish`. It must be
    twice differentiable in x: the log-determinant of its Jacobian is trained.
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def pullback(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Pull]:
        """f(x), and products ``(df/dx)^T v`` of K vectors, ``(K, B, *shape) -> (K, B, *shape)``; worth writing where autograd is slow."""
        if transformed() or torch.is_inference_mode_enabled():
            f, pull, *_ = torch.func.vjp(lambda x: self(x, context), x)
            return f, lambda v: torch.vmap(lambda u: pull(u)[0])(v) if len(v) > 1 else pull(v[0])[0].unsqueeze(0)
        with torch.enable_grad():  # since memory="checkpoint" is not for torch.func
            x = x if x.requires_grad else x.detach().requires_grad_()
            y = self(x, context)

        def back(v: Tensor) -> Tensor:
            options = {"retain_graph": True, "create_graph": torch.is_grad_enabled()}
            if len(v) > 1:
                return torch.autograd.grad(y, x, v, is_grads_batched=True, **options)[0]
            return torch.autograd.grad(y, x, v[0], **options)[0].unsqueeze(0)

        return (y if torch.is_grad_enabled() else y.detach()), back

    @property
    def lipschitz(self) -> float:
        """A bound below 1 of the Lipschitz constant in x, whatever the context."""
        raise NotImplementedError(f"{type(self).__name__} does not define lipschitz")

    def refresh(self) -> None:
        """Bring the norms of the maps within it up to date."""
        refresh(self)


class LipschitzLayers(LipschitzNet):
    """Hidden layers, each of Lipschitz constant 1, and a linear map of the coefficient at the end.

    Arguments:
        hidden: the layers, of x and context.
        last: the map.
        shape: of x.
        context: numbers of the context.
    """

    def __init__(self, hidden: list[HiddenLayer], last: SpectralMap, shape: tuple[int, ...], context: int):
        super().__init__()
        who = type(self).__name__
        if not last.coefficient < 1:
            raise ValueError(f"{who}: expected a coefficient between 0 and 1, got {last.coefficient}; papers take 0.9 to 0.98")
        self.hidden: Sequence[HiddenLayer] = nn.ModuleList(hidden)  # type: ignore[assignment]
        self.last = last
        self.shape, self.context = shape, context

    @property
    def lipschitz(self) -> float:
        return self.last.coefficient

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        for layer in self.hidden:
            x = layer(x, context)
        return self.last(x)

    def pullback(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Pull]:
        self.check(x, context)
        pulls: list[Pull] = []
        for layer in self.hidden:
            x, pull = layer.pullback(x, context)
            pulls.append(pull)
        pulls.append(self.last.transposed())

        def through(v: Tensor) -> Tensor:
            for pull in reversed(pulls):
                v = pull(v)
            return v

        return self.last(x), through

    def check(self, x: Tensor, context: Tensor | None) -> None:
        """Raise ValueError unless shapes are those that it was built for."""
        if x.shape[1:] != self.shape:
            raise ValueError(f"{type(self).__name__}: expected x of shape {('B', *self.shape)}, got {tuple(x.shape)}")
        if self.context and (context is None or context.shape[:2] != (x.shape[0], self.context)):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"{type(self).__name__}: expected a context of shape ({x.shape[0]}, {self.context}), got {got}")


class HiddenLayer(nn.Module):
    """``h(x) = units(W x + b + U c)``, or ``[a x, b h(x)]`` on axis 1: of Lipschitz constant 1 in x, if W is. The context c only shifts.

    The learned factors are positive and ``a^2 + b^2 = 1``; neither comes to nothing.

    Reference: Invertible DenseNets with Concatenated LipSwish, Perugachi-Diaz, Tomczak, Bhulai, 2021, arXiv:2102.02694, section 3.

    Arguments:
        inner: ``W x + b``.
        units: the name of units.
        shift: ``U c``, if there is a context.
        dense: hand on x, too.

    Attributes:
        outputs: features that leave.
    """

    def __init__(self, inner: SpectralMap, units: SmoothUnits, shift: nn.Module | None, dense: bool):
        super().__init__()
        if units not in SMOOTH_UNITS:
            raise ValueError(f"Lipschitz nets: expected units {', '.join(SMOOTH_UNITS)}, smooth and of slopes up to 1, got {units!r}")
        self.inner, self.units, self.shift = inner, SMOOTH_UNITS[units](), shift
        self.shares = nn.Parameter(torch.zeros(2)) if dense else None
        outputs, inputs = inner.weight.shape[:2]
        self.outputs = outputs * self.units.outputs + (inputs if dense else 0)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._handed_on(x, self.units(self._entering(x, context)))

    def pullback(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Pull]:
        """As that of a net."""
        h, back = self._entering(x, context), self.inner.transposed()
        slopes = self.units.slopes(h).unflatten(1, (self.units.outputs, -1))

        def through(v: Tensor) -> Tensor:
            parts = (v.unflatten(2, slopes.shape[1:3]) * slopes).unbind(2)
            return back(reduce(torch.add, parts))  # one or two, which torch is slow to sum

        def pull(v: Tensor) -> Tensor:
            if self.shares is None:
                return through(v)
            a, b = self._factors(self.shares)
            return a * v[:, :, : x.shape[1]] + through(b * v[:, :, x.shape[1] :])

        return self._handed_on(x, self.units(h)), pull

    def _entering(self, x: Tensor, context: Tensor | None) -> Tensor:
        h = self.inner(x)
        if self.shift is not None and context is not None:
            context = context.reshape(*context.shape, *[1] * (h.dim() - context.dim()))
            h = h + self.shift(context.to(h.dtype))
        return h

    def _handed_on(self, x: Tensor, h: Tensor) -> Tensor:
        if self.shares is None:
            return h
        a, b = self._factors(self.shares)
        return torch.cat([a * x, b * h], 1)

    def _factors(self, shares: Tensor) -> Tensor:
        return F.normalize(F.softplus(shares) + LEAST_FACTOR, dim=0)


class LipschitzMLP(LipschitzLayers):
    """A fully connected net of vectors that brings points closer together, ``(B, D) -> (B, D)``; starts at zero.

    ``W_n phi(... phi(W_1 x + b_1 + U_1 c) ...) + b_n``, each ``|W_i| <= 1`` but the last, ``|W_n| <= coefficient``, and slopes of
    ``phi`` of at most 1. See :class:`SpectralLinear` for how the bounds are kept and what :meth:`refresh` costs.

    Reference: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735.
    Departure: the last map alone bounds the whole by the coefficient, while there each map is bounded by it.

    Arguments:
        dim: D.
        width: hidden units of a layer (128 in the paper).
        depth: hidden layers (4 in the paper).
        coefficient: bound of the Lipschitz constant (.9 in the paper).
        units: "lipswish", "clipswish" (a pair for each: ``2 width`` numbers go on), or "sine".
        dense: hidden layers hand on what entered, too; see :class:`HiddenLayer`.
        context: numbers of the context.

    Raises:
        ValueError: a size below 1, a coefficient not between 0 and 1, other units; x or a context of another shape.

    Example::

        >>> net = LipschitzMLP(2, width=16)
        >>> net(torch.randn(8, 2)).shape, net.lipschitz
        (torch.Size([8, 2]), 0.9)
    """

    def __init__(
        self,
        dim: int,
        *,
        width: int = 128,
        depth: int = 3,
        coefficient: float = 0.9,
        units: SmoothUnits = "lipswish",
        dense: bool = False,
        context: int = 0,
    ):
        check_counts("LipschitzMLP", dim=dim, width=width, depth=depth)
        check_counts("LipschitzMLP", least=0, context=context)
        hidden, size = list[HiddenLayer](), dim
        for _ in range(depth):
            shift = nn.Linear(context, width, bias=False) if context else None
            hidden.append(HiddenLayer(SpectralLinear(size, width), units, shift, dense))
            size = hidden[-1].outputs
        super().__init__(hidden, SpectralLinear(size, dim, coefficient=coefficient, zero=True), (dim,), context)
