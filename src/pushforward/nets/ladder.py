"""The contract of the nets of one latent map in a hierarchy that is read upwards and downwards, and residual convolutions for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import conv2d
from .patches import IntoPatches

SHARE = 0.1  # of a branch in what it is added to


class LadderBlock(nn.Module):
    """What one latent map z of a hierarchy needs of nets: ``LadderVAE`` takes a list of them.

    Data are read upwards, block after block, and the model goes downwards through the same blocks from the top; the posterior of z reads
    both ways. Features are ``(B, 2 Z + K, *space)``: halves of its mean and log-scale, which are added up, and of what the flow behind it
    reads.

    Arguments:
        latent: the shape of z, ``(Z, *space)``.
    """

    def __init__(self, latent: Sequence[int]):
        super().__init__()
        self.latent = Size(latent)

    def up(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the way up, and the h that the block above reads."""
        raise NotImplementedError(f"{type(self).__name__} does not define up")

    def down(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log-scale of the prior of z, ``(B, 2 Z, *space)``, features of the way down, and what :meth:`merge` needs beside z."""
        raise NotImplementedError(f"{type(self).__name__} does not define down")

    def merge(self, h: Tensor, z: Tensor, rest: Tensor) -> Tensor:
        """The h that the block below reads."""
        raise NotImplementedError(f"{type(self).__name__} does not define merge")


class ConvLadderBlock(LadderBlock):
    r"""Residual convolutions of side 3 both ways, ``h + 0.1 W_2 elu(W_1 elu(h))``; W_2 of the way down reads z as well.

    Means and log-scales start at zero, so that posteriors start as priors, and priors as standard normal. Cost: about ``9 (6 width^2 + 8 Z
    width)`` multiplications per site.

    Reference: Improving Variational Inference with Inverse Autoregressive Flow, Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling,
    2016, arXiv:1606.04934, section 5.1 and its code. Departure: no weight normalization, and the start.

    Arguments:
        latent: the shape of z, ``(Z, H, W)``.
        width: channels of h (160 in the paper).
        topmost: nothing is above that reads h.

    Raises:
        ValueError: no image shape, a width below 1.

    Example::

        >>> block = ConvLadderBlock((4, 7, 7), width=16)
        >>> features, h = block.up(torch.randn(8, 16, 7, 7))
        >>> features.shape, h.shape
        (torch.Size([8, 24, 7, 7]), torch.Size([8, 16, 7, 7]))
    """

    def __init__(self, latent: Sequence[int], *, width: int = 64, topmost: bool = False):
        super().__init__(latent)
        check_counts("ConvLadderBlock", width=width)
        if len(latent) != 3:
            raise ValueError(f"ConvLadderBlock: expected the shape of a map (Z, H, W), got {tuple(latent)}")
        self.width = width
        z = self.latent[0]
        self.up_in = conv2d(width, 2 * z + (1 if topmost else 2) * width)
        self.up_out = None if topmost else conv2d(width, width)
        self.down_in, self.down_out = conv2d(width, 4 * z + 2 * width), conv2d(z + width, width)
        with torch.no_grad():
            self.up_in.weight[: 2 * z].zero_()
            self.down_in.weight[: 4 * z].zero_()

    def up(self, h: Tensor) -> tuple[Tensor, Tensor]:
        features, inner = self.up_in(F.elu(h)).tensor_split([2 * self.latent[0] + self.width], 1)
        return features, h if self.up_out is None else h + SHARE * self.up_out(F.elu(inner))

    def down(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.latent[0]
        prior, features, rest = self.down_in(F.elu(h)).split([2 * z, 2 * z + self.width, self.width], 1)
        return prior, features, rest

    def merge(self, h: Tensor, z: Tensor, rest: Tensor) -> Tensor:
        return h + SHARE * self.down_out(F.elu(torch.cat([z.to(rest.dtype), rest], 1)))

    def extra_repr(self) -> str:
        return f"{tuple(self.latent)}, width={self.width}"


class LadderStem(nn.Module):
    """Whole numbers of images, and a context beside them, to what the lowest block reads.

    ``(B, C + K, H, W) -> (B, width, H / patch, W / patch)``: pixels are brought to (-1, 1), patches to sites, and convolved.

    Arguments:
        channels: C, of an image.
        levels: of a pixel.
        width: channels that leave.
        patch: the side of a patch, which divides the sides of the images.
        context: K.

    Example::

        >>> LadderStem(3, 256, width=16, patch=2)(torch.zeros(8, 3, 8, 8)).shape
        torch.Size([8, 16, 4, 4])
    """

    def __init__(self, channels: int, levels: int, *, width: int = 64, patch: int = 1, context: int = 0):
        super().__init__()
        check_counts("LadderStem", channels=channels, levels=levels, width=width, patch=patch)
        check_counts("LadderStem", least=0, context=context)
        self.channels, self.levels = channels, levels
        self.into = IntoPatches(patch)
        self.conv = conv2d((channels + context) * patch**2, width)

    def forward(self, x: Tensor) -> Tensor:
        image, context = x.tensor_split([self.channels], 1)
        return self.conv(self.into(torch.cat([(2 * image + 1) / self.levels - 1, context], 1)))
