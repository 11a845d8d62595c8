"""Fitted models as codecs: range coding and bits-back coding of their rows, and the files that hold them."""

from .bits_back_codec import BitsBackCodec
from .choice import CodingMethod, codec_of
from .codec import Codec
from .coder import Coder, Reader, Writer
from .container import Container, Header, write_container
from .damage import Damage
from .fingerprint import digest_of_model
from .integer_codec import IntegerCodec
from .job import CodedRows, ReadRows, restored_by, written_by
from .lattice import Lattice
from .local_codec import LocalCodec
from .parcel import Opened, Parcel, Unpacking
from .rivals import Rival
from .row_codec import RowCodec
from .stack import AnsStack
from .whole_codec import WholeCodec

__all__ = [
    "AnsStack",
    "BitsBackCodec",
    "Codec",
    "CodedRows",
    "Coder",
    "Container",
    "Damage",
    "Header",
    "IntegerCodec",
    "Lattice",
    "CodingMethod",
    "LocalCodec",
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
