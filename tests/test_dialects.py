"""A table written in any dialect is read back as it was."""

from __future__ import annotations

import csv
import datetime
import io
import random

import pytest

from pushforward.data import read

WORDS = ["Köln", "a; b", 'say "so"', "x,y", "two\nlines", "O'Neill", "#1", "tab\tbed", "p|q", "1 or 2"]
LETTERS = "nxwdb"


def written(dice: random.Random) -> tuple[bytes, dict[str, list], bool]:
    """A table of whole numbers, decimals, words, days and truth values as text, its values, and whether it has a header."""
    rows = dice.choice([3, 30, 300])
    mark, group = dice.choice([".", ","]), dice.choice(["", " ", "'", "other"])
    group = {".": ",", ",": "."}[mark] if group == "other" else group
    spell = {
        "n": str,
        "x": lambda x: f"{x:,.2f}".replace(",", "G").replace(".", mark).replace("G", group),
        "w": str,
        "d": lambda day: day.strftime("%d.%m.%Y" if mark == "," else "%Y-%m-%d"),
        "b": str,
    }
    draw = {
        "n": lambda: dice.randrange(-50, 5000),
        "x": lambda: round(dice.gauss(0, 3000), 2),
        "w": lambda: dice.choice(WORDS),
        "d": lambda: datetime.date(2020, 1, 1) + datetime.timedelta(dice.randrange(2000)),
        "b": lambda: dice.random() < 0.5,
    }
    names = dice.sample(LETTERS, len(LETTERS))
    values = {name: [None if i and dice.random() < 0.05 else draw[name]() for i in range(rows)] for name in names}
    header, missing = dice.random() < 0.8, dice.choice(["", "NA", "?", "null"])
    text = io.StringIO(newline="")
    style = {"quoting": dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), "lineterminator": dice.choice(["\n", "\r\n"])}
    writer = csv.writer(text, delimiter=dice.choice(",;\t|"), **style)
    writer.writerows([names] if header else [])
    writer.writerows([missing if v is None else spell[k](v) for k, v in zip(names, row)] for row in zip(*values.values()))
    return text.getvalue().encode(dice.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])), values, header


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_is_read(tmp_path, seed):
    content, values, header = written(random.Random(seed))
    (tmp_path / "t.csv").write_bytes(content)
    source = read(tmp_path / "t.csv")
    expected = values if header else {f"x{i}": each for i, each in enumerate(values.values())}
    assert source.named == header and source.table.to_pydict() == expected
