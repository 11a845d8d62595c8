"""The converter: whose flow it is, and who reads it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..core import Flow
from .nflows import from_nflows
from .reading import ancestor, name_in, refuse, word
from .zuko import from_zuko


def convert(model: nn.Module, *, context: int | Sequence[int] | None = None) -> Flow:
    """A fitted flow of zuko or nflows, or an estimator of sbi around one, as a flow of this library with the same density.

    What comes back is a flow like any other here: it holds copies of the weights, in their dtype and on their device, trains on, is saved
    by its ``state_dict``, and draws from autoregressive layers at the arithmetic of one pass of the nets, where those libraries make a
    pass for each feature. ``log_prob`` differs from the original's by rounding, and ``encode`` gives the latent that theirs gives.

    *zuko*: ``MAF``, ``NSF``, ``NICE`` and ``RealNVP``, and flows built of their layers, with context, any ``passes``, ``order``,
    ``adjacency`` or mask, nets of any ``hidden_features``, affine, additive and rational-quadratic maps. *nflows*: ``Flow`` over affine
    and rational-quadratic masked and coupling layers, ``LULinear``, ``BatchNorm``, ``ActNorm`` and permutations, with context; so
    ``MaskedAutoregressiveFlow`` and ``SimpleRealNVP``. *sbi*: its ``maf``, ``maf_rqs``, ``nsf``, ``zuko_maf``, ``zuko_nsf`` and
    ``zuko_nice``; :func:`as_sbi` makes an estimator of the result. Activations are torch's usual ones.

    The density is that in evaluation: dropout is left out, batch norm between layers becomes a learnt affine map of its running statistics.
    Where a mask of theirs is sparser than ours (``passes=2``, an ``adjacency``) the weights more start at 0 and learn if training goes on.

    Arguments:
        model: ``zuko.flows.MAF(...)`` and its like, a ``nflows.flows.Flow``, or an estimator of sbi around one of these.
        context: the shape of one context before an embedding net of nflows, which comes along as a copy.

    Raises:
        ValueError: the module, or a part of it, has no counterpart here; the sentence says which, and what can be done.

    Example::

        >>> theirs = zuko.flows.NSF(3, context=2, transforms=2)
        >>> flow, x, c = convert(theirs), torch.randn(8, 3), torch.randn(8, 2)
        >>> torch.allclose(flow.log_prob(x, c), theirs(c).log_prob(x), atol=1e-5), flow.sample((5,), c).shape
        (True, torch.Size([5, 8, 3]))
    """
    if name_in("sbi", model) in ("NFlowsFlow", "ZukoFlow"):
        estimator: Any = model
        return _embedded(_read(estimator.net), estimator.embedding_net, estimator.condition_shape)
    net = dict(model.named_children()).get("_embedding_net", nn.Identity())
    if context is not None and type(net) is nn.Identity:
        raise ValueError(f"convert: {word(model)} has no embedding net, and its layers say what contexts are; leave context away")
    return _embedded(_read(model), net, context)


def _read(model: Any) -> Flow:
    """The flow of embedded contexts."""
    for library, reader in (("zuko", from_zuko), ("nflows", from_nflows)):
        cls = ancestor(library, "Flow", model)
        if cls is not None and type(model).forward is cls.forward:
            return reader(model)
    own = f"{type(model).__module__}.{type(model).__qualname__}"
    return refuse(f"expected a flow of zuko or nflows, got {word(model)} ({own})", "give zuko.flows.NSF(...) or its like")


def _embedded(flow: Flow, net: nn.Module, context: int | Sequence[int] | None) -> Flow:
    """The flow behind a copy of the net that embeds contexts, which have that shape before it."""
    if type(net) is nn.Identity:
        return flow
    if context is None:
        refuse(
            f"contexts go through an embedding net, {word(net)}", "give the shape that they have before it, as convert(model, context=10)"
        )
    return Flow(flow.base, *flow.transform.transforms, context=context, embed=copy.deepcopy(net))
