"""Which sites of an image a coupling keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def checkerboard(shape: Sequence[int], odd: bool = False) -> Tensor:
    """True where ``row + column`` is even (``odd``: where it is odd), for all channels: ``(C, H, W)``.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.4.

    Raises:
        ValueError: the shape is not ``(C, H, W)``.

    Example::

        >>> checkerboard((1, 2, 2)).int().tolist()
        [[[1, 0], [0, 1]]]
    """
    channels, height, width = _image("checkerboard", shape)
    even = (_places(height)[:, None] + _places(width)) % 2 == 0
    return (even != odd).expand(channels, height, width)


def half_channels(channels: int, odd: bool = False) -> Tensor:
    """True for the first half of the channels (``odd``: for the others): ``(C,)``.

    Raises:
        ValueError: fewer than two channels.
    """
    if channels < 2:
        raise ValueError(f"half_channels: expected at least 2 channels, got {channels}; squeeze the image first")
    return (_places(channels) < channels // 2) != odd


def half_plane(shape: Sequence[int], axis: str = "height", odd: bool = False) -> Tensor:
    """True for the upper half (``axis="width"``: the left half; ``odd``: the other half): ``(C, H, W)``.

    A bad partition, to be compared with :func:`checkerboard`: far sites say little about each other.

    Raises:
        ValueError: the shape is not ``(C, H, W)``, or an axis of neither name.
    """
    channels, height, width = _image("half_plane", shape)
    if axis not in ("height", "width"):
        raise ValueError(f"half_plane: axis must be height or width, got {axis!r}")
    first = _places(height)[:, None] < height // 2 if axis == "height" else _places(width)[None] < width // 2
    return (first != odd).expand(channels, height, width)


def _places(count: int) -> Tensor:
    """0, 1, ... as numbers even where a model is built on the meta device: masks are known before any tensor."""
    return torch.arange(count, device="cpu")


def _image(name: str, shape: Sequence[int]) -> Sequence[int]:
    if len(shape) != 3:
        raise ValueError(f"{name}: expected the shape of an image (C, H, W), got {tuple(shape)}")
    return shape
