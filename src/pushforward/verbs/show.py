"""The score table of the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation import Score, Surgery
from ..subjects.table_questions import ByColumn
from ..words import printable
from .paired import Comparison


def print_scores(scores: Sequence[Score | Mapping[str, Any]]) -> None:
    """Print scores (or their JSON) as a table on stdout, the figures with their units and what kind of figure each is."""
    from rich.console import Console
    from rich.table import Table

    rows = [s.to_json() if isinstance(s, Score) else s for s in scores]

    standardized = any(s["standardized"] is not None for s in rows)
    bits = any(s["bits_per_dim"] is not None for s in rows)
    table = Table(title=f"Log-likelihood of {rows[0]['rows']:,} rows", title_justify="left")
    table.add_column("model")
    table.add_column("nats per row", justify="right")
    if standardized:
        table.add_column("standardized", justify="right")
    if bits:
        table.add_column("bits per dim", justify="right")
    table.add_column("which is")
    for s in rows:
        cells = [s["name"], "-inf" if s["nats"] is None else f"{s['nats']:.3f} ± {s['stderr']:.3f}"]
        cells += [_number(s["standardized"])] if standardized else []
        cells += [_with_error(s["bits_per_dim"], s.get("bits_stderr"))] if bits else []
        table.add_row(*cells, s["words"])
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)


def print_comparison(found: Comparison) -> None:
    """Print scores of runs on the same rows, and how far each is from the first, row by row."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Log-likelihood of the same {found.scores[0].rows:,} rows", title_justify="left")
    for heading in ("run", "nats per row", "minus the first", "which is"):
        table.add_column(heading, justify="right" if heading in ("nats per row", "minus the first") else "left")
    for place, (score, (gap, error)) in enumerate(zip(found.scores, found.differences)):
        reached = "-inf" if not math.isfinite(score.nats) else f"{score.nats:.3f} ± {score.stderr:.3f}"
        apart = "" if place == 0 else f"{gap:+.3f} ± {error:.3f}" if math.isfinite(gap) else f"{gap:+}"
        table.add_row(score.name, reached, apart, score.words())
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def print_by_column(found: Sequence[ByColumn]) -> None:
    """Print what a model knows of each column: the one that the others explain most comes first."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Nats of each column", title_justify="left")
    for heading in ("column", "in the chain", "alone", "given all others", "explained"):
        table.add_column(heading, justify="left" if heading == "column" else "right")
    for column in sorted(found, key=lambda column: column.alone - column.given_others):
        figures = (column.nats, column.alone, column.given_others, column.given_others - column.alone)
        table.add_row(printable(column.column), *(f"{figure:.3f}" for figure in figures))
    total = sum(column.nats for column in found)
    table.add_row("all", f"{total:.3f}", f"{sum(column.alone for column in found):.3f}", "", "")
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def print_parts(found: Surgery) -> None:
    """Print what a bound consists of, in nats per row."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"The bound of {found.rows:,} rows, taken apart", title_justify="left")
    table.add_column("part")
    table.add_column("nats per row", justify="right")
    table.add_column("which is")
    table.add_row("reconstruction", f"{found.reconstruction:.3f}", "log p(x|z)")
    table.add_row("mutual information", f"{-found.mutual_information:.3f}", f"between row and latent; at most log n = {found.cap:.2f}")
    table.add_row(
        "marginal divergence", f"{-found.marginal_kl:.3f}", "of the aggregated posterior from the prior: what a better prior gains"
    )
    table.add_row("bound", f"{found.bound:.3f} ± {found.stderr:.3f}", "their sum: a lower bound, K=1 sample")
    if found.tight is not None and found.gap is not None:
        table.add_row("tighter bound", f"{found.tight:.3f}", f"K={found.draws:,} samples, of {found.tight_rows:,} rows")
        table.add_row("posterior gap", f"{found.gap:.3f} ± {found.gap_stderr:.3f}", "what the posterior loses, of the same rows")
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)
    print(f"{found.active} of {found.units} latents are active: their means vary by more than .01 over the rows.")


def _with_error(value: float | None, error: float | None) -> str:
    return _number(value) + ("" if value is None or error is None else f" ± {error:.3f}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
