"""Verbs that draw images through the latent of a fitted flow: interpolate, edit, reconstruct."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .app import Json, RunArgument, app, print_json, seed_option

PictureOut = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The picture, .png.", show_default=False)]
ImageData = Annotated[str | None, typer.Option("--data", metavar="DATA", help="Images to choose from.", show_default="those of the run")]
Seed = Annotated[int, seed_option("the choice of images and of noise")]


@app.command("interpolate")
def interpolate_command(
    run: RunArgument,
    out: PictureOut,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE", help="Image files, two for each path; test images otherwise.", show_default=False),
    ] = None,
    data: ImageData = None,
    rows: Annotated[str | None, typer.Option(metavar="A:B,C:D", help="Pairs of rows of the images; drawn by the seed otherwise.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many paths are drawn.")] = 6,
    kind: Annotated[Literal["spherical", "linear"], typer.Option(help="How latents go from one to the other.")] = "spherical",
    steps: Annotated[int, typer.Option(min=2, help="Images on a path, with its ends.")] = 9,
    seed: Seed = 0,
) -> None:
    """Draw images along a path of latents from one image to another."""
    from ..verbs import interpolate
    from .values import row_pairs

    strip = interpolate(run, images or (), out, data=data, rows=row_pairs("--rows", rows), n=number, kind=kind, steps=steps, seed=seed)
    print(f"{out}: {strip.words}")


@app.command("edit")
def edit_command(
    run: RunArgument,
    out: PictureOut,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL[:OTHER]", help="A label, such as 3, 3:7 (from 7 to 3), column=3, or a yes-no column.", show_default=False
        ),
    ] = None,
    method: Annotated[
        Literal["mean", "probe", "class"] | None,
        typer.Option(help="Mean difference, linear probe, or another label as context.", show_default="class if the run has the label"),
    ] = None,
    strengths: Annotated[str, typer.Option(metavar="S,S", help="How far along, for mean and probe.")] = "-2,-1,0,1,2",
    data: ImageData = None,
    rows: Annotated[str | None, typer.Option(metavar="A,B", help="Rows of the images to show; drawn by the seed otherwise.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many are shown.")] = 6,
    seed: Seed = 0,
) -> None:
    """Draw images with less and more of an attribute, or with other labels."""
    from ..verbs import edit
    from .values import decimals, row_numbers

    chosen = row_numbers("--rows", rows)
    found = edit(run, label, out, method=method, strengths=decimals("--strengths", strengths), data=data, rows=chosen, n=number, seed=seed)
    print(f"{out}: {found.words}")


@app.command("reconstruct")
def reconstruct_command(
    run: RunArgument,
    out: PictureOut,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Images; the run's test images otherwise.", show_default=False)] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many are shown.")] = 8,
    limit: Annotated[int, typer.Option(min=0, help="How many are checked at most; 0 for all.")] = 1000,
    resample: Annotated[bool, typer.Option("--resample", help="Show what new fine scales of the latent change instead.")] = False,
    temperature: Annotated[float, typer.Option(help="Of what is drawn for --resample.")] = 1.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Send images to their latents and back, and say how exactly they return."""
    from ..verbs import reconstruct

    found = reconstruct(run, data, out, n=number, limit=limit or None, resample=resample, temperature=temperature, seed=seed)
    if as_json:
        print_json(
            {"run": str(run), "out": str(out)} | {key: getattr(found, key) for key in ("checked", "error", "wrong", "exact", "levels")}
        )
        return
    print(f"{found.words()}.")
    shows = "Above the images, below what came back, and the difference." if found.scales is None else found.scales.words
    print(f"{out}: {shows}")
