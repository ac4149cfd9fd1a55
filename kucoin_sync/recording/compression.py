"""How the text of a recording is packed into a file: as it is, with gzip, or with zstd, as the file's name says.

A file is a row of blocks. Each is whole lines of text, begins with one of the recorder's, and was packed for itself:
a gzip member, a zstd frame. So a file can be read from the beginning of any block, what is cut off of the last one
spoils no other, and a block more can always be added. In a file that is not packed, a block is about a megabyte.

Whatever a file claims, no more than `LARGEST` bytes of a block are unpacked or kept: what goes on behind them is taken
for damage.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from .errors import RecordingError

__all__ = ["LARGEST", "SUFFIXES", "Block", "Buffer", "Packing", "packing_for"]

_CHUNK = 64 * 1024
_SLICE = 1024
"""Bytes that are unpacked at a time. A byte of zstd can claim 32 KiB of text."""

_PLAIN = 1024 * 1024
_LEVEL = 1
LARGEST = 32 * 1024 * 1024
"""Bytes of text in a block; one that claims more is not ours."""


class Block(NamedTuple):
    """A block as it was found.

    Attributes:
        place: offset in the file.
        text: whole lines.
        whole: whether it is complete; else the file was cut or damaged here, and nothing of it can be read behind.
    """

    place: int
    text: bytes
    whole: bool = True


class _Unpacker(Protocol):
    """Takes the bytes of one block, piece by piece."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


Buffer = bytes | memoryview


class Packing(NamedTuple):
    """One way to pack: a function that packs a block, and what makes its opposite, None for text as it is."""

    pack: Callable[[Buffer], Buffer]
    unpacker: Callable[[], _Unpacker] | None
    broken: tuple[type[Exception], ...] = ()

    def blocks(self, file: BinaryIO, place: int = 0) -> Iterator[Block]:
        """Yield the blocks of a file from the one that begins at `place`."""
        file.seek(place)
        return _plain_blocks(file, place) if self.unpacker is None else self._packed_blocks(file, place)

    def _packed_blocks(self, file: BinaryIO, place: int) -> Iterator[Block]:
        assert self.unpacker is not None
        rest = b""
        while True:
            unpacker, pieces, taken, room = self.unpacker(), [], 0, LARGEST
            whole = True
            while not unpacker.eof and whole:
                rest = rest or file.read(_CHUNK)
                if not rest:
                    whole = False
                    break
                data, rest = rest[:_SLICE], rest[_SLICE:]
                taken += len(data)
                try:
                    piece = unpacker.decompress(data)
                except self.broken:
                    whole = False
                    break
                pieces.append(piece)
                room -= len(piece)
                whole = room > 0
            if not taken:
                return
            unused = unpacker.unused_data if whole else b""
            rest = unused + rest
            text = b"".join(pieces)
            if not text.endswith(b"\n"):
                text, whole = text[: text.rfind(b"\n") + 1], False
            yield Block(place, text, whole)
            if not whole:
                return
            place += taken - len(unused)


def _plain_blocks(file: BinaryIO, place: int) -> Iterator[Block]:
    text = bytearray()
    while data := file.read(_PLAIN):
        begin = max(0, len(text) - 1)  # there is no end of a block before
        text += data
        # A block ends where one of the recorder's lines begins: it says where the frames behind it came from.
        end = text.rfind(b"\n[", begin) + 1
        if end:
            yield Block(place, bytes(text[:end]))
            place += end
            del text[:end]
        if len(text) > LARGEST:
            yield Block(place, bytes(text[: text.rfind(b"\n") + 1]), False)
            return
    whole = text.endswith(b"\n")
    if text:
        yield Block(place, bytes(text if whole else text[: text.rfind(b"\n") + 1]), whole)


def _as_it_is() -> Packing:
    return Packing(lambda text: text, None)


def _gzip() -> Packing:
    return Packing(lambda text: gzip.compress(text, 4, mtime=0), lambda: zlib.decompressobj(31), (zlib.error,))


def _zstd() -> Packing:
    try:
        library: Any = import_module("zstandard")
    except ImportError:
        return _zstd_of_python()
    # Objects are not made for each block: that costs more than a small one.
    return Packing(
        library.ZstdCompressor(level=_LEVEL, write_checksum=True).compress,
        library.ZstdDecompressor().decompressobj,
        (library.ZstdError,),
    )


def _zstd_of_python() -> Packing:
    try:
        library: Any = import_module("compression.zstd")
    except ImportError:
        raise RecordingError(
            "recordings with the suffix .zst need a library: pip install 'kucoin-sync[zstd]', or use the suffix .gz"
        ) from None
    options = {library.CompressionParameter.compression_level: _LEVEL, library.CompressionParameter.checksum_flag: 1}
    return Packing(
        lambda text: bytes(library.compress(text, options=options)), library.ZstdDecompressor, (library.ZstdError,)
    )


SUFFIXES: dict[str, Callable[[], Packing]] = {".jsonl": _as_it_is, ".jsonl.gz": _gzip, ".jsonl.zst": _zstd}
"""The endings of a recording's name, and how each is packed."""


def packing_for(path: Path) -> Packing:
    """Return the packing that a file's name asks for.

    Raises:
        RecordingError: it has none of the `SUFFIXES`, or what unpacks it is not installed.
    """
    for suffix, make in SUFFIXES.items():
        if path.name.endswith(suffix):
            return make()
    raise RecordingError(f"the name of {path} has to end with one of {', '.join(SUFFIXES)}")
