"""What the nets of images share: convolutions with their starts, and checks of shape and memory format."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .prefix import transformed


def conv2d(inputs: int, outputs: int, kernel: int = 3, *, gain: float = 1.0, normalized: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size of an image, ``(B, inputs, H, W) -> (B, outputs, H, W)``, for rectified units.

    Weights start with the variance that keeps the second moment of rectified units (Delving Deep into Rectifiers, He, Zhang, Ren,
    Sun, 2015, arXiv:1502.01852), times ``gain``: 0 starts it at zero. Offsets start at zero. ``normalized`` learns the direction
    and the length of each output's weights apart (Weight Normalization, Salimans, Kingma, 2016, arXiv:1602.07868).
    """
    if inputs < 1 or outputs < 1:
        raise ValueError(f"a convolution needs at least one input and one output channel, got {inputs} and {outputs}")
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        layer.weight.mul_(gain)
    return weight_norm(layer) if normalized else layer


def check_image(net: nn.Module, x: Tensor, inputs: int) -> None:
    """Raise ValueError unless x is images of ``inputs`` channels: what a forgotten context looks like from inside."""
    if x.dim() != 4 or x.shape[1] != inputs:
        raise ValueError(f"{type(net).__name__}: expected images (B, {inputs}, H, W), got {tuple(x.shape)}; is a context missing?")


def channels_last(x: Tensor) -> Tensor:
    """x with the channels of a site together in memory, but for the transforms of torch.func, which lay their batches out themselves."""
    return x if transformed() else x.contiguous(memory_format=torch.channels_last)


def like(h: Tensor, x: Tensor) -> Tensor:
    """h in the memory format of x: ``channels_last`` if that is so, else contiguous. A copy only where it differs."""
    if transformed():
        return h
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return h.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
