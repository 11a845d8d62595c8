"""Rows and sheets of images to the pixel: temperatures, paths, edits, reconstructions, scales."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import DATA, INK, PAPER, SOFT, style

DPI = 150
WIDTH = 1380  # pixels that a figure is wide at most, where its images allow
CELL = 132  # pixels that an image is wide at most, where it has fewer of its own
EDGE, LINE, GAP = 24, 34, 6  # around everything; of a line of text; between images
LETTER = 10.5  # a letter's width at 9 points


class Board:
    """A figure in pixels: images at whole multiples of their size and text beside them, so that no pixel is blurred or doubled."""

    def __init__(self) -> None:
        self.images: list[tuple[int, int, np.ndarray]] = []
        self.words: list[tuple[float, float, str, dict[str, object]]] = []
        self.frames: list[tuple[int, int, int, int]] = []
        self.width = self.height = 0

    def image(self, left: int, top: int, image: np.ndarray, framed: bool = False) -> None:
        """An image ``(h, w, 3)`` within 0..1; framed in the colour of data if it is one of the data."""
        height, width = image.shape[:2]
        self.images.append((left, top, image))
        self.width, self.height = max(self.width, left + width + EDGE), max(self.height, top + height + EDGE)
        if framed:
            self.frames.append((left, top, width, height))

    def text(self, x: float, y: float, words: str, **options: object) -> None:
        self.words.append((x, y, words, {"fontsize": 9, "color": SOFT, "va": "center"} | options))

    def figure(self) -> Figure:
        """All of it."""
        sheet = np.ones((self.height, self.width, 3))
        for left, top, image in self.images:
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
        picture = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(picture)
        ax = picture.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        ax.imshow(sheet, interpolation="nearest", extent=(0, self.width, self.height, 0), aspect="auto")
        for x, y, words, options in self.words:
            ax.text(x, y, words, **options)  # type: ignore[arg-type]
        for left, top, width, height in self.frames:
            ax.add_patch(Rectangle((left - 2.5, top - 2.5), width + 5, height + 5, fill=False, edgecolor=DATA, linewidth=1.9))
        return picture


@style()
def strips(
    images: np.ndarray,
    levels: int,
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    real: Collection[int] = (),
) -> Figure:
    """Rows of images ``(rows, columns, C, H, W)``, whole numbers ``0..levels-1``, with words above columns and beside rows.

    Images of the columns ``real`` are framed in blue: they are data, the others are the model's.
    """
    down, across = images.shape[:2]
    left = EDGE + (round(max(map(len, rows)) * LETTER) + 10 if rows else 0)
    top = EDGE + (LINE if columns else 0)
    cells, side = _cells(images, levels, (WIDTH - left - EDGE) / across - GAP)
    board = Board()
    for i in range(down):
        y = top + i * (side[0] + GAP)
        for j in range(across):
            board.image(left + j * (side[1] + GAP), y, cells[i, j], j in real)
        if rows:
            board.text(left - 12, y + side[0] / 2, rows[i], ha="right")
    for j, words in enumerate(columns):
        board.text(left + j * (side[1] + GAP) + side[1] / 2, EDGE + LINE / 2 - 6, words, ha="center", color=DATA if j in real else SOFT)
    return board.figure()


@style()
def temperatures(samples: Mapping[float, np.ndarray], levels: int, columns: int = 0) -> Figure:
    """A sheet of samples for each temperature, ``(n, C, H, W)`` each, beside each other; the same latent in the same place.

    ``columns`` is how many images stand in a row of a sheet; 0 for a square.
    """
    first = next(iter(samples.values()))
    columns = min(len(first), columns or math.ceil(math.sqrt(len(first))))
    lines = -(-len(first) // columns)
    most = 4 if columns <= 4 else 3 if columns <= 8 else 2
    panels = -(-len(samples) // -(-len(samples) // most))  # as many in each line
    gap, between = 2, 26
    room = ((WIDTH - 2 * EDGE - (panels - 1) * between) / panels - (columns - 1) * gap) / columns
    board, sheet = Board(), (0, 0)
    for k, (temperature, images) in enumerate(samples.items()):
        cells, side = _cells(images, levels, room)
        sheet = (lines * (side[0] + gap) - gap, columns * (side[1] + gap) - gap)
        left = EDGE + k % panels * (sheet[1] + between)
        top = EDGE + LINE + k // panels * (sheet[0] + LINE + between)
        board.text(left, top - LINE / 2 - 2, f"temperature {temperature:g}", ha="left", color=INK, weight="bold", fontsize=10)
        for i, cell in enumerate(cells):
            board.image(left + i % columns * (side[1] + gap), top + i // columns * (side[0] + gap), cell)
    return board.figure()


@style()
def reconstructions(x: np.ndarray, back: np.ndarray, levels: int) -> Figure:
    """Images ``(n, C, H, W)``, below each what comes back from its latent, and their difference, enlarged so that it can be seen."""
    difference = np.abs(back.astype(np.float64) - x)
    largest = float(difference.max())
    factor = max(1, int((levels - 1) / largest)) if largest else 1
    words = f"difference × {factor}" if factor > 1 else "difference"
    rows = np.stack([x, back, np.minimum(difference * factor, levels - 1)])
    whole = Board()
    labels = ["data", "from latent", words if largest else "difference: 0"]
    left = EDGE + round(max(map(len, labels)) * LETTER) + 10
    cells, side = _cells(rows, levels, (WIDTH - left - EDGE) / len(x) - GAP)
    for i, words in enumerate(labels):
        y = EDGE + i * (side[0] + GAP)
        whole.text(left - 12, y + side[0] / 2, words, ha="right", color=DATA if i == 0 else SOFT)
        for j in range(len(x)):
            whole.image(left + j * (side[1] + GAP), y, cells[i, j])
    return whole.figure()


def _cells(images: np.ndarray, levels: int, room: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Images ``(..., C, H, W)`` as colours ``(..., h, w, 3)`` within 0..1, enlarged to fit a width, and their new height and width."""
    channels, height, width = images.shape[-3:]
    values = np.clip(np.nan_to_num(np.asarray(images, np.float64)) / max(1, levels - 1), 0, 1)
    if channels != 3:
        values = np.repeat(values[..., :1, :, :], 3, axis=-3)
    scale = max(1, int(min(room, max(CELL, width)) // width))
    colours = np.moveaxis(values, -3, -1).repeat(scale, -3).repeat(scale, -2)
    return colours, (height * scale, width * scale)
