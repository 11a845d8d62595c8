"""Sylvester flow."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..core import Chain, Flow, Transform
from ..transforms import Permute, Sylvester
from ..transforms.sylvester import Kind, sylvester_numbers
from .common import vector
from .planar import Direction, amortized_flow
from .recipe import recipe


@recipe
def sylvester(
    shape: Sequence[int],
    *,
    steps: int = 8,
    rank: int = 16,
    kind: Kind = "householder",
    direction: Direction = "density",
    amortized: bool = False,
    width: int = 64,
    depth: int = 2,
    context: int = 0,
) -> Flow:
    """Sylvester flow: planar moves in the frame of an orthogonal matrix (van den Berg et al., 2018, arXiv:1803.05649).

    ``z = x + Q R tanh(S Q^T x + b)`` in each layer, with ``rank`` orthonormal columns Q and triangular R and S: planar flows with more
    than one plane a layer, a few of which replace many planar layers in variational inference. Rows ``(B, D)``. O(D rank) a layer in
    the analytic direction; the other solves ``rank`` equations per layer, one after the other. Density and samples are exact. With a
    context, nets give each row its own moves and, as the paper's encoder, the location and scale of its base.

    "triangular" layers move ``rank`` features each; between them these go to the end of the line, last one first, which at full rank is
    the paper's alternation of the identity and the reversal.

    Caveats: it trains best at a large rate, ``train.lr=0.01``.

    Reference: Sylvester Normalizing Flows for Variational Inference, van den Berg, Hasenclever, Tomczak, Welling, 2018,
    arXiv:1803.05649.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        rank: planes of a layer, at most one for each feature.
        kind: of the matrix Q, "orthogonal", "householder" or "triangular".
        direction: which way is fast and analytic, "density" to fit data, "sampling" for reverse KL and posteriors.
        amortized: with a context, the matrix Q of each row is read from it too, as in the paper; not for "triangular".
        width: hidden units of the nets that read the context.
        depth: their hidden layers.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: triangular layers are too few to move every feature; the shape is no vector's, or an option is not of the kind that
            its annotation says.

    Example::

        >>> sylvester((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    rank = min(rank, dim)
    if kind == "triangular" and steps * rank < dim:
        raise ValueError(
            f"sylvester: {steps} triangular layers of rank {rank} move {steps * rank} of {dim} features; "
            "raise steps or rank, or use another kind"
        )
    order = [*range(rank, dim), *reversed(range(rank))]

    def make(net: nn.Module | None) -> Transform:
        layer = Sylvester(dim, rank, kind, net, amortized=amortized)
        return Chain(layer, Permute(order)) if kind == "triangular" else layer

    params = sylvester_numbers(dim, rank, amortized)
    return amortized_flow(shape, [make] * steps, params, direction=direction, width=width, depth=depth, context=context)
