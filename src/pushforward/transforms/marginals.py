"""The columns' own densities, fitted in closed form, as the first layer of a flow."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from ..core import start_rows
from ..univariate import Affine, Compose, RationalQuadratic
from ..words import check_counts
from .channels import left_out
from .checks import expect_channels
from .elementwise import Elementwise

MOST_NORMAL = 5.0  # of normal scores: one number in two million lies beyond
LEAST_SHARE = 1e-4  # of a bin, as a share of the interval: room for a heavy tail beside a narrow body
LEAST_QUANTILES = (3, 5, 8)  # as many as few rows can bear
FEWEST = 10  # rows that quantiles can be taken of


class Marginals(Elementwise):
    r"""Each column to normal scores, ``z_i = spline_i((x_i - c_i) / s_i)``: with a standard normal base, independent columns.

    Splines are rational-quadratic. The identity at the start; :meth:`initialize` draws them through quantiles of the data, so that with a
    linear map behind it the flow is a Gaussian copula with the columns' own densities. All constants are parameters, and learn on.

    Shapes: ``(B, D)``. Cost: O(D bins) per row in either direction. Exact.

    Reference: The Nonparanormal, Liu, Lafferty, Wasserman, 2009, arXiv:0903.0649 (there by a truncated empirical distribution function).

    Arguments:
        dim: the number of columns.
        bins: pieces of a spline.

    Raises:
        ValueError: fewer than three bins, or a batch to initialize from has another number of columns.

    Example::

        >>> layer = Marginals(3)
        >>> layer.initialize(torch.randn(500, 3).exp())
        >>> z, ldj = layer(torch.randn(8, 3).exp())
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, bins: int = 16):
        check_counts("Marginals", dim=dim)
        check_counts("Marginals", least=3, bins=bins)
        super().__init__(Compose(Affine(float("inf")), RationalQuadratic(bins, MOST_NORMAL, LEAST_SHARE)), (dim,))
        self.bins, self.starting_rows = bins, start_rows(dim)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Splines through quantiles of the columns that enter ``forward``; cross-validation chooses how many.

        Knots are equidistant normal scores, out to nearly the extremes, and the last pieces go on as straight lines. Where it does better a
        column gets a Gaussian, or equidistant knots at the normal scores of a histogram.
        """
        expect_channels("Marginals", self.h.shape[2], x)
        if inverse or len(x) < FEWEST:
            return
        rows = x.to("cpu", torch.float64)  # some devices have no float64
        scores = torch.zeros(3 + len(LEAST_QUANTILES), rows.shape[1], dtype=torch.float64)
        for some, others in left_out(rows):
            for score, h in zip(scores, self._candidates(others), strict=True):
                z, slope = self.univariate.forward(some, h)
                score += (slope - z.square() / 2).sum(0)
        constant = rows.std(0, correction=0) <= 1e-6 * rows.mean(0).abs().clamp_min(1e-6)
        best = scores.argmax(0).expand(1, *self.h.shape[1:])
        h = torch.stack(self._candidates(rows)).gather(0, best[None])[0]
        self.h.copy_(torch.where(constant, self.h, h))

    def _candidates(self, rows: Tensor) -> list[Tensor]:
        """Constants ``(1, params, D)`` of Gaussians, of splines through more and more quantiles, and of splines through histograms."""
        from scipy.interpolate import PchipInterpolator

        grid = torch.linspace(-1, 1, self.bins - 1, dtype=rows.dtype)[:, None].expand(-1, rows.shape[1])
        most = NormalDist().inv_cdf(1 - 1.5 / len(rows))
        z = most * grid
        found = [(rows.mean(0) + z * rows.std(0, correction=0), z)]
        for count in (*LEAST_QUANTILES, self.bins - 1):
            scores = torch.linspace(-most, most, count, dtype=rows.dtype)
            quantiles = np.quantile(rows.numpy(), torch.special.ndtr(scores).numpy(), axis=0)
            found.append((torch.from_numpy(PchipInterpolator(scores.numpy(), quantiles)(z[:, 0].numpy())), z))
        ends = found[-1][0]
        knots = torch.lerp(ends[0], ends[-1], (grid + 1) / 2)
        below = torch.searchsorted(rows.T.contiguous().sort().values, knots.T.contiguous()).T
        below = below + 0.5 * torch.arange(1, self.bins)[:, None]  # half a row more in each bin, as none may be empty
        found.append((knots, torch.special.ndtri(below / (len(rows) + 0.5 * self.bins))))
        return [self._through(knots, z) for knots, z in found]

    def _through(self, knots: Tensor, z: Tensor) -> Tensor:
        """Constants of splines that take ``knots`` to normal scores z, both ``(bins - 1, D)``, on straight lines to the bounds."""
        least = 1e-6 * (knots[-1:] - knots[:1]).clamp_min(1e-6)
        step = (knots.diff(dim=0) + least) / z.diff(dim=0)
        low, high = knots[:1] - step[:1] * (MOST_NORMAL + z[:1]), knots[-1:] + step[-1:] * (MOST_NORMAL - z[-1:])
        scale, centre = 2 * MOST_NORMAL / (high - low), (low + high) / 2
        ends = torch.full_like(low, MOST_NORMAL)
        widths = torch.cat([low, knots, high]).diff(dim=0) / (high - low)
        heights = torch.cat([-ends, z, ends]).diff(dim=0) / (2 * MOST_NORMAL)
        logits = [(shares - LEAST_SHARE).clamp_min(LEAST_SHARE / 100).log() for shares in (widths, heights)]
        return torch.cat([-centre * scale, scale.log(), *logits, torch.zeros_like(knots)]).unsqueeze(0)
