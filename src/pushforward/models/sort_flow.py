"""A flow behind a sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Inverse
from ..transforms import ActNorm, Elementwise, Gaps, Permute, Reshape, Sort
from ..univariate import Softplus
from .common import vector
from .nsf import nsf
from .recipe import recipe


@recipe
def sort_flow(
    shape: Sequence[int],
    *,
    coordinates: int = 1,
    mechanism: Literal["autoregressive", "coupling"] = "coupling",
    steps: int = 5,
    bins: int = 8,
    bound: float = 5.0,
    width: int = 128,
    depth: int = 1,
    context: int = 0,
) -> Flow:
    """Flow of sorted sets, for rows whose order says nothing: one order is learnt in place of L! (Nielsen et al., 2020, arXiv:2007.02731).

    ``log p(x) = -log L! + log p_nsf(x_(1), softplus^-1 of the gaps) + log|det|``: L members, sorted; the first and the gaps between
    neighbours are free numbers, so that nothing is lost to orders that do not occur. Points of several coordinates are sorted by their
    first, and the others follow. The same density in any order, and an order drawn at random in samples. Rows ``(B, D)`` of ``D /
    coordinates`` points, one after the other: x1, y1, x2, y2, ... Density and samples as of :func:`nsf`, exact and normalized.

    Caveats: columns that ``fit`` has standardized each by itself are exchangeable up to the error of their means. Members that can be
    equal (whole numbers) have to be dequantized, as ``fit`` does.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731. Departures: the gaps (the paper's code
    has a normal base over all orders, which is too low by up to log L!), and splines with nets of the whole row, not transformers.

    Arguments:
        shape: of a row, ``(D,)``.
        coordinates: of a point: 1 for a set of numbers.
        mechanism: "autoregressive" or "coupling", as of :func:`nsf`.
        steps: layers of splines.
        bins: pieces of a spline.
        bound: half the width of the interval on which splines bend.
        width: hidden units of the residual nets.
        depth: their blocks.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, D is no multiple of ``coordinates``, or an option is not of the kind that its annotation says.

    Example::

        >>> flow = sort_flow((6,), coordinates=2)
        >>> x = torch.randn(8, 6)
        >>> torch.equal(flow.log_prob(x), flow.log_prob(x.roll(2, 1)))
        True
    """
    dim = vector(shape)
    if dim % coordinates:
        raise ValueError(f"sort_flow: expected rows of points of {coordinates} coordinates each, got {dim} columns; set coordinates")
    points = dim // coordinates
    rows = Permute([point * coordinates + i for i in range(coordinates) for point in range(points)])
    grid = Reshape(shape, (coordinates, points))
    gaps = Gaps(Inverse(Elementwise(Softplus())))
    flow = nsf(shape, mechanism=mechanism, steps=steps, bins=bins, bound=bound, width=width, depth=depth, marginals=16, context=context)
    return flow.prepend(rows, grid, ActNorm(coordinates), Sort(), gaps, Inverse(grid))
