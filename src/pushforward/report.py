"""A fitted run on one page: what the data were understood to be, how good the fit is, and pictures; one file, no network."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import __version__
from .core import Flow
from .data.context import example
from .distributions import AnyOrder
from .evaluation.calibration import SPOKEN
from .plots import Picture, save
from .plots.style import number
from .subjects import subject_of
from .training.atomic import write_text
from .usage import questions_of, usage
from .words import listing

if TYPE_CHECKING:
    from .data import Column, Data
    from .doctor import Diagnosis
    from .evaluation import Calibration, Results, Score, TwoSample
    from .training.run import Run

PIXELS = 100  # of the page to an inch of a figure, so that letters are of one size in all of them
FOLDED_FROM = 24  # columns beyond which their table is folded
VALUES = 5  # of a category that are named


def write_report(
    run: Run,
    data: Data,
    results: Results,
    diagnosis: Diagnosis | None = None,
    sections: Mapping[str, str] | None = None,
) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into the run's directory.

    The page holds its pictures and its style: it loads nothing, runs no scripts, and can be mailed or printed. Cost: seconds, some
    tens of thousands of samples and likelihoods.

    Arguments:
        run: the fitted run.
        data: what it was fitted to, in its splits.
        results: how it was judged.
        diagnosis: what ``doctor`` found.
        sections: more of them, title and text; the lines of a table keep their columns.

    Returns:
        The path of report.html.

    Raises:
        ValueError: there is no score.

    Example::

        >>> scores = [evaluate(run.flow, data.test), *baselines(data, data.schema.layers())]
        >>> write_report(run, data, Results(scores, verdict(scores)))
        PosixPath('runs/demo/report.html')
    """
    scores = results.scores
    if not scores:
        raise ValueError("write_report: expected the flow's score and those of baselines, got none; call evaluate first")
    shown = subject_of(data).figures(run, data, scores, results.calibration)
    files = {picture.name: save(picture.figure, run.path / "figures" / f"{picture.name}.png") for picture in shown}
    training = [p for p in shown if p.name in ("learning", "scores")]
    sure = [p for p in shown if p.name in ("coverage", "ranks")]
    model = str(run.config["model"]["name"])
    title = f"{model} fitted to {data.name}"
    body = [
        f"<header><h1>{escape(title)}</h1><p class='lead'>{escape(_lead(scores[0], data))}</p></header>",
        f"<p class='verdict'>{escape(results.verdict)}</p>",
        _section("Scores", _scores(scores), _test(results.c2st), *(_figure(p, files[p.name]) for p in training)),
        *(_section(title, f"<pre>{escape(text)}</pre>") for title, text in (sections or {}).items()),
        _section("Fit", *(_figure(p, files[p.name]) for p in shown if p not in [*training, *sure])),
        _section("Calibration", _intervals(results.calibration), *(_figure(p, files[p.name]) for p in sure)) if sure else "",
        _section("What the data were understood to be", _data(data, run.flow)),
        _section("Doctor", _doctor(diagnosis)) if diagnosis is not None else "",
        _section("Use it", _commands(run)),
        _section("Configuration", _config(run.config)),
        f"<footer>pushforward {escape(__version__)}, torch {escape(torch.__version__)}, Python {platform.python_version()}</footer>",
    ]
    path = run.path / "report.html"
    write_text(path, _page(title, "\n".join(body)))
    return path


def _page(title: str, body: str) -> str:
    css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{css}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _figure(picture: Picture, path: Path) -> str:
    image = base64.b64encode(path.read_bytes()).decode()
    width = round(PIXELS * picture.figure.get_size_inches()[0])
    alt = escape(f"{picture.title}. {picture.caption}", quote=True)
    return (
        f"<figure><h3>{escape(picture.title)}</h3><img width={width} alt='{alt}' src='data:image/png;base64,{image}'>"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = (), marked: int | None = None) -> str:
    """An HTML table of plain text; columns ``numbers`` to the right, row ``marked`` in colour."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [" class='number'" if i in numbers else " class='name'" if i == 0 else "" for i in range(len(cells))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells))

    body = "".join(f"<tr{' class=model' if i == marked else ''}>{line(cells, 'td')}</tr>\n" for i, cells in enumerate(rows))
    return f"<div class='wide'><table><thead><tr>{line(head, 'th')}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def _lead(score: Score, data: Data) -> str:
    error = f" ± {number(score.stderr)}" if score.stderr == score.stderr else ""
    words = (
        f"Test log-likelihood {number(score.nats)}{error} nats per row ({score.words()}), on {score.rows:,} rows that training never saw."
    )
    if score.bits_per_dim is not None:
        words += f" That is {number(score.bits_per_dim)} ± {number(score.bits_stderr or 0.0)} bits per dimension."
    if data.entropy is not None:
        short = -data.entropy - score.nats
        words += f" No model can do better than {number(-data.entropy)}, the negative entropy: this one is "
        words += f"{number(short)} short of it." if short > 2 * score.stderr else "as good, within the noise of these rows."
    return words


def _scores(scores: Sequence[Score]) -> str:
    """The score table, best first, without the columns that no score has."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i].nats)
    columns: list[tuple[str, list[str]]] = [
        ("model", [scores[i].name for i in order]),
        ("nats per row", [number(scores[i].nats) for i in order]),
        ("± std. error", [_or_dash(scores[i].stderr) for i in order]),
        ("standardized", [_or_dash(scores[i].standardized) for i in order]),
        ("bits per dim", [_or_dash(scores[i].bits_per_dim) for i in order]),
        ("± std. err.", [_or_dash(scores[i].bits_stderr) for i in order]),
        ("fitted in", [_duration(scores[i].train_seconds) for i in order]),
        ("kind", [scores[i].words() for i in order]),
    ]
    columns = [(name, cells) for name, cells in columns if any(cell != "–" for cell in cells)]
    numeric = [i for i, (name, _) in enumerate(columns) if name not in ("model", "kind")]
    rows = list(zip(*(cells for _, cells in columns)))
    note = "Log-likelihoods of the test rows in the data's own units; more is better. "
    if any(scores[i].standardized is not None for i in order):
        note += "Standardized: the same for columns divided by their standard deviation. "
    if any(scores[i].bits_per_dim is not None for i in order):
        note += "Bits per dimension: less is better. "
    return _table([name for name, _ in columns], rows, numeric, order.index(0)) + f"<p class='soft'>{escape(note)}</p>"


def _or_dash(value: float | None) -> str:
    return "–" if value is None or value != value else number(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _test(c2st: TwoSample | None) -> str:
    return "" if c2st is None else f"<p>Two-sample test: {escape(c2st.words().replace('+-', '±'))}.</p>"


def _intervals(found: Calibration | None) -> str:
    """Expected beside observed coverage, of the columns that stray most."""
    if found is None:
        return ""
    shown = sorted(found.columns, key=lambda ranks: -max(abs(ranks.at(level) - level) for level in SPOKEN))[:FOLDED_FROM]
    rows = [("expected", *(f"{100 * level:.0f} %" for level in SPOKEN), "")]
    rows += [(ranks.name, *(f"{100 * ranks.at(level):.1f} %" for level in SPOKEN), found.fault(ranks) or "–") for ranks in shown]
    rows += [("standard error", *(f"{100 * found.stderr(level):.1f} %" for level in SPOKEN), "")]
    some = f" The {len(shown)} columns that stray most." if len(shown) < len(found.columns) else ""
    among = f"{found.draws:,} samples {'given its context' if found.joint else 'that all rows share'}"
    note = f"Share of {found.rows:,} test rows in the central interval of each column, each row among {among}.{some}"
    table = _table(("intervals", *(f"central {100 * level:.0f} %" for level in SPOKEN), "samples are"), rows, (1, 2, 3, 4))
    return f"<p>Intervals: {escape(found.words())}.</p>{table}<p class='soft'>{escape(note)}</p>"


def _data(data: Data, flow: Flow) -> str:
    notes = "".join(f"<li{' class=warn' if note.startswith('Warning') else ''}>{escape(note)}</li>" for note in data.notes)
    coded = isinstance(flow.base, AnyOrder)
    lines = [_column(column, data.train.x[:, i], coded) for i, column in enumerate(subject_of(data).columns)]
    lines += [_column(column) for column in data.schema.context]
    if not lines:
        return f"<ul>{notes}</ul>"
    head = ("column", "role", "kind", "smallest", "largest", "distinct", "missing", "treated by")
    kept = [i for i in range(len(head)) if any(line[i] for line in lines)]
    numeric = [at for at, i in enumerate(kept) if 3 <= i <= 6]
    table = _table([head[i] for i in kept], [[line[i] for i in kept] for line in lines], numeric)
    if len(lines) > FOLDED_FROM:
        table = f"<details><summary>All {len(lines)} columns</summary>{table}</details>"
    return f"<ul>{notes}</ul>\n{table}"


def _column(column: Column, x: Tensor | None = None, coded: bool = False) -> tuple[str, ...]:
    """A line about a column with the numbers x in training, or that is given; ``coded`` if the model cuts it into cells, whatever it is."""
    kind, ends = column.kind, ("", "")
    if kind.support().ordered:
        ends = (kind.shown(column.minimum), kind.shown(column.maximum))
    low, high = (f"−{end[1:]}" if end[:1] == "-" else end for end in ends)
    missing = f"{100 * x.isnan().double().mean().item():.1f} %" if x is not None and kind.support().missing else ""
    role, treated = "given" if x is None else "modelled", "" if coded and x is not None else _treatment(column, x is None)
    words = kind.words() + (f": {listing(column.vocabulary, VALUES)}" if column.vocabulary else "")
    return column.name, role, words, low, high, f"{column.distinct:,}", missing, treated


def _treatment(column: Column, given: bool) -> str:
    """What happens to a column before the nets see it."""
    if given:
        return f"one-hot, {len(column.vocabulary)} values" if column.vocabulary else "standardized"
    if column.discrete:
        return "dequantized, standardized" if column.levels is None else f"{column.levels:,} levels: dequantized, logit, standardized"
    maps: dict[tuple[int, ...], str] = {(2,): "logarithm, ", (3,): "logit, ", (4,): "room for the ends, "}
    return maps.get(column.kind.form() or (), "") + "standardized"


def _doctor(diagnosis: Diagnosis) -> str:
    """Findings in words; the table of layers folded."""
    findings = [f"<li class='{escape(finding.severity)}'>{escape(finding.text)}</li>" for finding in diagnosis.findings]
    table = escape("\n".join(diagnosis.lines()))
    return f"<ul>{''.join(findings)}</ul>\n<details><summary>Layer by layer</summary><pre>{table}</pre></details>"


def _commands(run: Run) -> str:
    """How to go on, in the shell and in Python, with an example of the context if there is one."""
    usual, context = subject_of(run).example, {column.name: example(column) for column in run.schema.context}
    where = json.dumps(str(run.path), ensure_ascii=False)
    python = [
        "import pushforward as pf",
        f"samples = pf.sample({where}, {usual.count}{f', context={context!r}' if context else ''})",
        f'scored = pf.score({where}, "{usual.mine}")',
    ]
    blocks = [("", usage(run)), ("", python)]
    asked = questions_of(run)
    if asked:
        how = "exactly" if isinstance(run.flow.base, AnyOrder) else "by weighted samples, so that answers are estimates"
        blocks.append((f"<p>Any columns given any others, {how}; and what is known of each column:</p>", asked))
    return "\n".join(f"{words}<pre>{escape(chr(10).join(lines))}</pre>" for words, lines in blocks)


def _config(config: dict[str, dict[str, Any]]) -> str:
    lines = []
    for table, options in config.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value, default=str, ensure_ascii=False)}" for key, value in options.items()), ""]
    return f"<pre>{escape(chr(10).join(lines).strip())}</pre>"
