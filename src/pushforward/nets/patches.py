"""A net of images that sees patches as sites."""

from __future__ import annotations

from torch import Tensor, nn

from ..core import into_patches, out_of_patches
from ..words import check_counts


class Patches(nn.Module):
    """``net`` on the patches of an image: ``(B, C, H, W) -> (B, outputs / patch^2, H, W)``, with a ``patch^2``-th of the sites.

    The net maps ``(B, C patch^2, H / patch, W / patch)`` to as many sites; its channels come back as pixels. For a net of a given
    width this costs a ``patch^2``-th, and a site reads ``patch`` times as far.

    Arguments:
        net: of images, whose channels in and out are multiples of ``patch^2``.
        patch: the side of a patch, which divides the sides of the images.

    Example::

        >>> Patches(ConvNet(12, 24), 2)(torch.randn(8, 3, 16, 16)).shape
        torch.Size([8, 6, 16, 16])
    """

    def __init__(self, net: nn.Module, patch: int = 2):
        super().__init__()
        check_counts("Patches", patch=patch)
        self.net, self.into, self.out_of = net, IntoPatches(patch), OutOfPatches(patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_of(self.net(self.into(x)))


class IntoPatches(nn.Module):
    """The pixels of a patch as channels of one site, ``(B, C, H, W) -> (B, C patch^2, H / patch, W / patch)``."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        return into_patches(x, self.patch)


class OutOfPatches(nn.Module):
    """The opposite of :class:`IntoPatches`, ``(B, C patch^2, H, W) -> (B, C, H patch, W patch)``."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch

    def forward(self, h: Tensor) -> Tensor:
        return out_of_patches(h, self.patch)
