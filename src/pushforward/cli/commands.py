"""The application with all its verbs."""

from __future__ import annotations

from . import images, train, use
from .app import app, run

__all__ = ["app", "images", "run", "train", "use"]
