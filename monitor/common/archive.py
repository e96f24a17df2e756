"""Archives as streams of their members: nothing is written to disk, and a bomb ends at a budget.

Formats are told by their first bytes, never by their name. Names of members are shown and lead nowhere.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["HEAD", "ArchiveBudget", "ArchiveError", "ByteStream", "Readable", "Report", "kind", "leaves"]

HEAD = 512  # bytes that tell the format
DEPTH = 3  # archives inside archives that are opened
CHUNK = 1 << 20
NESTED_ZIP = 64 << 20  # a zip is read from its end, so one inside an archive has to lie in memory
DIRECTORY = 256 << 20  # bytes of a zip's list of members
NAMES = 64 << 10  # bytes of a tar's name record
MEMORY = 256 << 20  # of an xz or zstd decoder

# What decoders raise at damaged data. The zip module in particular was not written against hostile files.
_DAMAGE = (
    OSError, EOFError, ValueError, LookupError, OverflowError, RuntimeError, MemoryError, struct.error, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
_MAGIC = re.compile(
    rb"(?P<zip>PK(?:\x03\x04|\x05\x06))|(?P<gz>\x1f\x8b\x08)|(?P<bz2>BZh.(?:1AY&SY|\x17rE8P\x90))"
    rb"|(?P<xz>\xfd7zXZ\x00)|(?P<zst>\x28\xb5\x2f\xfd)",
    re.DOTALL,
)
_OCTAL = b"01234567"
Report = Callable[[str, str], None]


class Readable(Protocol):
    """What is needed of a file: the last three only when it says that it is seekable."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seekable(self) -> bool: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class ArchiveError(Exception):
    """An archive, or a member of one, that cannot be read (further). The message quotes nothing of the content."""


class BudgetError(ArchiveError):
    """The archive as a whole is too much; what follows in it is not read either."""


@dataclass(slots=True)
class ArchiveBudget:
    """What one archive may cost, with everything inside it: unpacked bytes, members, CPU seconds of this thread."""

    size: int = 4 << 30
    members: int = 200_000
    seconds: float = 120.0
    started: float = field(default_factory=time.thread_time)
    spent: int = 0

    def spend(self, count: int) -> None:
        """Raises BudgetError."""
        self.spent += count
        if self.spent > self.size:
            raise BudgetError(f"stopped after {self.size >> 20} MiB unpacked; --max-unpacked raises the limit")
        if time.thread_time() - self.started > self.seconds:
            raise BudgetError(f"stopped after {self.seconds:.0f} s; unpack it and scan the files")

    def member(self) -> None:
        """Raises BudgetError."""
        self.spend(0)
        self.members -= 1
        if self.members < 0:
            raise BudgetError("stopped: more members than anybody needs; unpack it and scan the files")


class ByteStream:
    """Bytes that come once. `read` may give less than asked for, nothing only at the end.

    Raises ArchiveError where the bytes before a fault have been read. `given` counts them.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._at = 0
        self._error: ArchiveError | None = None
        self.given = 0

    def read(self, size: int = CHUNK) -> bytes:
        if self._at == len(self._buffer) and not self._more():
            if self._error is not None:
                raise self._error
            return b""
        piece = self._buffer[self._at : self._at + size] if size >= 0 else self._buffer[self._at :]
        self._at += len(piece)
        self.given += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size and self._more():
            pass
        return self._buffer[self._at : self._at + size]

    def first(self) -> bytes:
        """What the first read gave, without waiting for more."""
        self.peek(1)
        return self._buffer[self._at :]

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer at the end."""
        out = bytearray()
        while len(out) < size and (piece := self.read(size - len(out))):
            out += piece
        return bytes(out)

    def skip(self, size: int) -> None:
        while size > 0 and (piece := self.read(min(size, CHUNK))):
            size -= len(piece)

    def _more(self) -> bool:
        try:
            piece = next(self._chunks, b"") if self._error is None else b""
        except ArchiveError as error:
            self._error, piece = error, b""
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)


def kind(head: bytes) -> str | None:
    """zip, tar, gz, bz2, xz, zst or None, by the first HEAD bytes."""
    if known := _MAGIC.match(head):
        return known.lastgroup
    return "tar" if len(head) >= HEAD and _is_header(head) else None


def leaves(path: str, file: Readable, budget: ArchiveBudget, report: Report) -> Iterator[tuple[str, ByteStream]]:
    """Every file in the archive `file`, also in archives inside it, as (`a.zip!b.txt`, its bytes).

    A stream must be read before the next is taken. Raises ArchiveError, as do the streams; what fails inside without
    ending the archive goes to `report`.
    """
    if file.seekable():
        head = file.read(HEAD)
        file.seek(0)
        if kind(head) == "zip":
            yield from _zip(path, file, budget, report, 1)
            return
    stream = ByteStream(iter(lambda: file.read(CHUNK), b""))
    if kind(stream.first()[:HEAD]) is None and not file.seekable():
        yield path, stream  # a live pipe, whose first line may be long in coming to HEAD bytes
    else:
        yield from _open(path, stream, budget, report, 1)


def _open(
    path: str, stream: ByteStream, budget: ArchiveBudget, report: Report, depth: int
) -> Iterator[tuple[str, ByteStream]]:
    """`stream` is the `depth`th archive, or none."""
    what = kind(stream.peek(HEAD))
    if what is None:
        yield path, stream
    elif depth > DEPTH:
        report(path, f"an archive inside {DEPTH} others is not opened; only its bytes are searched")
        yield path, stream
    elif what == "zip":
        packed = stream.take(NESTED_ZIP + 1)
        if len(packed) > NESTED_ZIP:
            raise ArchiveError(f"a zip of more than {NESTED_ZIP >> 20} MiB inside an archive; unpack it and scan it")
        yield from _zip(path, io.BytesIO(packed), budget, report, depth)
    elif what == "tar":
        yield from _tar(path, stream, budget, report, depth)
    else:
        inner = ByteStream(_guarded(_DECODERS[what](stream), budget))
        if kind(inner.peek(HEAD)) == "tar":  # a .tar.gz is one archive, not two
            yield from _tar(path, inner, budget, report, depth)
        else:
            yield from _open(path, inner, budget, report, depth + 1)


def _inside(
    path: str, stream: ByteStream, budget: ArchiveBudget, report: Report, depth: int
) -> Iterator[tuple[str, ByteStream]]:
    """A member; when it cannot be opened, the others still can."""
    try:
        yield from _open(path, stream, budget, report, depth)
    except BudgetError:
        raise
    except ArchiveError as error:
        report(path, str(error))


def _guarded(chunks: Iterator[bytes], budget: ArchiveBudget) -> Iterator[bytes]:
    """Counts what is unpacked and gives every complaint of a decoder one name."""
    while True:
        try:
            chunk = next(chunks, b"")
        except ArchiveError:
            raise
        except _DAMAGE as error:
            raise ArchiveError(f"damaged or not supported ({type(error).__name__})") from None
        if not chunk:
            return
        budget.spend(len(chunk))
        yield chunk


def _gz(stream: ByteStream) -> Iterator[bytes]:
    decoder, data = zlib.decompressobj(31), stream.read(CHUNK)
    while data:
        if out := decoder.decompress(data, CHUNK):
            yield out
        if decoder.eof:
            data = decoder.unused_data.lstrip(b"\0") or stream.read(CHUNK).lstrip(b"\0")
            if data[:1] != b"\x1f":
                return  # padding, or something appended that is not ours to judge
            decoder = zlib.decompressobj(31)
        else:
            data = decoder.unconsumed_tail or stream.read(CHUNK)
    while out := decoder.decompress(decoder.unconsumed_tail, CHUNK):
        yield out
    raise ArchiveError("ends in the middle")


def _blocks(stream: ByteStream, make: Callable[[], Any], magic: bytes) -> Iterator[bytes]:
    """bz2 and xz, which share their interface; several files may follow each other."""
    decoder, data = make(), stream.read(CHUNK)
    while True:
        if out := decoder.decompress(data, CHUNK):
            yield out
        if decoder.eof:
            data = decoder.unused_data.lstrip(b"\0") or stream.read(CHUNK).lstrip(b"\0")
            if not data.startswith(magic):
                return
            decoder = make()
        elif decoder.needs_input:
            if not (data := stream.read(CHUNK)):
                raise ArchiveError("ends in the middle")
        else:
            data = b""


def _zst(stream: ByteStream) -> Iterator[bytes]:
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=MEMORY)
    try:
        with decoder.stream_reader(stream, read_across_frames=True, closefd=False) as reader:  # type: ignore[arg-type]
            while chunk := reader.read(CHUNK):
                yield chunk
    except zstandard.ZstdError:
        raise ArchiveError("damaged, or made with a window too large") from None


_DECODERS: dict[str, Callable[[ByteStream], Iterator[bytes]]] = {
    "gz": _gz,
    "bz2": lambda stream: _blocks(stream, bz2.BZ2Decompressor, b"BZh"),
    "xz": lambda stream: _blocks(
        stream, lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MEMORY), b"\xfd7zXZ\0"
    ),
    "zst": _zst,
}


class _Sized(io.RawIOBase):
    """A file that refuses to be read in one huge piece: zipfile reads the whole list of members at once."""

    def __init__(self, file: Readable) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY:
            raise ArchiveError("its list of members is too large")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _zip(
    path: str, file: Readable, budget: ArchiveBudget, report: Report, depth: int
) -> Iterator[tuple[str, ByteStream]]:
    try:
        archive = zipfile.ZipFile(_Sized(file))
    except _DAMAGE as error:
        raise ArchiveError(f"damaged zip ({type(error).__name__})") from None
    with archive:
        for info in archive.infolist():
            budget.member()
            if info.filename.endswith("/"):  # is_dir() fails at an empty name
                continue
            name = f"{path}!{info.filename}"
            if info.flag_bits & 1:
                report(name, "encrypted, so not read")
                continue
            yield from _inside(name, ByteStream(_guarded(_member(archive, info), budget)), budget, report, depth + 1)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as member:
        while chunk := member.read(CHUNK):
            yield chunk


def _is_header(block: bytes) -> bool:
    """Whether 512 bytes open a tar member: their checksum says so, in every variant of the format."""
    stored = block[148:156].strip(b" \0")
    octal = bool(stored) and not stored.translate(None, _OCTAL)
    return octal and int(stored, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:512])


def _number(text: bytes) -> int:
    if text[0] & 0x80:  # GNU: binary, for what octal digits cannot say
        return int.from_bytes(bytes([text[0] & 0x7F]) + text[1:], "big")
    digits = text.strip(b" \0")
    if digits.translate(None, _OCTAL):
        raise ArchiveError("damaged tar header")
    return int(digits or b"0", 8)


def _tar(
    path: str, stream: ByteStream, budget: ArchiveBudget, report: Report, depth: int
) -> Iterator[tuple[str, ByteStream]]:
    # Not tarfile: it reads records of any claimed length into memory and resolves what we only want to show.
    long_name, size_record = "", None
    while True:
        header = stream.take(HEAD)
        if len(header) < HEAD or not header.strip(b"\0"):
            return
        if not _is_header(header):
            raise ArchiveError("damaged tar header")
        budget.member()
        size, what = _number(header[124:136]), header[156:157]
        if what in (b"L", b"K", b"x", b"g", b"X", b"N"):
            record = stream.take(min(size, NAMES))
            stream.skip(size - len(record) + -size % HEAD)
            if what == b"L":
                long_name = _text(record)
            elif what in (b"x", b"X"):
                fields = _pax(record)
                long_name = fields.get("path", long_name)
                size_record = fields.get("size", size_record)
            continue
        if size_record is not None and size_record.isdigit() and len(size_record) < 20:
            size = int(size_record)
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
        name = long_name or "/".join(filter(None, (prefix, _text(header[:100]))))
        long_name, size_record = "", None
        more = what == b"S" and header[482] == 1
        while more:  # a sparse file's map
            extra = stream.take(HEAD)
            more = len(extra) == HEAD and extra[504] == 1
        if what not in (b"0", b"\0", b"7", b"S"):
            stream.skip(size + -size % HEAD if what not in (b"1", b"2", b"3", b"4", b"5", b"6") else 0)
            continue
        before = stream.given
        yield from _inside(f"{path}!{name}", ByteStream(_part(stream, size)), budget, report, depth + 1)
        stream.skip(size - (stream.given - before) + -size % HEAD)


def _part(stream: ByteStream, left: int) -> Iterator[bytes]:
    """The next `left` bytes of a stream."""
    while left:
        if not (piece := stream.read(min(left, CHUNK))):
            raise ArchiveError("ends in the middle")
        left -= len(piece)
        yield piece


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax(record: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    while record:
        length, _, _ = record.partition(b" ")
        if not length.isdigit() or not 4 <= int(length[:9]) <= len(record):
            break
        key, _, value = record[len(length) + 1 : int(length) - 1].partition(b"=")
        fields[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        record = record[int(length) :]
    return fields
