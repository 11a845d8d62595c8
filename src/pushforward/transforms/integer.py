"""Bijections of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Transform, join, zeros
from .checks import expect_channels


class IntegerCoupling(Transform):
    r"""``z_a = x_a``, ``z_b = x_b + round(scale g t(x_a / scale, context))`` for whole numbers x; ``ldj = 0``.

    A bijection of the whole numbers: probabilities move with them and none is stretched, ``log P(x) = log P(z)``. Gradients go through the
    rounding as if it were not there (straight-through). The factor g is one learned number that starts at 0, so that the layer starts
    as the identity. The inverse is exact wherever both directions get the same t, as one machine does for the same rows in a batch of
    the same size; another order of summation can move a number that lies at a half to the other side.

    Shapes: ``(B, C, *rest)``; the net maps ``(B, kept + context, *rest)`` to ``(B, changed, *rest)``. Range: what enters a layer
    comes back exactly up to ``2^23`` in float32 and ``2^52`` in float64, as no translation is larger than that. Cost: one pass of the
    net each way.

    References: Integer Discrete Flows and Lossless Compression, Hoogeboom, Peters, van den Berg, Welling, 2019, arXiv:1905.07376; the
    factor: IDF++, van den Berg, Gritsenko, Dehghani, Sønderby, Salimans, 2020, arXiv:2006.12459, after ReZero, arXiv:2003.04887.

    Arguments:
        mask: true (1) for the channels that pass unchanged and are read by the net (three of four in the paper).
        net: from what is kept, joined with the context, to translations in units of ``scale``; one that starts at zero would never learn.
        scale: what the numbers are divided by before the net reads them, such as the number of levels.

    Raises:
        ValueError: a mask that keeps everything or nothing, a scale that is not positive, or x has another number of channels.

    Example::

        >>> layer = IntegerCoupling([1, 1, 0], MLP(2, 1), scale=256.0)
        >>> x = torch.randint(256, (8, 3)).float()
        >>> z, ldj = layer(x)
        >>> torch.equal(layer.inverse(z)[0], x), ldj.shape
        (True, torch.Size([8]))
    """

    kept: Tensor
    changed: Tensor

    def __init__(self, mask: Sequence[bool | int] | Tensor, net: nn.Module, scale: float = 1.0):
        super().__init__()
        flags = [bool(flag) for flag in mask]
        if all(flags) or not any(flags):
            raise ValueError(f"IntegerCoupling: expected a mask that keeps some channels and changes others, got {flags}")
        if not scale > 0:
            raise ValueError(f"IntegerCoupling: scale must be above 0, got {scale:g}")
        self.net, self.scale = net, scale
        self.gain = nn.Parameter(torch.zeros(1))
        self.register_buffer("kept", torch.tensor([i for i, keep in enumerate(flags) if keep], dtype=torch.long))
        self.register_buffer("changed", torch.tensor([i for i, keep in enumerate(flags) if not keep], dtype=torch.long))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._moved(x, context, 1), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._moved(z, context, -1), zeros(z)

    def _moved(self, x: Tensor, context: Tensor | None, sign: int) -> Tensor:
        expect_channels("IntegerCoupling", self.kept.numel() + self.changed.numel(), x)
        t = self.net(join(x.index_select(1, self.kept) / self.scale, context)).to(x.dtype)  # of autocast, bfloat16
        most = 1 / torch.finfo(x.dtype).eps  # beyond twice this some whole numbers are no floats
        steps = straight_through((self.scale * self.gain * t).clamp(-most, most))
        return x.index_add(1, self.changed, sign * steps)

    def extra_repr(self) -> str:
        return f"kept={self.kept.numel()}, changed={self.changed.numel()}, scale={self.scale:g}"


def straight_through(t: Tensor) -> Tensor:
    """The nearest whole number, with the gradient of t itself; the sum is exact, as both its terms are multiples of t's last digit."""
    return t + (t.round() - t).detach()
