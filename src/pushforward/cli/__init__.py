"""The command line: a thin layer over :mod:`pushforward.verbs`, which is imported when a verb runs so that --help is quick."""

from . import images, train, use
from .app import app, main

__all__ = ["app", "images", "main", "train", "use"]
