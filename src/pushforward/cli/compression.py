"""Verbs that make data small by a fitted flow, and large again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..words import tell
from .app import Json, RunArgument, app, print_json


@app.command("compress")
def compress_command(
    run: RunArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="The table, images or sounds, like the run's.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The compressed file.", show_default=False)],
    method: Annotated[
        Literal["auto", "range", "bits-back", "local"],
        typer.Option(help="How to code; auto is what the model's likelihood asks for, and another is refused."),
    ] = "auto",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Read each block again before it is written.")] = True,
    block: Annotated[int | None, typer.Option(metavar="N", min=1, help="Rows of a block.", show_default="64 to 4096")] = None,
    as_json: Json = False,
) -> None:
    """Write DATA as a small file, from which decompress makes them again to the bit; RUN's likelihood says how small."""
    from ..verbs import compress

    found = compress(run, data, out, method=method, check=check, block=block, progress=True)
    if as_json:
        print_json(found.to_json())
    else:
        print("\n".join(found.lines()))


@app.command("decompress")
def decompress_command(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that compress wrote.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Tables .parquet, .csv, ...; images .npy, .npz, .parquet or a folder; sounds .wav, .flac.",
            show_default=False,
        ),
    ],
    salvage: Annotated[bool, typer.Option("--salvage", help="Read what can be read of a damaged file; ends with exit code 1.")] = False,
    as_json: Json = False,
) -> None:
    """Write what is in FILE, to the bit; RUN has to be the run that it was made with."""
    from ..verbs import decompress

    found = decompress(run, file, out, salvage=salvage, progress=True)
    for damage in found.damages:
        tell(damage)
    if as_json:
        print_json(found.to_json())
    else:
        print(f"{found.rows:,} rows in {out}" + (f"; {found.lost:,} were lost" if found.lost else ""))
    if found.damages:
        sys.exit(1)
