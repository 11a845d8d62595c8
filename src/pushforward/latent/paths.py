"""Paths between latents, and the data along them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core import Flow
from ..evaluation import entering
from .passes import BATCH, each, encode, passes

Kind = Literal["linear", "spherical"]


def linear(a: Tensor, b: Tensor, steps: int) -> Tensor:
    r"""The straight line, ``(1 - t) a + t b`` for t from 0 to 1: ``(N, *event)`` twice to ``(N, steps, *event)``; the ends are a and b.

    In many dimensions the middle between two normal vectors is ``sqrt(2)`` times shorter than they are, and so is likelier than any
    sample: decoded, it is smoother than the ends.
    """
    t = _grid(a, b, steps)
    return _ends((1 - t) * a.unsqueeze(1) + t * b.unsqueeze(1), a, b)


def spherical(a: Tensor, b: Tensor, steps: int) -> Tensor:
    r"""The great circle: the direction turns evenly from a's to b's, the norm goes linearly from ``|a|`` to ``|b|``.

    ``(N, *event)`` twice to ``(N, steps, *event)``; each pair is taken as two vectors of all their numbers. With ``u = a/|a|``,
    ``v = b/|b|``, their angle ``A`` and ``w`` the unit vector of ``v - (u.v) u``, the direction at t is ``cos(tA) u + sin(tA) w``: the
    usual ``sin((1-t)A)/sin A u + sin(tA)/sin A v`` without its 0/0. So parallel vectors give a straight line. For opposite ones no
    great circle is singled out; the one through the axis where u is smallest is taken. The norms stay where those of samples
    are: a draw of D standard normals is close to ``sqrt(D)`` long. The ends are a and b to the bit.

    References: Animating rotation with quaternion curves, Shoemake, 1985; Sampling Generative Networks, White, 2016, arXiv:1609.04468.

    Raises:
        ValueError: shapes that differ, or fewer than two steps.

    Example::

        >>> spherical(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 3)[0, 1]
        tensor([0.7071, 0.7071])
    """
    t = _grid(a, b, steps).reshape(1, -1, 1)
    start, stop = a.flatten(1), b.flatten(1)
    tiny = torch.finfo(a.dtype).tiny
    lengths = [v.norm(dim=1, keepdim=True) for v in (start, stop)]
    u, v = (vector / length.clamp_min(tiny) for vector, length in zip((start, stop), lengths))
    cosine = (u * v).sum(1, keepdim=True)
    across = v - cosine * u
    sine = across.norm(dim=1, keepdim=True)
    axis = torch.nn.functional.one_hot(u.abs().argmin(1), u.shape[1]).to(u)
    aside = axis - (axis * u).sum(1, keepdim=True) * u  # at right angles to u, for opposite vectors
    opposite = (cosine < 0) & (sine < 4 * torch.finfo(a.dtype).eps)
    w = torch.where(opposite, aside, across)
    w = w / w.norm(dim=1, keepdim=True).clamp_min(tiny)
    angle = torch.atan2(sine, cosine).unsqueeze(1)
    direction = torch.cos(t * angle) * u.unsqueeze(1) + torch.sin(t * angle) * w.unsqueeze(1)
    length = (1 - t) * lengths[0].unsqueeze(1) + t * lengths[1].unsqueeze(1)
    return _ends((length * direction).reshape(len(a), steps, *a.shape[1:]), a, b)


def interpolate(
    flow: Flow,
    x0: Tensor,
    x1: Tensor,
    steps: int = 9,
    kind: Kind = "spherical",
    context: Tensor | None = None,
    other: Tensor | None = None,
    *,
    batch: int = BATCH,
) -> Tensor:
    """Data along a path of latents between rows of x0 and of x1, ``(N, *shape)`` twice to ``(N, steps, *shape)``.

    The first and last of each path are ``decode(encode(x))`` of the ends. Cost: a pass for each end, an inverse pass for each step.

    Reference: Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 5.1 (linear).

    Arguments:
        flow: the model.
        x0, x1: the ends.
        steps: how many rows on each path, with its ends.
        kind: "linear" or "spherical".
        context: raw contexts of x0, one for each pair, for a conditional flow.
        other: those of x1, where they differ: what the layers see of a context then goes linearly from one to the other.
        batch: rows in a pass.

    Raises:
        ValueError: x0 and x1 of different shapes, fewer than two steps, another kind, or a context that is missing or doesn't fit.

    Example::

        >>> interpolate(flow, images[:4], images[4:8], steps=9).shape
        torch.Size([4, 9, 1, 28, 28])
    """
    paths = {"linear": linear, "spherical": spherical}
    if kind not in paths:
        raise ValueError(f"interpolate: expected the kind {' or '.join(paths)}, got {kind!r}")
    if x0.shape != x1.shape:
        raise ValueError(f"interpolate: expected as many ends of the same shape, got {tuple(x0.shape)} and {tuple(x1.shape)}")
    other = context if other is None else other
    z = paths[kind](encode(flow, x0, context, batch=batch), encode(flow, x1, other, batch=batch), steps).flatten(0, 1)
    seen = None
    if context is not None and other is not None and flow.context_shape is not None:
        with torch.no_grad():
            ends = [flow.embedding(entering(flow, z, given)[1]) for given in (context, other)]  # type: ignore[arg-type]
        seen = linear(ends[0], ends[1], steps).flatten(0, 1) if other is not context else each(ends[0], steps)
    return passes(flow, flow.transform.decode, z, seen, batch).reshape(len(x0), steps, *flow.shape)


def _grid(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """t from 0 to 1, ``(1, steps, 1, ...)``."""
    if a.shape != b.shape or a.dim() < 2:
        raise ValueError(f"a path: expected two batches of the same shape (N, ...), got {tuple(a.shape)} and {tuple(b.shape)}")
    if steps < 2:
        raise ValueError(f"a path: expected at least 2 steps, its ends, got {steps}")
    return torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device).reshape(1, steps, *(1 for _ in a.shape[1:]))


def _ends(path: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a.unsqueeze(1), path[:, 1:-1], b.unsqueeze(1)], 1)
