"""The same data by other people's compressors."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from ..baselines import FORMATS
from .beside import ZSTD_LEVEL

MANY = 2**25  # numbers of images that are written as files of their own, at most
CODED_AS = FORMATS | {"JXL": {"lossless": True, "effort": 7}}


@dataclass(frozen=True)
class Rival:
    """A compressor.

    Attributes:
        name: of it, with its settings.
        size: bytes of the same data.
    """

    name: str
    size: int


def rivals_of_images(x: Tensor) -> list[Rival]:
    """Sizes of images ``(N, C, H, W)`` as lossless files, each by itself and all below each other in one picture, and by zstd.

    JPEG XL where pillow-jxl-plugin is installed. Formats know bytes, and 1 or 3 channels; of larger sets the first images tell.
    """
    if not len(x) or x.shape[1] not in (1, 3) or int(x.max()) > 255:
        return _smallest([zstd(x.numpy().tobytes())])
    images = np.ascontiguousarray(x.numpy().astype(np.uint8).transpose(0, 2, 3, 1))
    some = images[: max(1, MANY // images[0].size)]
    found = [zstd(images.tobytes())]
    for name in CODED_AS:
        if name == "JXL" and importlib.util.find_spec("pillow_jxl") is None:
            continue
        each = sum(_file(image, name) for image in some) * len(images) // len(some)
        found.append(Rival(f"{name}, each image a file" + (" (by the first)" if len(some) < len(images) else ""), each))
        sheet = images.reshape(-1, *images.shape[2:])
        if name == "PNG" or len(sheet) < 2**14:  # which a WebP can't be longer than
            found.append(Rival(f"{name}, one file of all", _file(sheet, name)))
    return _smallest(found)


def rivals_of_tables(table: pa.Table) -> list[Rival]:
    """Sizes of a table by zstd, column by column, and as Parquet with and without zstd."""
    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    found = [Rival(f"Arrow, {zstd(b'').name}", zstd(sink.getvalue().to_pybytes()).size)]
    for name, options in {"Parquet": {}, f"Parquet, zstd -{ZSTD_LEVEL}": {"compression": "zstd", "compression_level": ZSTD_LEVEL}}.items():
        sink = pa.BufferOutputStream()
        pq.write_table(plain, sink, **options)
        found.append(Rival(name, sink.getvalue().size))
    return _smallest(found)


def zstd(data: bytes) -> Rival:
    """Bytes by zstd at its 19th level."""
    return Rival(f"zstd -{ZSTD_LEVEL}", len(pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(data, asbytes=True)))


def _file(image: np.ndarray, name: str) -> int:
    from PIL import Image

    if name == "JXL":
        import pillow_jxl  # noqa: F401 -- it tells Pillow of the format
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, name, **CODED_AS[name])
    return len(buffer.getvalue())


def _smallest(rivals: list[Rival]) -> list[Rival]:
    return sorted(rivals, key=lambda rival: rival.size)
