"""RealNVP's residual net of images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import check_image, conv2d


class ResNet(nn.Module):
    r"""Residual blocks whose every stage reaches the output: ``(B, inputs, H, W) -> (B, outputs, H, W)``; starts at zero.

    ``h_0 = W_0 x``, ``h_k = h_(k-1) + V_k relu(W_k relu(h_(k-1)))`` with kernels of side 3, and ``W relu(sum_k S_k h_k)`` with
    kernels of side 1. All weights but the last are normalized. A site reads a square of side ``4 depth + 3``.
    Cost: about ``(19 depth + 1) width^2`` multiplications per site.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.7 and appendix E.
    Departure: no batch norm, which makes the density of an image depend on the others of its batch.

    Arguments:
        inputs: channels of x, those of a context included.
        outputs: channels that leave.
        width: hidden channels (32 to 64 in the paper).
        depth: residual blocks (2 to 8 in the paper).

    Raises:
        ValueError: x is no image of ``inputs`` channels.

    Example::

        >>> ResNet(3, 6, width=32, depth=2)(torch.randn(8, 3, 16, 16)).shape
        torch.Size([8, 6, 16, 16])
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 64, depth: int = 4):
        super().__init__()
        check_counts("ResNet", inputs=inputs, outputs=outputs, width=width)
        check_counts("ResNet", least=0, depth=depth)
        self.inputs = inputs
        self.first = conv2d(inputs, width, normalized=True)
        self.inner = nn.ModuleList(conv2d(width, width, normalized=True) for _ in range(depth))
        self.outer = nn.ModuleList(conv2d(width, width, normalized=True) for _ in range(depth))
        self.skips = nn.ModuleList(conv2d(width, width, 1, normalized=True) for _ in range(depth + 1))
        self.last = conv2d(width, outputs, 1, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        check_image(self, x, self.inputs)
        h = self.first(x)
        seen = self.skips[0](h)
        for inner, outer, skip in zip(self.inner, self.outer, self.skips[1:], strict=True):
            h = h + outer(F.relu(inner(F.relu(h))))
            seen = seen + skip(h)
        return self.last(F.relu(seen))
