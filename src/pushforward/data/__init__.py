"""Rows from files, arrays, tables and names: splits, a schema, and the preprocessing that becomes part of the flow."""

from .column import Column
from .embedded import EMBEDDED
from .errors import DataError
from .hub import HUB
from .image_schema import ImageSchema
from .images import is_images, load_images, read_images
from .kinds import Kind, Support
from .load import Data, load
from .reading import Reading
from .recordings import is_sounds
from .rows import Rows
from .schema import Schema
from .sound_schema import SoundSchema, schema_from_json
from .sounds import load_sounds, read_sounds
from .tables import read
from .toy import TOYS, entropy
from .whole_schema import WholeSchema

__all__ = [
    "EMBEDDED",
    "HUB",
    "TOYS",
    "Column",
    "Data",
    "DataError",
    "ImageSchema",
    "Kind",
    "Reading",
    "Rows",
    "Schema",
    "SoundSchema",
    "Support",
    "WholeSchema",
    "entropy",
    "is_images",
    "is_sounds",
    "load",
    "load_images",
    "load_sounds",
    "read",
    "read_images",
    "read_sounds",
    "schema_from_json",
]
