"""What every figure that a test writes must keep: no word leaves it."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

SLACK = 1.0  # pixels: edges are rounded to whole ones


def cut_words(figure: Figure) -> list[str]:
    """The words that reach beyond the figure's edge once it is drawn, and titles that lie over each other."""
    figure.canvas.draw()
    room, cut = figure.bbox, []
    hidden = {text for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for text in _not_drawn(axis)}
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist not in hidden):
        box = text.get_window_extent()
        if text.get_text().strip() and min(box.x0, box.y0, room.width - box.x1, room.height - box.y1) < -SLACK:
            cut.append(text.get_text())
    titles = [
        (ax, title.get_window_extent()) for ax in figure.axes for title in (ax.title, ax._left_title, ax._right_title) if title.get_text()
    ]
    for (one, first), (other, second) in itertools.combinations(titles, 2):
        if one is not other and first.overlaps(second):
            cut.append(f"{one.get_title(loc='left')} over {other.get_title(loc='left')}")
    return cut


def _not_drawn(axis: Axis) -> set[Text]:
    """Labels of ticks beyond the limits, which are artists, too."""
    drawn = axis._update_ticks() if axis.axes.axison and axis.axes.get_visible() else []
    return {label for tick in [*axis.majorTicks, *axis.minorTicks] if tick not in drawn for label in (tick.label1, tick.label2)}


@pytest.fixture(autouse=True)
def words_stay_inside(monkeypatch):
    """Every figure that is saved while a test runs is looked at."""
    write = Figure.savefig

    def savefig(self, *arguments, **options):
        write(self, *arguments, **options)
        assert not cut_words(self), f"words leave the figure: {cut_words(self)}"

    monkeypatch.setattr(Figure, "savefig", savefig)
