"""Layers: the ways to supply parameters to scalar maps, and maps of whole vectors."""

from .elementwise import Elementwise

__all__ = ["Elementwise"]
