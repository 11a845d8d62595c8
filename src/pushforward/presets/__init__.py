"""Complete settings of a run in files, and which of them suit data of which nothing but their shape is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..documents import read_toml
from ..words import nearest


def shipped() -> list[Path]:
    """The presets that come with the library."""
    return sorted(Path(__file__).parent.glob("*.toml"))


def read_preset(preset: str | Path) -> dict[str, Any]:
    """A preset by its name, a file like one, or the config.toml of a run, as settings ``{"model.name": "nsf", "train.lr": 1e-3}``.

    Raises:
        ValueError: there is none of that name, it is not TOML, or it has a table other than ``model`` and ``train`` (a run's ``data``,
            ``distill`` and ``start`` are passed over).
    """
    known = {path.stem: path for path in shipped()}
    path = known.get(str(preset), Path(preset))
    if not path.is_file():
        hint = nearest(str(preset), known) or ";"
        raise ValueError(f"there is no preset {str(preset)!r}{hint} the presets are {', '.join(known)}, or give a file")
    try:
        tables = read_toml(path)
    except ValueError as error:
        raise ValueError(f"preset {error}") from None
    for table, values in tables.items():
        if table not in ("model", "train", "data", "distill", "start") or not isinstance(values, dict):
            raise ValueError(
                f"preset {path}: expected settings like model.steps = 8 or train.lr = 1e-3, got {table}{nearest(table, ['model', 'train'])}"
            )
    return {f"{table}.{name}": value for table in ("model", "train") for name, value in tables.get(table, {}).items()}
