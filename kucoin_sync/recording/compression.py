"""Compress and decompress the text of a recording: plain, gzip or zstd, chosen by the suffix of the file's name.

A file is a sequence of blocks. Each block is whole lines of text, starts with a recorder line, and is compressed on its
own (a gzip member, a zstd frame). So a file can be read from the start of any block, a truncated last block damages no
other block, and blocks can be appended. In an uncompressed file, a block is about a megabyte.

At most `LARGEST` bytes of a block are decompressed or kept. A longer block is treated as damaged.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from .errors import RecordingError

__all__ = ["LARGEST", "SUFFIXES", "Block", "Buffer", "Compression", "compression_for"]

_CHUNK = 64 * 1024
_SLICE = 1024
"""Compressed bytes that are decompressed at a time. One byte of zstd can expand to 32 KiB of text."""

_PLAIN_BLOCK = 1024 * 1024
_ZSTD_LEVEL = 1
LARGEST = 32 * 1024 * 1024
"""Largest size of a block's text, in bytes. The recorder writes no larger block."""


class Block(NamedTuple):
    """A block as it was read.

    Attributes:
        offset: its offset in the file, in bytes.
        text: whole lines.
        whole: whether the block is complete. If False, the file is truncated or damaged here and reading stops.
    """

    offset: int
    text: bytes
    whole: bool = True


class _Decompressor(Protocol):
    """Decompresses one block, piece by piece; see `zlib.decompressobj`."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


Buffer = bytes | memoryview


class Compression(NamedTuple):
    """A compression format.

    Attributes:
        compress: compresses one block.
        decompressor: creates a decompressor for one block; None for plain text.
        errors: the exceptions that decompression raises for damaged data.
    """

    compress: Callable[[Buffer], Buffer]
    decompressor: Callable[[], _Decompressor] | None
    errors: tuple[type[Exception], ...] = ()

    def blocks(self, file: BinaryIO, offset: int = 0) -> Iterator[Block]:
        """Yield the blocks of a file, from the block that starts at `offset`."""
        file.seek(offset)
        return _plain_blocks(file, offset) if self.decompressor is None else self._compressed_blocks(file, offset)

    def _compressed_blocks(self, file: BinaryIO, offset: int) -> Iterator[Block]:
        assert self.decompressor is not None
        rest = b""
        while True:
            decompressor, pieces, taken, room = self.decompressor(), [], 0, LARGEST
            whole = True
            while not decompressor.eof and whole:
                rest = rest or file.read(_CHUNK)
                if not rest:
                    whole = False
                    break
                data, rest = rest[:_SLICE], rest[_SLICE:]
                taken += len(data)
                try:
                    piece = decompressor.decompress(data)
                except self.errors:
                    whole = False
                    break
                pieces.append(piece)
                room -= len(piece)
                whole = room > 0
            if not taken:
                return
            unused = decompressor.unused_data if whole else b""
            rest = unused + rest
            text = b"".join(pieces)
            if not text.endswith(b"\n"):
                text, whole = text[: text.rfind(b"\n") + 1], False
            yield Block(offset, text, whole)
            if not whole:
                return
            offset += taken - len(unused)


def _plain_blocks(file: BinaryIO, offset: int) -> Iterator[Block]:
    text = bytearray()
    while data := file.read(_PLAIN_BLOCK):
        begin = max(0, len(text) - 1)  # the text before was searched already
        text += data
        # A block must start with a recorder line, because that line says which connection the next frames came from.
        end = text.rfind(b"\n[", begin) + 1
        if end:
            yield Block(offset, bytes(text[:end]))
            offset += end
            del text[:end]
        if len(text) > LARGEST:
            yield Block(offset, bytes(text[: text.rfind(b"\n") + 1]), False)
            return
    whole = text.endswith(b"\n")
    if text:
        yield Block(offset, bytes(text if whole else text[: text.rfind(b"\n") + 1]), whole)


def _no_compression() -> Compression:
    return Compression(lambda text: text, None)


def _gzip() -> Compression:
    return Compression(lambda text: gzip.compress(text, 4, mtime=0), lambda: zlib.decompressobj(31), (zlib.error,))


def _zstd() -> Compression:
    try:
        module: Any = import_module("zstandard")
    except ImportError:
        return _standard_library_zstd()
    # The compressor is reused: creating one takes longer than compressing a small block.
    return Compression(
        module.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress,
        module.ZstdDecompressor().decompressobj,
        (module.ZstdError,),
    )


def _standard_library_zstd() -> Compression:
    try:
        module: Any = import_module("compression.zstd")
    except ImportError:
        raise RecordingError(
            "recordings with the suffix .zst need a module: pip install 'kucoin-sync[zstd]', or use the suffix .gz"
        ) from None
    options = {module.CompressionParameter.compression_level: _ZSTD_LEVEL, module.CompressionParameter.checksum_flag: 1}
    return Compression(
        lambda text: bytes(module.compress(text, options=options)), module.ZstdDecompressor, (module.ZstdError,)
    )


SUFFIXES: dict[str, Callable[[], Compression]] = {".jsonl": _no_compression, ".jsonl.gz": _gzip, ".jsonl.zst": _zstd}
"""The suffixes of a recording's file name, and the compression of each."""


def compression_for(path: Path) -> Compression:
    """Return the compression for a file name.

    Raises:
        RecordingError: the name has none of the `SUFFIXES`, or the compression library is not installed.
    """
    for suffix, make in SUFFIXES.items():
        if path.name.endswith(suffix):
            return make()
    raise RecordingError(f"the name of {path} has to end with one of {', '.join(SUFFIXES)}")
