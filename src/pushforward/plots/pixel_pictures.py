"""The figures of a model that draws pixel after pixel: where the bits go, what a pixel reads, and the order of drawing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..distributions import Causal, Multiscale
from ..doctor.field import ReceptiveField, receptive_field
from .board import strips
from .images import sheet_of
from .picture import Picture
from .style import DENSITY, INK, MODEL_MAP, bare, figure, style

if TYPE_CHECKING:
    from ..data import ImageSchema

SHOWN, MOMENTS = 8, 7

WHERE = "Images, and below each the bits that its pixels cost, given those before them: surprises are dear, plain ground is nearly free."
FIELD = "What the distribution of the pixel in the frame depends on: gradients of its parameters. Crosses: never read, though it may be."
TURN_BY_TURN = "A sample as it is drawn: each pixel from its distribution given those before it."


def pixel_figures(base: Causal | Multiscale, x: Tensor, context: Tensor | None, schema: ImageSchema) -> list[Picture]:
    """Of a model and some test images with their embedded contexts; a sample is drawn from the global generator."""
    with torch.no_grad():
        some = x[:SHOWN]
        bits = pixel_bits(base, some, None if context is None else context[:SHOWN])
        one = base.sample((), None if context is None else context[:1]).reshape(1, *schema.shape)
    drawn = drawing(one.cpu().numpy(), base.order.cpu().numpy(), schema.levels)
    found = [
        Picture("bits", "Bits of each pixel", WHERE, bits_beside(some.cpu().numpy(), bits, schema.levels)),
        Picture("order", "A sample as it is drawn", TURN_BY_TURN, drawn),
    ]
    if isinstance(base, Causal):
        field = receptive_field(base, x, context)
        reads = f"{FIELD} {field.words()[0].upper()}{field.words()[1:]}."
        found.insert(1, Picture("field", "What a pixel reads", reads, field_figure(field)))
    return found


@torch.no_grad()
def pixel_bits(base: Causal | Multiscale, x: Tensor, context: Tensor | None = None) -> np.ndarray:
    """``-log2 p(x_i | x_{<i})`` of each site, its channels added up, ``(B, C, H, W) -> (B, H, W)``."""
    return (-base.terms(x, context).sum(1) / math.log(2)).cpu().numpy()


@style()
def bits_beside(x: np.ndarray, bits: np.ndarray, levels: int) -> Figure:
    """Images ``(n, C, H, W)`` in a row, and below each what its pixels cost, ``(n, H, W)``."""
    n = len(x)
    aspect = x.shape[2] / x.shape[3]
    picture = figure(max(4.0, 1.15 * n + 0.6), 2 * 1.15 * aspect + 0.7, gap=0.03)
    axes = picture.subplots(2, n, squeeze=False)
    most = float(np.quantile(bits[np.isfinite(bits)], 0.995)) if np.isfinite(bits).any() else 1.0
    for i in range(n):
        axes[0, i].imshow(sheet_of(x[i : i + 1], x.shape[1:], 0.0, levels - 1.0, 1), cmap="gray", vmin=0, vmax=1)
        shown = axes[1, i].imshow(bits[i], cmap=DENSITY, vmin=0, vmax=most)
        axes[1, i].set_xlabel(f"{bits[i].sum():,.0f} bits", fontsize=9, labelpad=3)
        for ax in axes[:, i]:
            bare(ax)
    bar = picture.colorbar(shown, ax=axes[1, :].tolist(), shrink=0.9, pad=0.01)
    bar.ax.set_title("bits", fontsize=9, fontweight="normal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return picture


@style()
def field_figure(field: ReceptiveField) -> Figure:
    """The strength with which a pixel reads each other, in powers of ten; what it must not read is grey."""
    strength = np.where(field.strength > 0, field.strength, np.nan)
    height, width = strength.shape
    picture = figure(4.6, 4.2)
    ax = picture.subplots()
    ax.set_facecolor("#eceef1")
    if np.isfinite(strength).any():
        most = float(np.nanmax(strength))
        shown = ax.imshow(strength, cmap=MODEL_MAP, norm=LogNorm(most * 1e-4, most, clip=True))
        bar = picture.colorbar(shown, ax=ax, shrink=0.85, pad=0.02, format=lambda value, _: f"{value / most:.0e}".replace("e-0", "e-"))
        bar.set_ticks([most * 10.0**-k for k in range(5)])
        bar.minorticks_off()
        bar.outline.set_visible(False)  # type: ignore[operator]
    unread = ~(field.strength.numpy() > 0) & field.before.numpy()
    for row, column in np.argwhere(unread):
        ax.plot(column, row, "x", color=INK, markersize=max(1.0, 60 / max(height, width)), markeredgewidth=0.5)
    row, column = field.site
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.4))
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_title("share of the largest gradient", fontsize=10)
    bare(ax)
    return picture


def drawing(x: np.ndarray, order: np.ndarray, levels: int) -> Figure:
    """One image ``(1, C, H, W)`` at moments of its drawing; what is not drawn yet is grey."""
    count = int(order.max()) + 1
    moments = sorted({round(count * i / MOMENTS) for i in range(1, MOMENTS + 1)})
    images = np.stack([np.where(order < moment, x, (levels - 1) / 2) for moment in moments], 1)
    return strips(images, levels, columns=[f"{moment:,}" for moment in moments])
