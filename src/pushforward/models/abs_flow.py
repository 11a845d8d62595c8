"""A flow behind an absolute value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Inverse
from ..distributions import Causal
from ..likelihoods import Bernoulli
from ..nets import MADE
from ..transforms import Abs, Elementwise
from ..univariate import Softplus
from .common import vector
from .nsf import nsf
from .recipe import recipe


@recipe
def abs_flow(
    shape: Sequence[int],
    *,
    signs: Literal["random", "learned"] = "random",
    mechanism: Literal["autoregressive", "coupling"] = "coupling",
    steps: int = 5,
    bins: int = 8,
    bound: float = 5.0,
    width: int = 128,
    depth: int = 1,
    context: int = 0,
) -> Flow:
    """Flow of absolute values, for symmetric data: what it learns of one side it knows of all (Nielsen et al., 2020, arXiv:2007.02731).

    ``log p(x) = log p_nsf(softplus^-1(|x|)) + log|det| + log p(signs of x given |x|)``. With ``signs="random"`` the last term is
    ``-D log 2``, and the density is symmetric in each number; "learned", an autoregressive model says which signs go with which values:
    symmetric in some ways, anti-symmetric in others (a checkerboard). Symmetric about 0: standardize first (``fit`` does), and it is
    about the mean. Rows ``(B, D)``. Density as of :func:`nsf`, exact and normalized, as the half-line is led onto the line; samples as of
    :func:`nsf`, and D steps for learned signs.

    Caveats: |x| can't be told from x: there is no way back from z to the row it came from. Data that are not symmetric lose by
    random signs what the signs say, up to D log 2 nats.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731. Departures: splines where the
    paper has affine couplings, and learned signs.

    Arguments:
        shape: of a row, ``(D,)``.
        signs: "random" or "learned".
        mechanism: "autoregressive" or "coupling", as of :func:`nsf`.
        steps: layers of splines.
        bins: pieces of a spline.
        bound: half the width of the interval on which splines bend.
        width: hidden units of the residual nets.
        depth: their blocks; the net of the signs has one more.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> flow = abs_flow((4,))
        >>> x = torch.randn(8, 4)
        >>> torch.equal(flow.log_prob(x), flow.log_prob(-x))
        True
    """
    dim, decoder = vector(shape), None
    if signs == "learned":
        net = MADE(dim, 1, width=width, depth=depth + 1, context=dim + context, residual=True)
        decoder = Causal(Bernoulli(), net, shape, context=dim + context)
    flow = nsf(shape, mechanism=mechanism, steps=steps, bins=bins, bound=bound, width=width, depth=depth, marginals=16, context=context)
    return flow.prepend(Abs(decoder), Inverse(Elementwise(Softplus())))
