"""Images: a sheet of data beside a sheet of samples, and the test images that the model finds most and least likely."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import SOFT, bare, figure, number, style


@style()
def sheets(x: np.ndarray, samples: np.ndarray, shape: Sequence[int], low: float, high: float, side: int = 8) -> Figure:
    """Up to ``side * side`` images of the data and as many samples; x and samples ``(n, prod(shape))``, grey from ``low`` to ``high``.

    Few images stand in a square of their own, and the figure is as high as the sheets are.
    """
    side = min(side, math.ceil(math.sqrt(max(len(x), len(samples)))))
    pair = [sheet_of(rows[: side * side], shape, low, high, side) for rows in (x, samples)]
    aspect = max(sheet.shape[0] for sheet in pair) / pair[0].shape[1]
    picture = figure(9.2, 4.35 * aspect + 0.4, gap=0.05)
    for ax, sheet, title in zip(picture.subplots(1, 2), pair, ("data", "samples")):
        _show(ax, sheet)
        ax.set_title(title)
    return picture


@style()
def extremes(
    x: np.ndarray, log_prob: np.ndarray, shape: Sequence[int], low: float, high: float, count: int = 10, bits: bool = False
) -> Figure:
    """The most and the least likely rows of x, each with its log-likelihood in nats ``(n,)``, or with its bits per dimension."""
    order = np.argsort(-np.nan_to_num(log_prob, nan=-np.inf))
    count = min(count, len(order))
    picture = figure(max(3.7, 0.92 * count), 2.9)  # few images stand close together
    axes = picture.subplots(2, count, squeeze=False)
    for line, which, title in zip(axes, (order[:count], order[::-1][:count]), ("most likely", "least likely")):
        for ax, i, image in zip(line, which, _pictures(x[which], shape, low, high)):
            _show(ax, image)
            words = number(-float(log_prob[i]) / (math.prod(shape) * math.log(2)), 2) if bits else number(float(log_prob[i]), 1)
            ax.set_xlabel(words, fontsize=9, color=SOFT, labelpad=3)
        line[0].set_title(title, fontsize=10)
        if bits and count > 1:
            line[-1].set_title("bits per dim", fontsize=9, fontweight="normal", loc="right", color=SOFT)
    return picture


def _pictures(rows: np.ndarray, shape: Sequence[int], low: float, high: float) -> np.ndarray:
    """``(n, D) -> (n, H, W)`` or ``(n, H, W, 3)`` within 0..1; the shape is ``(H, W)`` or ``(C, H, W)``."""
    images = np.clip((np.nan_to_num(rows, nan=low) - low) / (high - low), 0, 1).reshape(len(rows), *shape)
    if len(shape) == 2:
        return images
    return images.transpose(0, 2, 3, 1) if shape[0] == 3 else images[:, 0]


def sheet_of(rows: np.ndarray, shape: Sequence[int], low: float, high: float, side: int) -> np.ndarray:
    """Images as one picture, ``side`` in a row, with a white line between them."""
    images = _pictures(rows, shape, low, high)
    h, w = images.shape[1:3]
    seam = max(1, round(0.08 * h))
    down = -(-len(images) // side)
    sheet = np.ones((down * (h + seam) - seam, side * (w + seam) - seam, *images.shape[3:]))
    for k, image in enumerate(images):
        top, left = k // side * (h + seam), k % side * (w + seam)
        sheet[top : top + h, left : left + w] = image
    return sheet


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(ax)
