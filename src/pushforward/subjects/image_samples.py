"""Samples of a model of images, at one temperature or several, and the files they are written to."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from torch import Tensor

from .. import plots
from ..data import ImageSchema
from ..data.context import context_rows
from ..latent import sample as draw
from ..training.atomic import replace
from ..words import nearest

if TYPE_CHECKING:
    from ..training import Run

IMAGE_ENDINGS = (".png", ".npy", ".npz", ".parquet")


def sample_images(
    run: Run,
    schema: ImageSchema,
    n: int,
    out: str | Path | None = None,
    *,
    context: Any = None,
    temperature: Sequence[float] = (1.0,),
    seed: int = 0,
) -> np.ndarray:
    """Whole numbers ``(N, C, H, W)``: for each temperature, for each context, ``n`` samples, in this order; the same latents at each.

    Files: ``.png`` (one temperature: a plain sheet, each context a row; several: sheets side by side), ``.npy`` and ``.npz`` (the numbers),
    ``.parquet`` (the Hub's layout: PNG bytes, labels), or a folder of PNG files, with a sub-folder for each label where there are labels.

    Raises:
        ValueError: a context is missing or unknown, a temperature is below 0, or a file can't be written.
    """
    if out is not None:
        check_image_file("sample", Path(out))
    if not len(temperature):
        raise ValueError("sample: expected at least one temperature, got none; 1 is the model itself")
    given = context_rows(schema, context)
    sheets = []
    for degree in temperature:
        x = draw(run.flow, n, degree, given, seed=seed)
        x = x if given is None else x.transpose(0, 1).flatten(0, 1)  # one context after the other
        sheets.append(whole(x, schema.levels))
    images = np.concatenate(sheets)
    if out is not None:
        labels = None if given is None else schema.decode_context(given.repeat_interleave(n, 0).repeat(len(sheets), 1))
        columns = n if given is not None and len(given) > 1 and n <= 16 else 0
        write_images(Path(out), images, schema, labels, dict(zip(temperature, sheets)), columns)
    return images


def whole(x: Tensor, levels: int) -> np.ndarray:
    """What a flow gave, as whole numbers within the levels."""
    return x.round().clamp(0, levels - 1).cpu().numpy().astype(np.uint8 if levels <= 256 else np.int32)


def check_image_file(who: str, path: Path) -> None:
    """Raise ValueError unless images can be written there: a file of a known ending in a folder that is there, or a new or empty folder."""
    if path.suffix and path.suffix.lower() not in IMAGE_ENDINGS:
        hint = nearest(path.suffix, IMAGE_ENDINGS) or ";"
        raise ValueError(f"{who}: can't write images to {path}{hint} use {', '.join(IMAGE_ENDINGS)}, or a folder (a name without ending)")
    if not path.parent.is_dir():
        raise ValueError(f"{who}: there is no folder {path.parent} to write {path.name} to; make it first")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{who}: {path} exists and is not an empty folder; choose another name")


def write_images(
    path: Path, images: np.ndarray, schema: ImageSchema, labels: pa.Table | None, sheets: dict[float, np.ndarray], columns: int
) -> None:
    """Images with their labels to a file or a folder; a picture shows them by temperature."""
    ending = path.suffix.lower()
    if ending == ".png" and len(sheets) > 1:
        replace(path, lambda place: plots.save(plots.temperatures(sheets, schema.levels, columns), place))
    elif ending == ".png":
        replace(path, lambda place: plots.contact_sheet(images, schema.levels, place, columns=columns))
    elif ending in (".npy", ".npz"):
        replace(path, lambda place: _save_numbers(place, images, labels if ending == ".npz" else None, ending))
    elif ending == ".parquet":
        replace(path, lambda place: pyarrow.parquet.write_table(_table(images, schema.levels, labels), place))
    else:
        _folder(path, images, schema.levels, labels)


def _save_numbers(path: Path, images: np.ndarray, labels: pa.Table | None, ending: str) -> None:
    with path.open("wb") as file:  # numpy would add its ending to the temporary name
        if ending == ".npy":
            np.save(file, images)
            return
        named = {} if labels is None else {name: np.asarray(labels[name].to_pylist()) for name in labels.column_names}
        np.savez_compressed(file, x=images, **named)  # type: ignore[arg-type]


def _table(images: np.ndarray, levels: int, labels: pa.Table | None) -> pa.Table:
    """The Hub's layout, which ``datasets`` and :func:`pushforward.data.load_images` read."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": data, "path": f"{i:05}.png"} for i, data in enumerate(_pngs(images, levels))]
    table = pa.table({"image": pa.array(rows, kind)})
    features: dict[str, dict[str, str]] = {"image": {"_type": "Image"}}
    for name in [] if labels is None else labels.column_names:
        column = labels[name]  # type: ignore[index]
        table = table.append_column(name, column)
        features[name] = {"dtype": {"double": "float64", "float": "float32"}.get(str(column.type), str(column.type)), "_type": "Value"}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _folder(path: Path, images: np.ndarray, levels: int, labels: pa.Table | None) -> None:
    digits = max(3, math.ceil(math.log10(len(images) + 1)))
    names: list[str] = [""] * len(images)
    if labels is not None:
        names = ["_".join(str(value).replace("/", "-") for value in row.values()) for row in labels.to_pylist()]
    for i, (name, data) in enumerate(zip(names, _pngs(images, levels))):
        folder = path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:0{digits}}.png").write_bytes(data)


def _pngs(images: np.ndarray, levels: int) -> list[bytes]:
    from PIL import Image

    found = []
    for image in plots.to_bytes(images, levels):
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)) if len(image) == 3 else image[0]).save(file, format="PNG")
        found.append(file.getvalue())
    return found
