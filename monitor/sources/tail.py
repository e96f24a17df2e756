"""One life of one file: who it is, how far it was read, and its bytes as blocks.

A life starts when a file appears or its content starts anew. It is known by its inode and, since inodes are reused and
contents rewritten, by keyed hashes of its first bytes and of the bytes before its offset. Only hashes are stored.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import secrets
import stat
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Literal

import zstandard

from monitor.model import Block, Position

__all__ = ["ARCHIVES", "BLOCK", "CONTEXT", "LOOKAHEAD", "Hasher", "Tail", "Turn", "open_archive", "open_file", "text"]

BLOCK = 1 << 20  # bytes read at once
CONTEXT = 16 << 10  # bytes before the fresh ones, for a secret that spans lines, blocks or writes
LOOKAHEAD = 64  # bytes of an overlong line that stay unsettled, so that a match at the cut is seen whole
TURN = 16 << 20  # bytes a file may read before another one gets its turn
HEAD = 1024  # bytes
MARK = 256  # bytes
COUNTED = 64 << 20  # bytes searched for newlines to number a line, about 30 ms; beyond it the line stays unknown

_BUFFERS: list[bytearray] = []  # reused; as many as turns ever ran at once

Hash = tuple[int, str]  # number of bytes, keyed digest


def text(path: str) -> str:
    """A path fit to show and store: bytes that are not UTF-8 as `\\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def open_file(path: str) -> int:
    """A descriptor for reading; never blocks on a FIFO. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def _zstd(path: str) -> BinaryIO:
    return zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        open(path, "rb"), read_across_frames=True, closefd=True
    )


ARCHIVES = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}


def open_archive(path: str) -> BinaryIO | None:
    """The decompressed content of a rotated file; None when it is not compressed. Raises OSError."""
    opener: Any = ARCHIVES.get(os.path.splitext(path)[1])
    return opener(path) if opener else None


@dataclass(slots=True, eq=False)
class Tail:
    """A life and how far it was read. Everything before `offset` is settled: scanned and committed."""

    path: str  # where it was last seen
    inode: tuple[int, int]  # st_dev, st_ino
    key: str = field(default_factory=lambda: secrets.token_hex(8))  # of its Position
    generation: str = field(default_factory=lambda: secrets.token_hex(8))
    offset: int = 0
    size: int = 0  # of the known content, to tell how much is lost when it goes
    mtime: int = -1  # nanoseconds, as last seen
    head: Hash = (0, "")  # grows up to HEAD
    mark: Hash = (0, "")
    line: tuple[int, int] = (0, 1)  # an offset and the number of the line it lies in
    loose: bool = False  # no followed path leads to it any more: rotated away or deleted
    archive: bool = False  # compressed: read once, to the end
    target: str = ""  # where the file itself lies, when `path` is a link: there it is rotated, and left when that turns

    fd: int = -1
    there: int = 0  # size on disk as last seen, of whatever content
    grown: int = 0  # the same, when that was during a turn: then it counts for `size`
    proven: bool = False  # the turn that runs found the known content
    paths: set[str] = field(default_factory=set)
    known: tuple[int, int] = (-1, -1)  # size and mtime on disk at the last turn
    saved: bool = False  # the store has a position of it
    dirty: bool = False  # and that needs a new one
    flushed: int = 0  # a last line without newline was scanned up to here
    held: bool = False  # not to have a turn yet
    queued: bool = False
    busy: bool = False
    again: bool = False
    bulk: bool = False
    failures: int = 0
    suspect: int = 0  # the engine failed on the block that ends here: up to there a turn is one block
    rewrites: int = 0  # how often only the head was found changed
    ended: bool = False
    changed: float = field(default_factory=time.monotonic)  # when it last grew
    legacy: Tail | None = None  # turned out during a turn: what the file holds now is a copy of this life
    until: int | None = None  # read no further than this

    def state(self) -> dict[str, Any]:
        """What a restart needs, as JSON."""
        state: dict[str, Any] = {
            "path": text(self.path),
            "dev": self.inode[0],
            "ino": self.inode[1],
            "generation": self.generation,
            "offset": self.offset,
            "size": self.size,
            "mtime": self.mtime,
            "flushed": self.flushed,
            "head": list(self.head),
            "mark": list(self.mark),
            "line": list(self.line),
        }
        if state["path"] != self.path:
            state["raw"] = os.fsencode(self.path).hex()
        if self.loose:
            state["loose"] = True
        if self.archive:
            state["archive"] = True
        if self.target:
            state["target"] = os.fsencode(self.target).hex()
        return state

    @classmethod
    def restore(cls, key: str, state: Mapping[str, Any]) -> Tail:
        """The reverse of `state`. Raises KeyError, TypeError or ValueError for what is none."""
        raw = state.get("raw")
        return cls(
            path=os.fsdecode(bytes.fromhex(raw)) if raw else str(state["path"]),
            inode=(int(state["dev"]), int(state["ino"])),
            key=key,
            generation=str(state["generation"]),
            offset=int(state["offset"]),
            size=int(state["size"]),
            mtime=int(state["mtime"]),
            flushed=int(state.get("flushed", 0)),
            head=(int(state["head"][0]), str(state["head"][1])),
            mark=(int(state["mark"][0]), str(state["mark"][1])),
            line=(int(state["line"][0]), int(state["line"][1])),
            loose=bool(state.get("loose", False)),
            archive=bool(state.get("archive", False)),
            target=os.fsdecode(bytes.fromhex(state.get("target", ""))),
            known=(int(state["size"]), int(state["mtime"])),
            there=int(state["size"]),
            saved=True,
        )

    def position(self, source: str) -> Position:
        return Position(source, self.key, self.state())

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def adopt(self, other: Tail) -> None:
        """Continue where `other`, of which this file is a copy, has got to."""
        self.generation, self.offset = other.generation, other.offset
        self.head, self.mark, self.line = other.head, other.mark, other.line
        self.dirty = True


@dataclass(frozen=True, slots=True)
class Hasher:
    """Keyed hashes of contents, and the checks made with them."""

    key: bytes

    @classmethod
    def derived(cls, key: bytes) -> Hasher:
        return cls(hashlib.blake2b(key, digest_size=32, person=b"file identity").digest())

    def digest(self, data: bytes | memoryview) -> str:
        return hashlib.blake2b(data, key=self.key, digest_size=16).hexdigest()

    def head_matches(self, fd: int, tail: Tail) -> bool:
        length, digest = tail.head
        return not length or self.digest(os.pread(fd, length, 0)) == digest

    def mark_matches(self, fd: int, tail: Tail) -> bool:
        length, digest = tail.mark
        return not length or self.digest(os.pread(fd, length, tail.offset - length)) == digest

    def continues(self, fd: int, size: int, tail: Tail) -> bool:
        """Whether the file begins with all that was read of `tail`, as far as two hashes can tell."""
        return size >= tail.offset and self.head_matches(fd, tail) and self.mark_matches(fd, tail)

    def archive_continues(self, stream: BinaryIO, tail: Tail) -> bool:
        """`continues` for a decompressed stream at its start; when true it is left at `tail.offset`, or after the head
        where that is longer."""
        start = _read(stream, tail.head[0])
        if (start and self.digest(start) != tail.head[1]) or len(start) < tail.head[0]:
            return False
        if tail.offset <= len(start):
            return not tail.mark[0] or self.digest(start[: tail.offset][-tail.mark[0] :]) == tail.mark[1]
        last, at = start, len(start)
        while at < tail.offset and (piece := _read(stream, min(1 << 20, tail.offset - at))):
            last, at = last[-MARK:] + piece, at + len(piece)
        return at == tail.offset and self.digest(last[-tail.mark[0] :]) == tail.mark[1]

    def settle(self, fd: int, tail: Tail, offset: int) -> None:
        """Make `tail` start at `offset` with its hashes taken from the file. Raises OSError."""
        head = os.pread(fd, min(HEAD, offset), 0)
        mark = os.pread(fd, min(MARK, offset), max(0, offset - MARK))
        tail.offset = offset
        tail.head, tail.mark = (len(head), self.digest(head)), (len(mark), self.digest(mark))


def _read(stream: BinaryIO, count: int) -> bytes:
    """Exactly `count` bytes, or those up to the end."""
    data = b""
    while len(data) < count and (piece := stream.read(count - len(data))):
        data += piece
    return data


class Turn:
    """One go at a file: `blocks` is pulled in a worker thread, `positions` afterwards, `apply` once that is committed.

    What came of it: `verdict` "read"; "replaced": the content is not the one known; "moved": the path leads elsewhere;
    "failed": `error`. `more`: the end was not reached. `rest`: bytes of a last line without newline.
    """

    def __init__(self, source: str, tail: Tail, hasher: Hasher, flush: int | None = None) -> None:
        """`flush`: scan the last line even without newline, provided the file still has this size (-1: any size)."""
        self.source = source
        self.tail = tail
        self.verdict: Literal["read", "replaced", "moved", "failed"] = "read"
        self.error: OSError | None = None
        self.rewritten = False  # the head is another one, what lies before the offset is not
        self.more = False
        self.rest = 0
        self.size = tail.size
        self.mtime = tail.mtime
        self.offset = tail.offset
        self.flushed = 0
        self._known = tail.known
        self._flush = flush
        self._hasher = hasher
        self._head = tail.head
        self._mark = b""
        self._line = tail.line
        self._stream: BinaryIO | None = None

    def blocks(self) -> Iterator[Block]:
        buffer = _BUFFERS.pop() if _BUFFERS else bytearray(CONTEXT + BLOCK)
        try:
            if self.tail.archive:
                yield from self._archive(buffer)
            elif self._open():
                try:
                    yield from self._cut(buffer, self.size)
                finally:
                    self._grow_head()
        except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, zlib.error) as error:
            # What was read before it stands.
            self.verdict = "failed"
            self.error = error if isinstance(error, OSError) else OSError(f"damaged: {type(error).__name__}")
        finally:
            _BUFFERS.append(buffer)
            if self._stream is not None:
                self._stream.close()

    def _open(self) -> bool:
        tail = self.tail
        if tail.fd < 0:
            try:
                tail.fd = open_file(tail.path)
            except FileNotFoundError:
                self.verdict = "moved"
                return False
        status = os.fstat(tail.fd)
        if (status.st_dev, status.st_ino) != tail.inode or not stat.S_ISREG(status.st_mode):
            tail.close()
            self.verdict = "moved"
            return False
        self._known = self.size, self.mtime = status.st_size, status.st_mtime_ns
        if not self._hasher.continues(tail.fd, self.size, tail):
            self.rewritten = 0 < tail.offset <= self.size and self._hasher.mark_matches(tail.fd, tail)
            if not self.rewritten or tail.rewrites < 3:
                self.verdict = "replaced"
                return False
            self._head = (0, "")  # a file that keeps rewriting its first bytes is no new file each time
        tail.proven = True
        if tail.until is not None:
            self.size = min(self.size, tail.until)
        if status.st_blocks * 512 < status.st_size:
            self._skip_hole()
        return True

    def _skip_hole(self) -> None:
        """Jump over a hole (a writer without O_APPEND after a truncation), stop before one that reaches to the end.

        The latter is space set aside: what gets written there later is not to be taken for read.
        """
        fd = self.tail.fd
        try:
            data = os.lseek(fd, self.offset, os.SEEK_DATA)
        except OSError:  # nothing but a hole up to the end, or a file system that cannot tell
            if self.offset == 0:
                self.size = 0
            return
        if data - self.offset > BLOCK:
            self.offset = data
            self._mark = bytes(MARK)
        end = os.lseek(fd, data, os.SEEK_HOLE)
        try:
            os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            self.size = min(self.size, end)

    def _archive(self, buffer: bytearray) -> Iterator[Block]:
        self._stream = open_archive(self.tail.path)
        if self._stream is None or not self._hasher.archive_continues(self._stream, self.tail):
            self.verdict = "replaced"
            return
        if self.offset < self.tail.head[0]:
            self._stream.close()
            self._stream = open_archive(self.tail.path)
            assert self._stream is not None
            _read(self._stream, self.offset)
        self._flush = -1
        yield from self._cut(buffer, None)

    def _fill(self, view: memoryview, at: int) -> int:
        if self._stream is None:
            return os.preadv(self.tail.fd, [view], at)
        piece = self._stream.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def _cut(self, buffer: bytearray, size: int | None) -> Iterator[Block]:
        """Blocks from `self.offset` up to `size` (None: the end of the stream), each ending with a line."""
        view = memoryview(buffer)
        # An archive's stream stands at the offset and cannot go back for context.
        base = self.offset if self._stream else max(0, self.offset - CONTEXT)
        fresh = self.offset - base
        start = self.offset
        longest = TURN if start >= self.tail.suspect else 0
        fill = 0
        ended = False
        while True:
            while not ended and fill < len(view):
                wanted = len(view) if size is None else min(len(view), size - base)
                got = self._fill(view[fill:wanted], base + fill) if wanted > fill else 0
                fill += got
                ended = not got or base + fill == size
            settled = buffer.rfind(b"\n", fresh, fill) + 1
            end, limit = settled, None
            if not settled:
                if fill < len(view):
                    self.rest = max(0, fill - fresh)
                    if self.rest and self._flush in (-1, base + fill):
                        self.flushed = base + fill
                        if size is None:
                            self.offset = base + fill
                        yield self._block(view[:fill], base, fresh, None)
                    return
                end, settled = fill, fill - LOOKAHEAD
                limit = settled
            # Whoever takes the blocks may have enough after this one: then the rest is for another turn.
            self._mark = bytes(view[max(0, settled - MARK) : settled])
            self.offset = base + settled
            self.more = not ended or settled < fill
            yield self._block(view[:end], base, fresh, limit)
            if not self.more or (size is not None and self.offset - start >= longest):
                return
            self.more = False
            keep = max(0, settled - CONTEXT)
            view[: fill - keep] = view[keep:fill]
            base, fill, fresh = base + keep, fill - keep, settled - keep

    def _block(self, data: memoryview, base: int, fresh: int, limit: int | None) -> Block:
        return Block(
            source=self.source,
            path=text(self.tail.path),
            generation=self.tail.generation,
            offset=base,
            data=data,
            time=time.time(),
            fresh=fresh,
            limit=limit,
            line_at=None if self._stream else self._line_at,
        )

    def _line_at(self, offset: int) -> int | None:
        known, line = self._line
        start, end = min(known, offset), max(known, offset)
        if end - start > COUNTED:
            return None
        count = 0
        while start < end:
            piece = os.pread(self.tail.fd, min(BLOCK, end - start), start)
            if not piece:
                return None
            count += piece.count(b"\n")
            start += len(piece)
        line += count if offset >= known else -count
        self._line = (offset, line)
        return line

    def _grow_head(self) -> None:
        # Of settled bytes only: space set aside is still to be filled. Before there are any, a few that may change
        # are better than none, as inodes are reused.
        length = min(HEAD, self.offset or self.size)
        first = bool(self.offset and not self.tail.offset)
        if (length > self._head[0] or first) and self.tail.rewrites < 3:
            data = os.pread(self.tail.fd, length, 0)
            self._head = (len(data), self._hasher.digest(data))

    def positions(self) -> tuple[Position, ...]:
        """The position to commit with the findings; none when there is nothing new."""
        # A life of which nothing is settled yet is saved as well: after a restart its file may have another name.
        if self.verdict in ("replaced", "moved"):
            return ()
        if self.offset == self.tail.offset and not self.flushed and not self.tail.dirty and self.tail.saved:
            return ()
        after = replace(self.tail)
        self._update(after)
        return (after.position(self.source),)

    def _update(self, tail: Tail) -> None:
        if self._mark:
            tail.mark = (len(self._mark), self._hasher.digest(self._mark))
        tail.offset, tail.size, tail.mtime = self.offset, self.size, self.mtime
        tail.head, tail.line = self._head, self._line
        tail.flushed = self.flushed or tail.flushed

    def apply(self) -> None:
        """Take over what is committed now. Only on the event loop."""
        tail = self.tail
        if self.verdict in ("replaced", "moved"):
            return
        tail.saved = True
        tail.dirty = False
        if self.size != tail.size:
            tail.changed = time.monotonic()
        self._update(tail)
        tail.known = self._known
