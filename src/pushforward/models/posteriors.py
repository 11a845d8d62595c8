"""Posteriors and priors of the latents of VAEs, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from .. import likelihoods
from ..core import Chain, Flow, Inverse, Transform
from ..distributions import DiagonalMixture, Given, Normal
from ..nets import MLP
from ..nets.mlp import linear
from ..transforms import Coupling, Planar, Radial, Reverse, RowTriangular, Sylvester
from ..transforms.sylvester import sylvester_numbers
from ..univariate import Affine, Gate
from .common import alternating, autoregressive

Posterior = Literal["gaussian", "full", "planar", "radial", "sylvester", "householder", "triangular", "coupling", "iaf"]
Prior = Literal[
    "standard", "mixture", "vamp", "real_nvp", "maf", "nsf", "nice", "bnaf", "naf", "sos", "umnn", "mixture_cdf", "planar", "sylvester"
]
IAF_WIDTH = 320  # units of the masked nets of an IAF posterior (Sylvester flows' experiments)


def posterior_of(
    name: Posterior, dim: int, *, trunk: nn.Module, features: int, context: int | Sequence[int], steps: int, rank: int
) -> Flow:
    """q(z|x): a diagonal normal from the features of a trunk, and ``steps`` layers that read these too.

    Arguments:
        name: which layers; "gaussian" has none and "full" one, a triangular matrix; steps of "iaf" are gates, which contract (its paper's).
        dim: of z.
        trunk: from x to its features, ``(B, features)``, evaluated once per row.
        context: the shape of what the trunk reads.
        steps: layers of a flow.
        rank: of Sylvester's layers.
    """
    makers: dict[str, Callable[[int], Transform]] = {
        "full": lambda i: Inverse(RowTriangular(dim, linear(features, dim * (dim + 1) // 2, zero=True))),
        "planar": lambda i: Inverse(Planar(dim, linear(features, 2 * dim + 1, zero=True))),
        "radial": lambda i: Inverse(Radial(dim, linear(features, dim + 2, zero=True))),
        "sylvester": lambda i: _sylvester(dim, rank, "orthogonal", features),
        "householder": lambda i: _sylvester(dim, rank, "householder", features),
        "triangular": lambda i: _sylvester(dim, dim, "triangular", features),
        "coupling": lambda i: _coupling(dim, i, features),
        "iaf": lambda i: Inverse(
            autoregressive(Gate(), dim, i, order="alternating", width=IAF_WIDTH, depth=1, residual=False, context=features, net="made")
        ),
    }
    count = {"gaussian": 0, "full": 1}.get(name, steps)
    layers = [makers[name](i) for i in range(count)]
    base = Given(likelihoods.Normal(), linear(features, 2 * dim), (dim,), context=features)
    return Flow(base, *layers, context=context, embed=trunk)


def prior_of(name: Prior, dim: int, *, components: int, steps: int | None, context: int) -> Flow:
    """p(z): a base and layers. Recipes of vectors go by their names, with their own settings but for the number of ``steps``, and read the
    context.
    """
    if name == "standard":
        return Flow(Normal((dim,)))
    if name == "mixture":
        return Flow(DiagonalMixture((dim,), components))
    from . import VECTOR_MODELS  # whose file imports this one

    return VECTOR_MODELS[name]((dim,), context=context, **({} if steps is None else {"steps": steps}))


def _sylvester(dim: int, rank: int, kind: Literal["orthogonal", "householder", "triangular"], features: int) -> Transform:
    rank, amortized = min(rank, dim), kind != "triangular"
    net = linear(features, sylvester_numbers(dim, rank, amortized), zero=True)
    layer = Sylvester(dim, rank, kind, net, amortized=amortized)
    return Inverse(layer if amortized else Chain(layer, Reverse(dim)))


def _coupling(dim: int, step: int, features: int) -> Transform:
    mask = alternating(dim, step)
    kept = sum(mask)
    return Coupling(mask, Affine(), MLP(kept + features, 2 * (dim - kept), width=IAF_WIDTH, depth=1))
