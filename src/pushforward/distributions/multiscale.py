"""Images from coarse to fine, a quarter of the pixels at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core import out_of_patches, set_aside_infinite, sum_event
from .causal import Causal, Find
from .given import Observed

OFFSETS = ((1, 1), (0, 1), (1, 0))  # the pixels of each 2 x 2 in the order they are found, after (0, 0)


class Multiscale(Observed):
    r"""``p(x) = p(x^0) prod_s prod_g p(x^s_g | x^{s-1}, x^s_{g' < g})``: coarse pixels first, then the three others of each 2 x 2 in turn.

    ``x^0`` holds every ``2^scales``-th pixel and has a model of its own; each doubling of the sides finds all pixels at (1, 1) of the 2 x 2
    given those at (0, 0), then those at (0, 1), then at (1, 0). The pixels of a step are independent given those before: that is its price.

    Kind of likelihood: exact, a sum over steps, each given the true pixels before. ``log_prob`` evaluates each net once; a draw visits the
    pixels of ``x^0`` one by one, then evaluates ``calls`` nets, a number that grows with the logarithm of the side.

    Reference: Parallel Multiscale Autoregressive Density Estimation, Reed, van den Oord, Kalchbrenner, Gomez Colmenarejo, Wang,
    Belov, de Freitas, 2017, arXiv:1703.03664. Departures: one net for each step; channels in turn are steps of their own.

    Arguments:
        coarse: the model of every ``2^scales``-th pixel, with the same likelihood and context.
        net: makes the net of a step, from so many channels ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``.
        scales: doublings.
        in_turn: each channel is found given those before it, for likelihoods that do not tie them.

    Raises:
        ValueError: no doubling.

    Example::

        >>> from pushforward import likelihoods, nets
        >>> bits = likelihoods.Bernoulli()
        >>> coarse = Causal(bits, nets.MaskedConvNet((1, 4, 4), 1, width=8, depth=1), (1, 4, 4))
        >>> model = Multiscale(coarse, lambda inputs, outputs: nets.ResNet(inputs, outputs, width=8, depth=1), scales=1)
        >>> model.log_prob(model.sample((2,))).shape, model.calls
        (torch.Size([2]), 3)
    """

    def __init__(self, coarse: Causal, net: Callable[[int, int], nn.Module], scales: int, *, in_turn: bool = False):
        channels, height, width = coarse.shape
        if scales < 1:
            raise ValueError(f"Multiscale: expected at least one doubling of the sides, got {scales}")
        super().__init__(coarse.likelihood, (channels, height << scales, width << scales), coarse.context_shape)
        self.coarse, self.scales = coarse, scales
        self.parts = [(c, c + 1) for c in range(channels)] if in_turn else [(0, channels)]
        given, params = sum(coarse.context_shape or ()), coarse.likelihood.params
        self.nets = nn.ModuleList(
            net(channels * (1 + group) + start + given, params * (stop - start))
            for _ in range(scales)
            for group in range(len(OFFSETS))
            for start, stop in self.parts
        )

    @property
    def calls(self) -> int:
        """Nets that a draw evaluates, after the coarse pixels."""
        return len(self.nets)

    @property
    def order(self) -> Tensor:
        """The turn of each number, ``(*shape)``: whole numbers, the same for what is found together."""
        first = self.coarse.order
        turn = int(first.max()) + 1
        steps = iter(range(turn, turn + self.calls))

        def find(grid: Tensor) -> Tensor:
            return torch.cat([torch.full_like(grid[:, start:stop], next(steps)) for start, stop in self.parts], 1)

        grid = first.unsqueeze(0)
        for _ in range(self.scales):
            grid = _woven([grid, *(find(grid) for _ in OFFSETS)])
        return grid[0]

    def terms(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``log p(x_i | those before)`` of each number, ``(B, *shape)``, which add up to the log-likelihood."""
        self.check(x, context)
        grids = [x]
        for _ in range(self.scales):
            grids.append(grids[-1][:, :, ::2, ::2])
        found = self.coarse.terms(grids[-1], self.coarse.seen(context))
        for scale, whole in enumerate(grids[-2::-1]):
            true = _apart(whole)
            known = [self.likelihood.scaled(part) for part in true]
            terms = [found]
            for group in range(len(OFFSETS)):
                parts = []
                for n, (start, stop) in enumerate(self.parts):
                    seen = [*known[: group + 1], known[group + 1][:, :start]]
                    h = self._h_of(scale, group, n, seen, context)
                    parts.append(self.likelihood.log_prob(true[group + 1][:, start:stop], h))
                terms.append(torch.cat(parts, 1))
            found = _woven(terms)
        return found

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, infinite = set_aside_infinite(x)
        return torch.where(infinite, -torch.inf, sum_event(self.terms(x, context)))

    def visit(self, find: Find, rows: int, context: Tensor | None = None) -> Tensor:
        """x turn by turn, as :meth:`Causal.visit`; after the coarse pixels ``find`` takes ``(B, params, c, H, W)`` to ``(B, c, H, W)``."""
        x = self.coarse.visit(find, rows, self.coarse.seen(context))
        for scale in range(self.scales):
            known = [self.likelihood.scaled(x)]
            found = [x]
            for group in range(len(OFFSETS)):
                parts: list[Tensor] = []
                for n in range(len(self.parts)):
                    seen = [*known, *(self.likelihood.scaled(part) for part in parts)]
                    parts.append(find(self._h_of(scale, group, n, seen, context)))
                found.append(torch.cat(parts, 1))
                known.append(self.likelihood.scaled(found[-1]))
            x = _woven(found)
        return x

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        terms: list[Tensor] = []

        def find(h: Tensor) -> Tensor:
            x = self.likelihood.draw(h)
            terms.append(sum_event(self.likelihood.log_prob(x, h)))
            return x

        x = self.visit(find, rows, context)
        return x, torch.stack(terms).sum(0)

    def _h_of(self, scale: int, group: int, part: int, seen: list[Tensor], context: Tensor | None) -> Tensor:
        """h of a step, ``(B, params, c, H, W)``, from the pixels that are known."""
        x = torch.cat(seen, 1)
        if context is not None and self.context_shape is not None:
            x = torch.cat([x, context[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        h = self.nets[(scale * len(OFFSETS) + group) * len(self.parts) + part](x)
        start, stop = self.parts[part]
        return self._offset(h.unflatten(1, (self.likelihood.params, stop - start)))


def _woven(grids: list[Tensor]) -> Tensor:
    """The pixels of an image from those at (0, 0), (1, 1), (0, 1), (1, 0) of each 2 x 2, ``(B, C, H, W) -> (B, C, 2 H, 2 W)``."""
    first, diagonal, right, below = grids
    return out_of_patches(torch.stack([first, right, below, diagonal], 2).flatten(1, 2), 2)


def _apart(x: Tensor) -> list[Tensor]:
    """The opposite of :func:`_woven`."""
    return [x[:, :, row::2, column::2] for row, column in ((0, 0), *OFFSETS)]
