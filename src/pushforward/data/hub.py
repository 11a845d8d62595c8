"""Image data sets on the Hugging Face Hub that are known by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .errors import DataError
from .image_files import ImageSource, named_labels, structs

ROWS = 1024  # at a time


@dataclass(frozen=True)
class HubEntry:
    """What is known of a data set without a network.

    Attributes:
        repo: on the Hub.
        image, label: its columns; other columns of labels can be used as well.
        shape: of an image as it is read, (C, H, W).
        splits: number of images in ``train``, ``valid`` and ``test``, by the names they have on the Hub.
        crop, size: how images are cut and resized where that is usual.
        about: the data, the reference, and what papers do with it.
    """

    repo: str
    image: str
    label: str
    shape: tuple[int, int, int]
    splits: dict[str, tuple[str, int]]
    about: str
    crop: str | int = "center"
    size: tuple[int, int] | None = None

    @property
    def images(self) -> int:
        """How many there are to train on, before validation images are cut off."""
        return self.splits["train"][1]


HUB: dict[str, HubEntry] = {
    "mnist": HubEntry(
        "ylecun/mnist", "image", "label", (1, 28, 28), {"train": ("train", 60_000), "test": ("test", 10_000)},
        "Handwritten digits; LeCun, Cortes, Burges, 1998.",
    ),
    "fashion_mnist": HubEntry(
        "zalando-datasets/fashion_mnist", "image", "label", (1, 28, 28), {"train": ("train", 60_000), "test": ("test", 10_000)},
        "Articles of clothing; Xiao, Rasul, Vollgraf, 2017, arXiv:1708.07747.",
    ),
    "cifar10": HubEntry(
        "uoft-cs/cifar10", "img", "label", (3, 32, 32), {"train": ("train", 50_000), "test": ("test", 10_000)},
        "Photographs of ten kinds of things; Krizhevsky, 2009.",
    ),
    "celeba": HubEntry(
        "flwrlabs/celeba", "image", "celeb_id", (3, 64, 64),
        {"train": ("train", 162_770), "valid": ("valid", 19_867), "test": ("test", 19_962)},
        "Faces with 40 attributes, such as Smiling; Liu, Luo, Wang, Tang, 2015, arXiv:1411.7766. The centred square of 148 pixels is "
        "resized to 64, as RealNVP does.",
        crop=148, size=(64, 64),
    ),
    "imagenet32": HubEntry(
        "benjamin-paine/imagenet-1k-32x32", "image", "label", (3, 32, 32),
        {"train": ("train", 1_281_167), "test": ("validation", 50_000)},
        "ImageNet at 32 pixels. Flow papers use files resized otherwise (van den Oord et al., 2016, arXiv:1601.06759): figures differ.",
    ),
    "imagenet64": HubEntry(
        "benjamin-paine/imagenet-1k-64x64", "image", "label", (3, 64, 64),
        {"train": ("train", 1_281_167), "test": ("validation", 50_000)},
        "ImageNet at 64 pixels. Flow papers use files resized otherwise (van den Oord et al., 2016, arXiv:1601.06759): figures differ.",
    ),
}  # fmt: skip


def from_hub(name: str) -> dict[str, ImageSource]:
    """The splits of a known data set, downloaded by the ``datasets`` library to its own cache.

    Raises:
        DataError: the library or the network is missing.
    """
    entry = HUB[name]
    elsewhere = f"or download its parquet files from https://huggingface.co/datasets/{entry.repo} and give their folder"
    try:
        import datasets
    except ImportError:
        raise DataError(f"load: {name} comes through the datasets library: pip install 'pushforward[hub]', {elsewhere}") from None
    sources = {}
    for split, (there, _) in entry.splits.items():
        try:
            rows = datasets.load_dataset(entry.repo, split=there)
        except Exception as error:  # whatever a network, a proxy or a full disk makes of it
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"load: {name} could not be downloaded ({reason}); try again with a network, {elsewhere}") from error
        sources[split] = from_dataset(f"{name}/{split}", rows, entry.image)
    return sources


def from_dataset(name: str, rows: Any, image: str) -> ImageSource:
    """A split as the ``datasets`` library has it; its images stay encoded and on disk until they are read."""
    import datasets

    if image not in rows.column_names:
        raise DataError(f"{name}: has no column {image!r}, it has {', '.join(rows.column_names)}; download its files and give their folder")
    kept = [key for key, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel | datasets.Value)]
    labels = pa.table({})
    if kept:
        labels = named_labels(rows.select_columns(kept).with_format("arrow")[:], rows.features.arrow_schema.metadata)
    encoded = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False)).with_format("arrow")

    def pieces() -> Iterator[tuple[str, int, pa.Array]]:
        for start in range(0, len(rows), ROWS):
            yield name, start, encoded[start : start + ROWS][image].combine_chunks()

    return ImageSource(name, len(rows), labels, encoded=lambda: structs(pieces()))
