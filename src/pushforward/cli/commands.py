"""The application with all its verbs."""

from __future__ import annotations

from . import ask, compression, explore, images, train, use
from .app import app, run

__all__ = ["app", "ask", "compression", "explore", "images", "run", "train", "use"]
