"""The densely connected net of images of integer flows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last, check_image, conv2d, like


class DenseNet(nn.Module):
    r"""Blocks that each read all that came before: ``(B, inputs, H, W) -> (B, outputs, H, W)``.

    ``h_0 = x``, ``h_k = [h_(k-1), relu(W_k relu(V_k h_(k-1)))]`` with kernels of side 1 (V) and 3 (W), each adding ``width / depth``
    channels; a convolution of side 3 reads all of them. A site reads a square of side ``2 depth + 3``.

    References: Densely Connected Convolutional Networks, Huang, Liu, van der Maaten, Weinberger, 2016, arXiv:1608.06993; as here:
    Integer Discrete Flows, Hoogeboom, Peters, van den Berg, Welling, 2019, arXiv:1905.07376. Departure: V gives as many channels as a
    block adds, where the paper's keeps those that come.

    Arguments:
        inputs: channels of x, those of a context included.
        outputs: channels that leave.
        width: channels that all blocks add (512 in the paper); at least one for each.
        depth: blocks (12 in the paper).
        gain: of the last layer's weights at the start; 0 starts the net at zero.

    Raises:
        ValueError: fewer channels than blocks, or x is no image of ``inputs`` channels.

    Example::

        >>> DenseNet(3, 6, width=32, depth=4)(torch.randn(8, 3, 16, 16)).shape
        torch.Size([8, 6, 16, 16])
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 512, depth: int = 12, gain: float = 0.0):
        super().__init__()
        check_counts("DenseNet", inputs=inputs, outputs=outputs, width=width, depth=depth)
        if width < depth:
            raise ValueError(f"DenseNet: width must be at least depth, as each block adds width // depth channels, got {width} and {depth}")
        self.inputs, growth = inputs, width // depth
        self.narrow = nn.ModuleList(conv2d(inputs + k * growth, growth, 1) for k in range(depth))
        self.wide = nn.ModuleList(conv2d(growth, growth) for _ in range(depth))
        self.last = conv2d(inputs + depth * growth, outputs, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        check_image(self, x, self.inputs)
        h = channels_last(x)  # narrow layers want the channels of a site together
        for narrow, wide in zip(self.narrow, self.wide, strict=True):
            h = torch.cat([h, F.relu(wide(F.relu(narrow(h))))], 1)
        return like(self.last(h), x)
