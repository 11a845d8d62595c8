"""What there is to choose from."""

from __future__ import annotations

import inspect
from typing import Any

from ..data import EMBEDDED, HUB, TOYS
from ..data.image_density import PICTURES
from ..models import MODELS
from ..options import options_of
from ..presets import shipped


def list_models() -> dict[str, dict[str, Any]]:
    """Recipes: ``is``, what each is and its paper; ``options``, their names and defaults."""
    return {
        name: {
            "is": (inspect.getdoc(recipe) or "").splitlines()[0],
            "options": {f"model.{key}": option.default for key, option in options_of(recipe).items()},
        }
        for name, recipe in MODELS.items()
    }


def list_data() -> dict[str, str]:
    """Data known by name: those that come with the library, and images that are downloaded: what each is."""
    here = {name: (inspect.getdoc(make) or "").splitlines()[0] for name, make in (TOYS | EMBEDDED | PICTURES).items()}
    return here | {name: f"Images from the Hub, {' x '.join(map(str, entry.shape))}: {entry.about}" for name, entry in HUB.items()}


def list_presets() -> dict[str, str]:
    """Presets that come with the library: their first comment line."""
    return {path.stem: path.read_text().splitlines()[0].removeprefix("#").strip() for path in shipped()}
