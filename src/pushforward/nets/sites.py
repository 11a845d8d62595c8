"""The contract of causal nets over space: features of each site, and a head that makes parameters of them."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .causal import CausalNet, Solve

Steps = Generator[Tensor, Tensor, None]  # gives the features (B, F) of a site, is sent what was found there (B, C)


class SiteNet(CausalNet):
    r"""A net of images or signals ``(B, C, *space)`` whose output at a site reads the sites before it, row by row from the top left.

    Another net is two methods: :meth:`features` of all sites in one pass, and :meth:`steps`, the same site by site. A :class:`SiteHead`
    makes parameters of the features, ``(B, params * C, *space)``, seen as ``(B, params, C, *space)``.

    The channels of a site are found together, for likelihoods that tie them; or ``in_turn``, each from those before it as well
    (red, green, blue), so that a position is one number. A context ``(B, K)``, or a map ``(B, K, *space)``, reaches every site.

    Arguments:
        shape: of x, ``(C, *space)``.
        params: outputs for each number.
        inputs: features of a site.
        context: channels of the context, 0 for none.
        in_turn: each channel reads those before it at its site.
        dims: axes of space.

    Raises:
        ValueError: a shape with other axes, a count below 1, x or a context of another shape.
    """

    def __init__(self, shape: Sequence[int], params: int, inputs: int, *, context: int = 0, in_turn: bool = False, dims: int = 2):
        super().__init__()
        name = type(self).__name__
        check_counts(name, dims=dims)
        if len(shape) != dims + 1:
            what = {1: "a signal (C, T)", 2: "an image (C, H, W)"}.get(dims, f"{dims} axes of space")
            raise ValueError(f"{name}: expected the shape of {what}, got {tuple(shape)}")
        check_counts(name, params=params, width=inputs)
        check_counts(name, least=0, context=context)
        self.shape, self.params, self.context = tuple(shape), params, context
        self.in_turn = in_turn and shape[0] > 1
        self.head = SiteHead(inputs, shape[0], params, in_turn=self.in_turn)

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        """Of every site, from the sites before it: ``(B, C, *space) -> (B, inputs, *space)``; ``given`` is ``(B, K, *space or ones)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define features")

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        """The features of one site after the other, each given once the sites before it were sent. What it remembers is local."""
        raise NotImplementedError(f"{type(self).__name__} does not define steps")

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"{type(self).__name__}: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        return self.head(self.features(x, self._given(context, x.shape[0])), x)

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        steps = self.steps(batch, self._given(context, batch))
        found = [self.head.visit(0, next(steps), solve)]
        for i in range(1, math.prod(self.shape[1:])):
            found.append(self.head.visit(i, steps.send(found[-1]), solve))
        return torch.stack(found, 2).view(batch, *self.shape)

    def _given(self, context: Tensor | None, batch: int) -> Tensor | None:
        """The context with axes of space, which are 1 long where it is the same at all sites."""
        if not self.context:
            return None
        if context is None or context.shape[:2] != (batch, self.context) or context.shape[2:] not in ((), self.shape[1:]):
            got = "none" if context is None else str(tuple(context.shape))
            name = type(self).__name__
            raise ValueError(f"{name}: expected a context of shape ({batch}, {self.context}), with or without space, got {got}")
        return context if context.dim() > 2 else context.view(*context.shape, *(1 for _ in self.shape[1:]))

    def extra_repr(self) -> str:
        return f"shape={self.shape}, params={self.params}, context={self.context}, in_turn={self.in_turn}"


class SiteHead(nn.Module):
    r"""Parameters of the numbers at a site from its features f, ``(B, inputs, *space) -> (B, params * C, *space)``. Starts at zero.

    Together: ``W relu(f)``. In turn: ``W_c relu(V_c relu(f) + U_c x_{<c})`` for each channel c, with as many hidden units as features,
    shared between the channels.
    """

    mask: Tensor

    def __init__(self, inputs: int, channels: int, params: int, *, in_turn: bool = False):
        super().__init__()
        check_counts("SiteHead", inputs=inputs, channels=channels, params=params)
        self.channels, self.params, self.in_turn = channels, params, in_turn
        width = -(-inputs // channels) if in_turn else inputs
        if in_turn:
            self.inner = nn.Conv1d(inputs, channels * width, 1)
            self.reads = nn.Parameter(torch.randn(channels, width, channels) / math.sqrt(channels))
            self.register_buffer("mask", torch.ones(channels, channels).tril(-1).unsqueeze(1), persistent=False)
        self.last = nn.Conv1d(channels * width if in_turn else inputs, channels * params, 1, groups=channels if in_turn else 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, f: Tensor, x: Tensor) -> Tensor:
        h = F.relu(f).flatten(2)
        if not self.in_turn:
            return self.last(h).unflatten(2, f.shape[2:])
        h = self.inner(h) + F.conv1d(x.flatten(2), (self.reads * self.mask).flatten(0, 1).unsqueeze(2))
        h = self.last(F.relu(h)).unflatten(1, (self.channels, self.params)).transpose(1, 2)
        return h.flatten(1, 2).unflatten(2, f.shape[2:])

    def visit(self, i: int, f: Tensor, solve: Solve) -> Tensor:
        """What is found at site i of features ``(B, inputs)``, ``(B, C)``."""
        h = F.relu(f)
        if not self.in_turn:
            return solve(i, pointwise(self.last, h).view(-1, self.params, self.channels))
        inner = pointwise(self.inner, h).unflatten(1, (self.channels, -1))
        weights = self.last.weight.squeeze(2).unflatten(0, (self.channels, -1))  # (C, params, width)
        biases = self.last.bias.unflatten(0, (self.channels, -1))  # type: ignore[union-attr]
        found = f.new_zeros(len(f), 0)
        for c in range(self.channels):
            u = F.relu(inner[:, c] + F.linear(found, self.reads[c, :, :c]))
            found = torch.cat([found, solve(i * self.channels + c, F.linear(u, weights[c], biases[c]).unsqueeze(2))], 1)
        return found


def pointwise(layer: nn.Conv1d | nn.Conv2d, h: Tensor) -> Tensor:
    """A convolution of side 1 at one site, ``(B, inputs) -> (B, outputs)``."""
    return F.linear(h, layer.weight.flatten(1), layer.bias)


def at_site(given: Tensor, i: int) -> Tensor:
    """What is given at site i, ``(B, K, *space or ones) -> (B, K)``."""
    flat = given.flatten(2)
    return flat[:, :, i if flat.shape[2] > 1 else 0]
