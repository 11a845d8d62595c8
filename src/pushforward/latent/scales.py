"""Which part of the latent of a multi-scale flow left at which scale, and new fine detail for a coarse picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Chain, Distribution, Flow, Inverse, Transform
from ..transforms import ActNorm, Cast, Elementwise, Factor, Squeeze, Standardize
from .passes import BATCH, decode, each, encode
from .sampling import heated

IN_PLACE = (ActNorm, Cast, Elementwise, Standardize)  # no number of what leaves them depends on another


def scales(flow: Flow) -> Tensor:
    """At which scale each entry of z left: whole numbers in the shape of z, 0 for the finest (which left first), then 1, 2, ...

    The layers are walked from data to latent: a :class:`Factor` divides the channels in those that leave and those that go on, Squeeze
    and its inverse move places, and every other layer before a Factor is one of its scale. A flow without a Factor is all of scale 0.
    Cost: none to speak of; no layer is evaluated but those that move places.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.6.

    Raises:
        ValueError: a layer holds a Factor where it can't be followed, or mixes what has left, or z has another shape than x.

    Example::

        >>> scales(glow((1, 32, 32), scales=3)).unique(return_counts=True)
        (tensor([0, 1, 2]), tensor([512, 256, 256]))
    """
    left = _walk(flow.transform, torch.zeros(1, *flow.shape), 0)[0].long()
    if left.shape != flow.base.shape:
        raise ValueError(
            f"scales: the places of z {tuple(flow.base.shape)} can't be told from those of x, which end as {tuple(left.shape)}"
        )
    return left


def resample(
    flow: Flow,
    x: Tensor,
    levels: int,
    temperature: float = 1.0,
    n: int = 1,
    context: Tensor | None = None,
    *,
    batch: int = BATCH,
) -> Tensor:
    """Rows with the ``levels`` finest scales of z drawn anew, ``(N, *shape) -> (N, n, *shape)``: what the coarse scales hold of them.

    0 levels give the rows themselves, all of them samples that share nothing with the rows. Noise from torch's generator. Cost: a pass
    for each row, an inverse pass for each draw.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803 (in the appendix, its
    pictures of what the levels of the latent hold).

    Arguments:
        flow: a model with a normal base, multi-scale for this to be of interest.
        x: rows.
        levels: how many scales, from the finest, are drawn; :func:`scales` counts them.
        temperature: of what is drawn.
        n: draws for each row.
        context: raw contexts of a conditional flow, one for each row.
        batch: rows in a pass.

    Raises:
        ValueError: more levels than there are, or what :func:`scales` and :func:`heated` refuse.
    """
    at = scales(flow)
    count = int(at.max()) + 1
    if not 0 <= levels <= count:
        raise ValueError(f"resample: expected 0 to {count} levels, as many as this flow has scales, got {levels}")
    z = each(encode(flow, x, context, batch=batch), n)
    assert z is not None
    z = torch.where(at.to(z.device) < levels, heated(flow, len(z), temperature).to(z), z)
    return decode(flow, z, each(context, n), batch=batch).reshape(len(x), n, *flow.shape)


def _walk(layer: Transform, at: Tensor, depth: int) -> Tensor:
    """Where everything is after a layer; ``at`` (1, C, H, W) holds the scale of each place, ``depth`` that of what hasn't left."""
    while isinstance(layer, Inverse) and isinstance(layer.transform, Inverse):
        layer = layer.transform.transform
    if isinstance(layer, Chain):
        for step in layer.transforms:
            at = _walk(step, at, depth)
        return at
    if isinstance(layer, Inverse) and isinstance(layer.transform, Chain):
        for step in reversed(layer.transform.transforms):
            at = _walk(Inverse(step), at, depth)
        return at
    if isinstance(layer, Squeeze):
        return layer(at)[0]
    if isinstance(layer, Inverse) and isinstance(layer.transform, Squeeze):
        return layer(at)[0]
    mixed = bool((at != depth).any())
    if isinstance(layer, Factor) and not mixed:
        kept, left = layer.split(at.to(layer.split.keep.device))
        return layer.split.inverse(_walk(layer.rest, kept + 1, depth + 1), left)
    plain = layer.transform if isinstance(layer, Inverse) else layer
    name = type(plain).__name__
    if _holds(layer, Factor):
        raise ValueError(
            f"scales: {name} holds a Factor where it can't be followed; use Chain, Squeeze, Inverse(Squeeze) and nested Factors"
        )
    if mixed and not isinstance(plain, IN_PLACE):
        raise ValueError(f"scales: {name} comes after a Factor and may mix what has left with what has not; put it into the Factor's rest")
    return at


def _holds(module: torch.nn.Module, kind: type[Transform]) -> bool:
    """Whether a layer is or contains one of a kind; a distribution inside, such as a dequantizer's, is a matter of its own."""
    if isinstance(module, Distribution):
        return False
    return isinstance(module, kind) or any(_holds(child, kind) for child in module.children())
