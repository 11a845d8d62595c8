"""Space into channels."""

from __future__ import annotations

from torch import Tensor

from ..core import Transform, into_patches, out_of_patches, zeros
from ..words import check_counts


class Squeeze(Transform):
    r"""Each patch of ``factor`` by ``factor`` pixels becomes the channels of one: ``(B, C, H, W) -> (B, C f^2, H/f, W/f)``; ``ldj = 0``.

    Channel ``(c f + i) f + j`` of z is pixel ``(i, j)`` of the patches of channel c. ``factor=2`` is the squeeze of RealNVP and Glow,
    a larger one their patchify; ``Inverse(Squeeze(f))`` unsqueezes. Cost: one copy.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.6 (their figure 3
    orders the four pixels in another way, which a permutation of channels undoes).

    Arguments:
        factor: the side of a patch.

    Raises:
        ValueError: a factor less than 2, or an image whose sides are not multiples of it.

    Example::

        >>> z, ldj = Squeeze()(torch.randn(8, 3, 32, 32))
        >>> z.shape, ldj.shape
        (torch.Size([8, 12, 16, 16]), torch.Size([8]))
    """

    def __init__(self, factor: int = 2):
        super().__init__()
        check_counts("Squeeze", factor=factor)
        if factor < 2:
            raise ValueError(f"Squeeze: factor must be at least 2, got {factor}")
        self.factor = factor

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        f = self.factor
        if x.dim() != 4 or x.shape[2] % f or x.shape[3] % f:
            raise ValueError(f"Squeeze: expected (B, C, H, W) with sides divisible by {f}, got {tuple(x.shape)}; crop or pad it")
        return into_patches(x, f), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        f = self.factor
        if z.dim() != 4 or z.shape[1] % f**2:
            raise ValueError(f"Squeeze: expected (B, C, H, W) with C divisible by {f**2}, got {tuple(z.shape)}")
        return out_of_patches(z, f), zeros(z)

    def extra_repr(self) -> str:
        return f"factor={self.factor}"
