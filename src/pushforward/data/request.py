"""What was asked of the data: which they are, and how they are to be read, split and understood."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .image_density import PREFIX, absolute
from .query import is_query
from .splits import RANDOM
from .tables import IN_MEMORY

_LISTS = ("columns", "exclude", "context")
_MAPPINGS = ("kinds", "reading")
_PLACES = ("source", "valid", "test")
_FRAMING = ("bits", "size", "crop", "gray", "window", "companding", "sound")
_HANDED_ON = ("columns", "exclude", "context", "kinds", "missing", "weight", "reading", *_FRAMING)


@dataclass(frozen=True, eq=False)
class Request:
    """All that was asked of the data; made once, of what a user says or of what a run remembers (:meth:`from_table`).

    Each kind of data takes what concerns it (:meth:`arguments`); the rest has its default.

    Attributes:
        source: the data: a name, a path or several, an array, tensor, frame or table.
        columns, exclude, context, kinds, missing, weight: as :func:`pushforward.data.load` takes them; images have a context only.
        valid, test: further sources for these splits.
        seed: of the splits.
        split, group: a column whose order or whose values say which rows are held out, as :func:`pushforward.data.load` takes them.
        bits, size, crop, gray: of images, as :func:`pushforward.data.load_images` takes them.
        bits, window, companding, sound: of sounds, as :func:`pushforward.data.load_sounds` takes them.
        reading: how text becomes values, by option.

    Example::

        >>> request = Request("flights.csv", columns="delay", seed=3)
        >>> request.said()
        {'columns': ['delay'], 'seed': 3}
    """

    source: Any
    columns: str | Sequence[str] | None = None
    exclude: str | Sequence[str] | None = None
    context: str | Sequence[str] | None = None
    kinds: Mapping[str, str] | None = None
    missing: str = "keep"
    weight: str | None = None
    valid: Any = None
    test: Any = None
    seed: int = 0
    split: str = RANDOM
    group: str | None = None
    bits: int | None = None
    size: int | tuple[int, int] | None = None
    crop: str | int | None = None
    gray: bool = False
    window: int | None = None
    companding: str | None = None
    sound: str | None = None
    reading: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {}
        for name in _LISTS:
            value = getattr(self, name)
            plain[name] = [value] if isinstance(value, str) else None if value is None else list(value) or None
        for name in _MAPPINGS:
            plain[name] = dict(getattr(self, name) or {}) or None
        plain["size"] = tuple(self.size) if isinstance(self.size, list) else self.size
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Request:
        """What a run was asked, of the table ``data`` of its config.toml."""
        known = [f.name for f in fields(cls)]
        return cls(**{"source": None} | {name: value for name, value in table.items() if name in known})

    def to_table(self, names: Iterable[str]) -> dict[str, Any]:
        """The source and these of its fields as config.toml remembers them: objects in memory by that, paths in full."""
        values = {name: getattr(self, name) for name in ("source", *names)}
        return {name: where(v) if name in _PLACES else list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def said(self) -> dict[str, Any]:
        """What was asked beyond the source and the defaults, as config.toml would remember it."""
        default = {f.name: f.default for f in fields(self)}
        return {name: value for name, value in self.to_table(default).items() if name != "source" and value != default[name]}

    def arguments(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of its fields that hold something, for a function that reads."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def after(self, table: Mapping[str, Any]) -> Request:
        """The same, with what a run to start from was asked where this says nothing; not with its source, its splits and its seed."""
        said, theirs = self.said(), Request.from_table(table).said()
        return replace(self, **{name: value for name, value in theirs.items() if name in _HANDED_ON and name not in said})

    @property
    def called(self) -> str:
        """The source in an error."""
        return str(self.source) if isinstance(self.source, str | Path) else type(self.source).__name__

    @property
    def in_memory(self) -> bool:
        """Whether some of the data came as an object, which can't be read again."""
        values = (self.source, self.valid, self.test)
        return any(value == IN_MEMORY if isinstance(value, str) else where(value) == IN_MEMORY for value in values)


def where(source: Any) -> str | list[str] | None:
    """A source as config.toml remembers it: a name, an absolute path or several, or that it was an object."""
    if source is None:
        return None
    if isinstance(source, list | tuple) and source and all(isinstance(item, str | Path) for item in source):
        return [str(Path(item).resolve()) for item in source]
    if not isinstance(source, str | Path):
        return IN_MEMORY
    if is_query(source):
        return str(source)
    if str(source).startswith(PREFIX):
        return absolute(str(source))
    return str(Path(source).resolve()) if Path(source).exists() or "*" in str(source) else str(source)
