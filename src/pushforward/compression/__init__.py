"""Fitted models as codecs: range coding of their rows, and the files that hold them."""

from .choice import codec_of
from .codec import Codec
from .coder import Coder, Reader, Writer
from .container import Container, Header, write_container
from .damage import Damage
from .fingerprint import digest_of_model
from .integer_codec import IntegerCodec
from .job import CodedRows, ReadRows, restored_by, written_by
from .lattice import Lattice
from .parcel import Opened, Parcel, Unpacking
from .rivals import Rival
from .row_codec import RowCodec
from .whole_codec import WholeCodec

__all__ = [
    "Codec",
    "CodedRows",
    "Coder",
    "Container",
    "Damage",
    "Header",
    "IntegerCodec",
    "Lattice",
    "Opened",
    "Parcel",
    "ReadRows",
    "Reader",
    "Rival",
    "RowCodec",
    "Unpacking",
    "WholeCodec",
    "Writer",
    "codec_of",
    "digest_of_model",
    "restored_by",
    "write_container",
    "written_by",
]
