"""What is wrong with a block of a file."""

from __future__ import annotations


class Damage(ValueError):
    """A part of a compressed file is not what was written; the message goes on from the name of the part."""
