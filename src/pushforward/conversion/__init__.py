"""Fitted flows of other libraries as flows of this one. None of those libraries is imported: their modules are read by attribute."""

from .flows import convert

__all__ = ["convert"]
