"""One quiet look for every figure, without touching the user's matplotlib settings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.dates import AutoDateLocator, num2date
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from ..data.kinds import DecimalGrid, Maybe, Time

# Okabe and Ito's palette, told apart by colour-blind readers: data always blue, the model always vermilion.
DATA, MODEL, THIRD = "#0072B2", "#D55E00", "#009E73"
INK, SOFT, RULE, PAPER = "#20262e", "#68717d", "#d7dbe0", "#ffffff"
DAY = 86400.0
DENSITY = "magma"  # perceptually uniform, for densities

# Paper to colour to dark: lightness falls evenly, so that equal steps of density look equal.
DATA_MAP = LinearSegmentedColormap.from_list("data", [PAPER, "#b7d4e8", "#6aaad2", DATA, "#00456e"])
MODEL_MAP = LinearSegmentedColormap.from_list("model", [PAPER, "#f6cdb0", "#ea9a63", MODEL, "#823900"])


def _wheel(steps: int = 256, lightness: float = 0.66, chroma: float = 0.135) -> ListedColormap:
    """All hues at one lightness (Ottosson's OKLab), for angles: no hue fades into the paper or stands out."""
    turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    lab = np.stack([np.full(steps, lightness), chroma * np.cos(turn), chroma * np.sin(turn)])
    cone = np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]])
    linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    rgb = np.clip(linear @ (cone @ lab) ** 3, 0, 1)
    return ListedColormap(np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055).T, "wheel")


WHEEL = _wheel()

SETTINGS: dict[str, Any] = {
    "font.family": ["sans-serif", "DejaVu Sans"],  # the second, which comes with matplotlib, for rarer signs
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a column's name is a dollar sign
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.titlecolor": INK,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 10,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.limits": (-4, 6),
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.4,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.titlesize": 12,
}


@contextmanager
def style() -> Iterator[None]:
    """The settings of this library's figures, for the length of a ``with`` block or of a decorated function."""
    with matplotlib.style.context(["default", SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a column's name in another script
        yield


def figure(width: float, height: float, gap: float = 0.02) -> Figure:
    """An empty figure of ``width`` by ``height`` inches with a canvas of its own: no pyplot, no window, no backend.

    ``gap`` is the space between panels, as a share of a panel.
    """
    empty = Figure(figsize=(width, height), dpi=150, layout=ConstrainedLayoutEngine(h_pad=0.1, wspace=gap, hspace=gap))
    FigureCanvasAgg(empty)
    return empty


@style()
def save(picture: Figure, path: str | Path) -> Path:
    """Write a figure as PNG; the same figure gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, format="png", metadata={"Software": None})
    return path


@style()
def pixels_of(picture: Figure) -> np.ndarray:
    """A figure as it is drawn, ``(H, W, 3)``, uint8."""
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def shorten(name: str, length: int = 22) -> str:
    """A name that fits beside an axis; of a longer one the beginning and the end, by which names differ."""
    name = " ".join(str(name).split())
    last = length // 3
    return name if len(name) <= length else name[: length - 1 - last] + "…" + name[-last:]


def number(x: float, digits: int = 3) -> str:
    """A figure with thousands apart and a true minus sign."""
    return f"{x:,.{digits}f}".replace("-", "−") if np.isfinite(x) else ("−∞" if x < 0 else "not a number" if np.isnan(x) else "∞")


def color(name: str, at: float) -> tuple[float, float, float, float]:
    """A colour of a colormap, ``at`` in 0..1."""
    return matplotlib.colormaps[name](at)


def limits(*samples: np.ndarray, stretch: float = 0.1) -> tuple[float, float]:
    """Axis limits from the 0.5 to the 99.5 percentile, going on to the extremes only where they are near.

    A heavy tail then doesn't squeeze the body of the data into one pixel.
    """
    x = np.concatenate([s[np.isfinite(s)].ravel() for s in samples])
    if not len(x):
        return 0.0, 1.0
    low, high = np.percentile(x, [0.5, 99.5])
    reach = stretch * (high - low)
    low, high = max(x.min(), low - reach), min(x.max(), high + reach)
    margin = 0.03 * (high - low) if high > low else max(0.5, 1e-3 * abs(high))
    return float(low - margin), float(high + margin)


def span(x: np.ndarray, column: Any) -> tuple[float, float]:
    """Axis limits of a column; those of whole numbers end between two of them."""
    low, high = limits(x)
    return (float(np.ceil(low)) - 0.5, float(np.floor(high)) + 0.5) if column.discrete else (low, high)


def edges(low: float, high: float, discrete: bool, bins: int) -> np.ndarray:
    """Bin edges over ``low..high``, about ``bins`` of them; whole numbers stay whole, each in the middle of its bin."""
    if not discrete:
        return np.linspace(low, high, bins + 1)
    first, last = np.ceil(low), np.floor(high)
    width = max(1, int(np.ceil((last - first + 1) / bins)))
    return np.arange(first, last + width + 0.5, width) - 0.5


def bins_for(rows: int, most: int = 60) -> int:
    """How many bins suit so many rows: Rice's rule, ``2 n^(1/3)``."""
    return int(np.clip(2 * np.cbrt(rows), 8, most))


def label_axis(ax: Axes, which: str, column: Any, ticks: int = 5, length: int = 22) -> None:
    """The column's name on an axis whose limits are set, with few ticks: dates for times, words for codes, whole numbers for counts."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(shorten(column.name, length))
    axis.set_major_locator(MaxNLocator(nbins=ticks, integer=column.discrete))
    kind = column.kind.of if isinstance(column.kind, Maybe) else column.kind
    if isinstance(kind, Time) and not (kind.span or kind.clock):
        low, high = axis.get_view_interval()
        days, words = _dates(kind.days(low), kind.days(high), ticks)
        axis.set_ticks([(day - kind.days(0.0)) * DAY / kind.step for day in days], words)
    elif isinstance(kind, DecimalGrid):
        low, high = axis.get_view_interval()
        values = MaxNLocator(nbins=ticks).tick_values(low * kind.step, high * kind.step)
        inside = [value for value in values if low <= value / kind.step <= high]
        axis.set_ticks([value / kind.step for value in inside], [f"{value:,.10g}".replace("-", "−") for value in inside])
    elif column.discrete and kind.name != "integer":
        axis.set_major_formatter(FuncFormatter(lambda x, _: shorten(kind.shown(x), 10) if x == round(x) else ""))
    elif max(map(abs, axis.get_view_interval())) >= 10_000:
        axis.set_major_formatter(EngFormatter(sep=""))


def _dates(low: float, high: float, ticks: int) -> tuple[list[float], list[str]]:
    """Places and words of a few round dates between two times, in days since 1970; the years 1 to 9999 have dates."""
    low, high = max(low, -719_162.0), min(high, 2_932_896.0)
    days = [d for d in AutoDateLocator(minticks=2, maxticks=6).tick_values(num2date(low), num2date(high)) if low <= d <= high]
    days = days[:: -(-len(days) // ticks)] if len(days) else []
    length = high - low
    pattern = "%Y" if length > 1000 else "%b %Y" if length > 60 else "%d %b" if length > 2 else "%H:%M"
    return days, [num2date(d).strftime(pattern) for d in days]


def bare(ax: Axes) -> None:
    """No ticks and no spines."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
