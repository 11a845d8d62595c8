"""Rows from files, arrays, tables and names: splits, a schema, and the preprocessing that becomes part of the flow."""

from .column import Column
from .embedded import EMBEDDED
from .errors import DataError
from .hub import HUB
from .image_schema import ImageSchema, schema_from_json
from .images import is_images, load_images, read_images
from .kinds import Kind, Support
from .load import Data, load
from .reading import Reading
from .rows import Rows
from .schema import Schema
from .tables import read
from .toy import TOYS, entropy

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
    "Support",
    "entropy",
    "is_images",
    "load",
    "load_images",
    "read",
    "read_images",
    "schema_from_json",
]
