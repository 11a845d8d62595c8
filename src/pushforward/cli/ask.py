"""Verbs that ask a fitted table about its columns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .app import OnEngine, RunArgument, Workers, app, seed_option
from .values import decimals

Table = Annotated[str, typer.Argument(metavar="DATA", help="A table with some of the run's columns.", show_default=False)]
Written = Annotated[
    Path,
    typer.Option(
        "-o", "--out", metavar="FILE", help="The copy: .parquet, .csv, .tsv, .arrow, .feather, .npy; or a folder.", show_default=False
    ),
]


@app.command("impute")
def impute_command(
    run: RunArgument,
    data: Table,
    out: Written,
    draws: Annotated[int, typer.Option(metavar="K", min=1, help="Tables, one below the other, with a column 'draw'.")] = 1,
    how: Annotated[Literal["draw", "middle"], typer.Option(help="At random, or medians and most probable categories.")] = "draw",
    seed: Annotated[int, seed_option("the draws")] = 0,
    engine: OnEngine = "local",
    workers: Workers = 1,
) -> None:
    """Fill the gaps of DATA from what is known of each row."""
    from ..subjects.files import number_of_rows
    from ..verbs import impute

    table = impute(run, data, out, draws=draws, how=how, seed=seed, engine=engine, workers=workers, progress=True)
    print(f"{number_of_rows(table):,} rows in {out}")


@app.command("predict")
def predict_command(
    run: RunArgument,
    data: Table,
    column: Annotated[str, typer.Option(metavar="NAME", help="The column to predict.", show_default=False)],
    out: Written,
    levels: Annotated[str, typer.Option(metavar="Q,Q", help="Levels of the quantiles.")] = "0.05,0.25,0.5,0.75,0.95",
    seed: Annotated[int, seed_option("samples, where there are any")] = 0,
    engine: OnEngine = "local",
    workers: Workers = 1,
) -> None:
    """Add the distribution of one column given the others: mean, quantiles or shares, and the log density of what is there."""
    from ..subjects.files import number_of_rows
    from ..verbs import predict

    table = predict(run, data, column, out, levels=decimals("--levels", levels), seed=seed, engine=engine, workers=workers, progress=True)
    print(f"{number_of_rows(table):,} rows in {out}")
