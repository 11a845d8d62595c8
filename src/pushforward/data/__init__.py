"""Rows from files, arrays, tables and names: splits, a schema, and the preprocessing that becomes part of the flow."""

from .column import Column
from .embedded import EMBEDDED
from .errors import DataError
from .load import Data, Rows, load
from .schema import Schema
from .tables import read
from .toy import TOYS, entropy

__all__ = ["EMBEDDED", "TOYS", "Column", "Data", "DataError", "Rows", "Schema", "entropy", "load", "read"]
