"""The file: a header in JSON, blocks that stand alone, and the header once more."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..documents import reason, validated
from ..training.atomic import replace
from .codec import checksum
from .damage import Damage

MAGIC = b"\x89PFZ\r\n\x1a\n"  # a byte beyond ASCII and line ends of two kinds, so that a file altered as text is noticed
FORMAT_VERSION = 1
LONGEST = 2**26  # bytes of a header
LARGEST_BLOCK = 2**31  # bytes of a block
FRAME_BYTES = len(MAGIC) + 2 + 4 + 8  # magic, version, length, digest


@dataclass(frozen=True)
class BlockEntry:
    """A block in the header.

    Attributes:
        rows: that it gives back.
        misfits: how many of them are stored as they are.
        stream: bytes of the coder's stream.
        beside: bytes of what stands beside it.
        written: digest of both.
        decoded: digest of the numbers that the stream gives.
    """

    rows: int
    misfits: int
    stream: int
    beside: int
    written: str
    decoded: str

    @property
    def size(self) -> int:
        return self.stream + self.beside


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        method: of coding.
        model: digest of the model's weights, settings and schema.
        name: of the model.
        probe: digest of probabilities, as the machine that wrote it computed them.
        facts: of that machine.
        shape: of a row.
        block: rows that the model is computed for at a time.
        codec: what the codec has to know.
        data: what the kind of data has to know.
        blocks: the table of blocks.
    """

    method: str
    model: str
    name: str
    probe: str
    facts: dict[str, str]
    shape: list[int]
    block: int
    codec: dict[str, Any]
    data: dict[str, Any]
    blocks: list[BlockEntry] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry in self.blocks)

    @property
    def misfits(self) -> int:
        return sum(entry.misfits for entry in self.blocks)

    def frame(self) -> bytes:
        """The header as it stands in the file."""
        described = asdict(self) | {"blocks": [list(asdict(entry).values()) for entry in self.blocks]}
        packed = zlib.compress(json.dumps(described, separators=(",", ":")).encode(), 9)
        sizes = FORMAT_VERSION.to_bytes(2, "little") + len(packed).to_bytes(4, "little")
        return MAGIC + sizes + bytes.fromhex(checksum(sizes, packed)) + packed

    @classmethod
    def parse(cls, data: bytes, where: str) -> tuple[Header, int]:
        """The header at the beginning of a file, and its length.

        Raises:
            Damage: it is altered or cut off.
            ValueError: the file is none of ours, or of a later release.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError(f"{where}: is not a file that compress wrote; give one of those")
        sizes = data[len(MAGIC) : len(MAGIC) + 6]
        version, length = int.from_bytes(sizes[:2], "little"), int.from_bytes(sizes[2:], "little")
        packed = data[FRAME_BYTES : FRAME_BYTES + length] if length <= LONGEST else b""
        if len(packed) < length or bytes.fromhex(checksum(sizes, packed)) != data[FRAME_BYTES - 8 : FRAME_BYTES]:
            raise Damage("the header is altered or cut off")
        if version != FORMAT_VERSION:
            raise ValueError(f"{where}: is of version {version}, which this release can't read; update pushforward")
        try:
            opened = zlib.decompressobj()
            text = opened.decompress(packed, LONGEST)
            if not opened.eof:
                raise ValueError("longer than it may be")
            described = validated(dict[str, Any], json.loads(text), "header")
            blocks = [BlockEntry(*entry) for entry in validated(list[EntryList], described.pop("blocks", None), "blocks")]
            header = validated(cls, described | {"blocks": []}, "header")
        except (ValueError, TypeError, RecursionError, zlib.error) as error:
            raise ValueError(f"{where}: its header is none that compress writes ({reason(error)}); make the file again") from None
        header.blocks.extend(blocks)
        header.check(where)
        return header, FRAME_BYTES + length

    def check(self, where: str) -> None:
        """Raise ValueError for sizes that no file of ours has."""
        wrong = [entry for entry in self.blocks if not _possible(entry, self.block)]
        if not 1 <= self.block <= 2**20 or wrong:
            raise ValueError(f"{where}: its header has sizes that no file of compress has; make the file again")


EntryList = tuple[int, int, int, int, str, str]


def _possible(entry: BlockEntry, block: int) -> bool:
    return (
        0 <= entry.misfits <= entry.rows
        and entry.rows - entry.misfits <= block
        and entry.rows <= block
        and min(entry.stream, entry.beside) >= 0
        and entry.size <= LARGEST_BLOCK
    )


def write_container(path: Path, header: Header, blocks: Sequence[bytes]) -> int:
    """The file, atomically; its size in bytes.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    frame = header.frame()
    content = b"".join([frame, *blocks, frame])
    replace(path, lambda temporary: temporary.write_bytes(content))
    return len(content)


class Container:
    """A file that is read: its header, and its blocks one by one.

    Arguments:
        path: the file.
        salvage: where the header at the beginning is altered, take the one at the end.

    Raises:
        ValueError: it is none of ours, or its header is altered.
    """

    def __init__(self, path: Path, salvage: bool = False):
        self.path = path
        self.data = path.read_bytes()
        self.damages: list[str] = []
        try:
            self.header, self.start = Header.parse(self.data, str(path))
        except ValueError as error:
            at = self.data.rfind(MAGIC, 1)
            if at < 0 or not (salvage or isinstance(error, Damage)):
                raise self._told(error) from None
            if not salvage:
                raise ValueError(f"{path}: {error}, and there is a second one at the end; --salvage reads by that") from None
            self.damages.append("the header is altered; read by the one at the end")
            try:
                self.header = Header.parse(self.data[at:], str(path))[0]
            except Damage as second:
                raise self._told(second) from None
            self.start = at - sum(entry.size for entry in self.header.blocks)
            if self.start < 0:
                raise ValueError(f"{path}: bytes are missing before the end, so no block can be found; get the file again") from None
            return
        end = self.start + sum(entry.size for entry in self.header.blocks)
        if self.data[end:] != self.data[: self.start]:
            self.damages.append("the end of the file is altered or cut off")

    def blocks(self) -> Iterator[tuple[int, BlockEntry, bytes | None]]:
        """The number, the entry and the bytes of each block; None of one that is altered."""
        at = self.start
        for i, entry in enumerate(self.header.blocks):
            content = self.data[at : at + entry.size]
            at += entry.size
            whole = len(content) == entry.size and checksum(content) == entry.written
            yield i, entry, content if whole else None

    def _told(self, error: ValueError) -> ValueError:
        return ValueError(f"{self.path}: {error}; get the file again") if isinstance(error, Damage) else error
