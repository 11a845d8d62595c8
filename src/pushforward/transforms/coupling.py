"""A scalar map for one part of x, with parameters from the other part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..core import join, sum_event
from ..univariate import Univariate
from .whole import MaskedLayout, Stage, Staged, has_code, masked_stage, run_stages

if TYPE_CHECKING:
    from ..nets.mlp import Dense


class Coupling(Staged):
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

    @property
    def dense(self) -> Dense | None:
        """The net as its numbers, where a kernel computes the layer of vectors."""
        numbers = getattr(self.net, "dense", None)
        return numbers() if numbers and len(self.kept) and not self.spatial and has_code(self.univariate) else None

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        dense, kept = self.dense, len(self.kept)
        if dense is None or x.shape[1:] != self.mask_shape:
            return None
        first, *others = dense.weights
        seen = x[:, :0] if context is None else context
        if seen.dim() != 2 or seen.shape[0] != x.shape[0] or first.shape[1] != kept + seen.shape[1]:
            return None
        given = None if context is None else (first[:, kept:] @ context.to(first.dtype).t()).t().to(first.dtype)  # of autocast, bfloat16

        def plain(x: Tensor, given: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
            h = self._arranged(dense.compute(x.index_select(1, self.kept), given, *weights), x)
            return self._changed(x, h, self._part(x), inverse)

        layout = MaskedLayout(self._order, (0,) * kept + (len(first),) * len(self.changed), dense.residual, kept)
        return masked_stage(plain, self.univariate, layout, [given, first if context is None else first[:, :kept], *others])

    def split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """``h`` ``(B, params, changed, *rest)`` and the part of x that changes; space is flattened for a mask over space."""
        self._expect(x)
        read = x * self.mask if self.spatial else x.index_select(1, self.kept)
        return self._arranged(self.net(join(read, context)), x), self._part(x)

    def merge(self, x: Tensor, part: Tensor) -> Tensor:
        """x with ``part`` in place of what changes."""
        return self._rows(x).index_copy(1, self.changed, part).reshape(x.shape)

    def _mapped(self, x: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        self._expect(x)
        if (stage := self.stage(x, context, inverse)) is not None:
            return run_stages([stage], x, inverse)
        return self._changed(x, *self.split(x, context), inverse)

    def _changed(self, x: Tensor, h: Tensor, part: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        part, slope = self.univariate.inverse(part, h) if inverse else self.univariate.forward(part, h)
        return self.merge(x, part), sum_event(slope)

    def _expect(self, x: Tensor) -> None:
        if (x.shape[1:] if self.spatial else x.shape[1:2]) != self.mask_shape:
            raise ValueError(f"Coupling: mask {self.mask_shape} does not fit x {tuple(x.shape)}")

    def _rows(self, x: Tensor) -> Tensor:
        return x.flatten(1) if self.spatial else x

    def _part(self, x: Tensor) -> Tensor:
        return self._rows(x).index_select(1, self.changed)

    def _arranged(self, out: Tensor, x: Tensor) -> Tensor:
        """What the net gives, ``(B, params * sites, *rest)``, for those that change."""
        h = out.to(x.dtype).unflatten(1, (self.univariate.params, -1))  # of autocast, bfloat16
        if self.spatial:
            h = h.flatten(2).index_select(2, self.changed)
        if any(self.univariate.identity):
            h = h + self.identity.to(h.dtype).view(-1, *(1 for _ in h.shape[2:]))
        return h

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        if not self.kept.is_meta:
            self._order = (*self.kept.tolist(), *self.changed.tolist())

    def extra_repr(self) -> str:
        return f"kept={self.kept.numel()}, changed={self.changed.numel()}, {self.univariate!r}"
