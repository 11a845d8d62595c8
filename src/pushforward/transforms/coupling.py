"""A scalar map for one part of x, with parameters from the other part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform, join, sum_event
from ..univariate import Univariate
from .whole import MaskedLayout, has_code, whole_layer


class Coupling(Transform):
    r"""``z_a = x_a``, ``z_b = f(x_b; h(x_a, context))``; ``ldj = sum log f'(x_b; h)``.

    Both directions take one pass of the net, and the net need not be invertible.

    Shapes: a mask ``(C,)`` splits axis 1; the net maps ``(B, kept + context, *rest)`` to ``(B, params * changed, *rest)``. A mask
    ``(C or 1, *rest)`` over space multiplies the net's input; the net maps ``(B, C + context, *rest)`` to ``(B, params * C, *rest)``,
    of which only the changed sites go through f. If nothing is kept (one feature, say), the net reads the context alone.

    References: NICE, Dinh, Krueger, Bengio, 2014, arXiv:1410.8516; RealNVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803.

    Arguments:
        mask: true (1) where x passes unchanged and is read by the net, as b in RealNVP.
        univariate: the scalar map f.
        net: from what is kept, joined with the context, to the parameters of f.
        shape: the event's shape, needed only where a mask over space has one channel for all.

    Raises:
        ValueError: the mask does not fit x, or nothing is changed.

    Example::

        >>> layer = Coupling([1, 0, 0], Affine(), MLP(1, 4))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    kept: Tensor
    changed: Tensor
    mask: Tensor
    identity: Tensor

    def __init__(self, mask: Sequence[bool | int] | Tensor, univariate: Univariate, net: nn.Module, shape: Sequence[int] | None = None):
        super().__init__()
        flags = torch.as_tensor(mask, device="cpu").bool()
        if shape is not None:
            flags = flags.expand(*shape)
        if flags.all():
            raise ValueError(f"Coupling: the mask {tuple(flags.shape)} keeps everything; at least one entry must be 0 (changed)")
        self.univariate = univariate
        self.net = net
        self.spatial = flags.dim() > 1
        self.mask_shape = tuple(flags.shape)
        sites = flags.flatten().tolist()
        self.register_buffer("kept", torch.tensor([i for i, keep in enumerate(sites) if keep], dtype=torch.long))
        self.register_buffer("changed", torch.tensor([i for i, keep in enumerate(sites) if not keep], dtype=torch.long))
        self._order = tuple(sorted(range(len(sites)), key=lambda i: not sites[i]))  # those that are kept, and then the others
        self.register_buffer("mask", torch.tensor(sites, dtype=torch.float32).view(flags.shape) if self.spatial else None, persistent=False)
        self.register_buffer("identity", torch.tensor(univariate.identity), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(x, context, inverse=False)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(z, context, inverse=True)

    def _mapped(self, x: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        def plain(x: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor]:
            h, part = self.split(x, context)
            part, slope = self.univariate.inverse(part, h) if inverse else self.univariate.forward(part, h)
            return self.merge(x, part), sum_event(slope)

        kept, dense = len(self.kept), None
        numbers = getattr(self.net, "dense", None)
        if numbers and kept and not self.spatial and x.shape[1:] == self.mask_shape and has_code(self.univariate):
            dense = numbers(kept + (0 if context is None else context.shape[1]))
        if dense is None:
            return plain(x)
        first, *others = dense.weights
        given = None if context is None else F.linear(context.to(first.dtype), first[:, kept:])
        layout = MaskedLayout(self._order, (0,) * kept + (len(first),) * len(self.changed), dense.residual, kept)
        return whole_layer(plain, self.univariate, layout, x, given, [first[:, :kept], *others], inverse)

    def split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """``h`` ``(B, params, changed, *rest)`` and the part of x that changes; space is flattened for a mask over space."""
        if (x.shape[1:] if self.spatial else x.shape[1:2]) != self.mask_shape:
            raise ValueError(f"Coupling: mask {self.mask_shape} does not fit x {tuple(x.shape)}")
        params = self.univariate.params
        if self.spatial:
            h = self.net(join(x * self.mask, context)).to(x.dtype)  # of autocast, bfloat16
            h = h.unflatten(1, (params, -1)).flatten(2).index_select(2, self.changed)
            part = x.flatten(1).index_select(1, self.changed)
        else:
            h = self.net(join(x.index_select(1, self.kept), context)).to(x.dtype)
            h = h.unflatten(1, (params, -1))
            part = x.index_select(1, self.changed)
        if any(self.univariate.identity):
            h = h + self.identity.to(h.dtype).view(-1, *(1 for _ in h.shape[2:]))
        return h, part

    def merge(self, x: Tensor, part: Tensor) -> Tensor:
        """x with ``part`` in place of what changes."""
        if self.spatial:
            return x.flatten(1).index_copy(1, self.changed, part).reshape(x.shape)
        return x.index_copy(1, self.changed, part)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        if not self.kept.is_meta:
            self._order = (*self.kept.tolist(), *self.changed.tolist())

    def extra_repr(self) -> str:
        return f"kept={self.kept.numel()}, changed={self.changed.numel()}, {self.univariate!r}"
