"""Any-order autoregressive model of mixed, incomplete tables."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import AnyOrder
from ..nets import SubsetNet
from ..transforms import Quantize, Support
from .common import vector
from .recipe import recipe


@recipe
def any_order(
    shape: Sequence[int],
    columns: Sequence[Support] | None = None,
    *,
    cells: int = 64,
    fine: int = 64,
    width: int = 256,
    depth: int = 3,
    rank: int = 32,
    dropout: float = 0.0,
    own: float = 0.5,
    orders: int = 1,
    context: int = 0,
) -> Flow:
    """Any columns given any others, in tables of every kind of column and with gaps (Uria et al., 2014, arXiv:1310.1757).

    ``p(x) = prod_i p(c_i | c_{<i}) m_i(x_i | c_i)``: each column is cut into ``cells`` of equal shares, and those into ``fine`` parts; one
    net gives the probabilities of a column's codes from whichever columns are known, and within a part the column is as it is in the data:
    favourite values, gaps and steps come back as they were. It starts as independent columns, each with its own distribution, and
    validation may keep that. Rows ``(B, D)``; NaN is a missing value, and whether a value is missing is part of the row, unless the gaps
    of a column are ignorable: then NaN is a value that is there and not known, in any column. Density and samples are exact, each in D
    passes of the net (a density in K D passes of K ``orders``); any conditional of one column is one pass.

    Caveats: densities are flat within a part, so that a flow such as ``nsf`` describes smooth tables better. ``log_prob`` adds the log
    probabilities of what is discrete to the log densities of what is not.

    References: A Deep and Tractable Density Estimator, Uria, Murray, Larochelle, 2014, arXiv:1310.1757; the layer below it as
    :class:`~pushforward.transforms.Quantize` says. Departures: two digits for each column, and half of the training goes to one order,
    the model's own.

    Arguments:
        shape: of a row, ``(D,)``.
        columns: what the numbers of each column may be; any real numbers by default.
        cells: of a column, at most; fewer where rows are few.
        fine: parts of a cell, at most.
        width: hidden units.
        depth: residual blocks.
        rank: hidden units between a cell and its parts.
        dropout: the share of hidden units left out in training.
        own: the share of training rows that learn the model's own orders.
        orders: K, of which the model is the mixture: that of the columns, and K - 1 random ones.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> any_order((4,)).eval().log_prob(torch.randn(8, 4).double()).shape
        torch.Size([8])
    """
    dim = vector(shape)
    net = SubsetNet(dim, cells + 1, width=width, depth=depth, context=context, dropout=dropout)
    supports = columns or [Support()] * dim
    gaps = not any(support.ignorable for support in supports)
    base = AnyOrder(net, dim, width=width, cells=cells, fine=fine, rank=rank, own=own, orders=orders, gaps=gaps, context=context)
    return Flow(base, Quantize(supports, cells, fine), shape=shape, context=context)
