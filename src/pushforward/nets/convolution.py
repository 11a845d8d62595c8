"""Glow's net of three convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from .conv2d import channels_last, check_image, conv2d, like


class ConvNet(nn.Module):
    r"""``W_3 relu(W_2 relu(W_1 x))``, with kernels of side 3, 1 and 3: ``(B, inputs, H, W) -> (B, outputs, H, W)``; starts at zero.

    A site reads the 5 x 5 sites around it. Cost: ``9 (inputs + outputs) width + width^2`` multiplications per site.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 4 and its
    code. Departures: offsets and weights that start with the right variance instead of ActNorm between the convolutions, and no
    learned factor on what leaves.

    Arguments:
        inputs: channels of x, those of a context included.
        outputs: channels that leave.
        width: hidden channels (512 in the paper).

    Raises:
        ValueError: x is no image of ``inputs`` channels.

    Example::

        >>> ConvNet(6, 12, width=64)(torch.randn(8, 6, 16, 16)).shape
        torch.Size([8, 12, 16, 16])
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 128):
        super().__init__()
        self.inputs = inputs
        self.first = conv2d(inputs, width)
        self.middle = conv2d(width, width, 1)
        self.last = conv2d(width, outputs, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        check_image(self, x, self.inputs)
        h = channels_last(x)  # with relu_ in place a fifth faster: fresh memory is slow
        return like(self.last(self.middle(self.first(h).relu_()).relu_()), x)
