"""A turn: the new bytes of one file as blocks for the scanner, and the position committed with what they hold."""

from __future__ import annotations

import contextlib
import lzma
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import zstandard

from monitor.common.cuts import CONTEXT, last_word, settled
from monitor.common.files import UNPACKING, open_archive, open_file, read_exactly
from monitor.domain.model import Block, Position
from monitor.scanning.blocks import Window
from monitor.sources import unwrap
from monitor.sources.file.blanks import blank_end, first_blank, last_written
from monitor.sources.file.carry import EarlyError, begins_anew, carry, chain, close
from monitor.sources.file.identity import BODY, HEAD, MARK, Hasher
from monitor.sources.file.lines import CountedStream, KnownLines
from monitor.sources.file.tracked_file import Carry, Known, StoredState, TrackedFile, text

__all__ = ["FileReader", "Unwrap"]

BLOCK = 2 << 20  # bytes scanned at once: each scan hands the lock of Python on, which costs two workers more than one
TURN = 16 << 20  # bytes a file may read before another one gets its turn
REREAD = 10 << 20  # bytes a second that may be read again in doubt
MOMENT = 50_000_000  # nanoseconds after which a change is no longer in the middle of being made
EARLY = 0.05  # seconds between looks at a predecessor that is not read to its end
TRUST = 10.0  # seconds for which a file is believed to hold nothing but NUL where it held nothing else
_UNPACKED = 64 << 10  # bytes taken at once from an archive, of which those before a fault are lost with it
_DAMAGE = (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, zlib.error)

Unwrap = Callable[[Block], Block]  # what a container's runtime wrote → what the container wrote

_BUFFERS: list[bytearray] = []  # reused; as many as turns ever ran at once


class FileReader:
    """One go at a file: `blocks` is pulled in a worker thread, `positions` afterwards, `apply` once that is committed.

    What came of it: `verdict` "read"; "replaced": the content is not the one known; "moved": the path leads elsewhere;
    "failed": `error`. `more`: the end was not reached. `rest`: bytes of a last line without newline. `wait`: seconds
    after which another turn is due whatever happens.
    """

    def __init__(
        self,
        source: str,
        tracked: TrackedFile,
        hasher: Hasher,
        flush: int | None = None,
        *,
        whole: bool = False,
        container: Unwrap | None = None,
        before: TrackedFile | None = None,
        rest: float = 0.0,
    ) -> None:
        """`flush`: scan the last line even without newline, provided the file still has this size (-1: any size).
        Its last word only with `whole`: as long as the writer may go on with it, it is not a value yet.
        `container`: its lines are those of a container's runtime (monitor.sources.unwrap).
        `before`: its predecessor as it is, with a descriptor for this turn; what that left open is taken over once it
        has rested for so many seconds.
        """
        self.source, self.tracked, self._container = source, tracked, container
        self._before, self._rest = before, rest
        self._carry: Carry | None = None
        self.inode = tracked.inode
        self.verdict: Literal["read", "replaced", "moved", "failed"] = "read"
        self.error: OSError | None = None
        self.rewritten = False  # the head is another one, what lies before the offset is not
        self.more = False
        self.rest = 0
        self.size = tracked.size
        self.seen = 0  # size of a content that another one took the place of after it was looked at
        self.mtime = tracked.mtime
        self.offset = tracked.offset
        self.flushed = 0
        self.peeked = 0
        self.wait = 0.0
        self.doubted = False  # it is to be read again, but not yet
        self._again = False  # it is read again
        self.early = False  # its predecessor was not at its end
        self.left = False  # what is open is left to the successor
        self._begun = tracked.begun
        self._begin = b""  # of the file, as it was read
        self._blank, self._looked = 0, 0.0
        self._known: Known = tracked.known
        self._flush, self._whole = flush, whole
        self._hasher = hasher
        self._head, self._body = tracked.head, tracked.body
        self._mark = b""
        self._lines = KnownLines(tracked.line, self._text)
        self._shown: tuple[int, memoryview] = (0, memoryview(b""))  # the last block and where it begins
        self._stream: CountedStream | None = None
        self._fault: Exception | None = None  # met in it

    def blocks(self) -> Iterator[Block]:
        buffer = _BUFFERS.pop() if _BUFFERS else bytearray(CONTEXT + BLOCK)
        try:
            if (self.tracked.archive or self._open()) and self._go_on():
                try:
                    yield from self._archive(buffer) if self.tracked.archive else self._cut(buffer, self.size)
                finally:
                    self._grow_head()
        except _DAMAGE as error:
            # What was read before it stands.
            self.verdict = "failed"
            kind = type(error).__name__
            more = f"damaged, or unpacking it takes more than {UNPACKING >> 20} MiB: {kind}"
            self.error = error if isinstance(error, OSError) else OSError(more)
        finally:
            _BUFFERS.append(buffer)
            close(self._before)
            if self._stream is not None:
                self._stream.close()

    def _open(self) -> bool:
        tracked = self.tracked
        if tracked.fd < 0:
            try:
                tracked.fd = open_file(tracked.path)
            except FileNotFoundError:
                self.verdict = "moved"
                return False
        status = os.fstat(tracked.fd)
        if (status.st_dev, status.st_ino) != tracked.inode or not stat.S_ISREG(status.st_mode):
            tracked.close()
            self.verdict = "moved"
            return False
        before, self._known = tracked.known, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        self.size, self.mtime = status.st_size, status.st_mtime_ns
        if not self._hasher.continues(tracked.fd, self.size, tracked):
            self.rewritten = 0 < tracked.offset <= self.size and self._hasher.mark_matches(tracked.fd, tracked)
            if not self.rewritten or tracked.rewrites < 3:
                self.verdict = "replaced"
                return False
            self._head = self._body = (0, "")  # a file that keeps rewriting its first bytes is no new file each time
        elif (start := self._doubt(before)) is not None and not self._read_again(start):
            return False
        tracked.proven = True
        if tracked.until is not None:
            self.size = min(self.size, tracked.until)
        if status.st_blocks * 512 < status.st_size:
            self._skip_hole()
        self._stay_before_blanks()
        return True

    def _doubt(self, before: Known) -> int | None:
        """From where on bytes that were read may be others now, although those at both ends are not; None: nowhere."""
        tracked = self.tracked
        if not tracked.offset or tracked.blank:  # space set aside is filled without growing
            return None
        if not self._hasher.body_matches(tracked.fd, tracked):
            return 0
        if tracked.body[0] >= tracked.offset:  # every byte was checked
            return None
        size, mtime, ctime = before
        same = mtime == self._known[1] and ctime in (-1, self._known[2])
        return tracked.start if tracked.doubted or (size == self._known[0] and not same) else None

    def _read_again(self, start: int) -> bool:
        """Start over under the same generation, which gives what is found again the same ids; not while it is being
        written, and of a big file not too often."""
        tracked = self.tracked
        self.wait = max(0.0, tracked.trusted - time.monotonic())
        age = time.time_ns() - max(self._known[1:])
        if age < MOMENT and not (age < 0 and tracked.doubted):  # where the clock was set back one moment has to do
            self.wait = max(self.wait, MOMENT / 1e9)
        if self.wait and tracked.until is None:
            self.doubted, self._known = True, tracked.known
            self.size, self.mtime = tracked.size, tracked.mtime
            return False
        self.wait, self._again, self.offset = 0.0, True, start
        self._body, self._mark, self._lines.known = (0, ""), b"", (0, 1)
        return True

    def _go_on(self) -> bool:
        """Take over what the predecessor left open. Whether to read now: as long as it is written to, that may be ended
        there."""
        if self.tracked.offset:
            self._carry = self._context()
            return True
        if self._before is None or not (self.size or self.tracked.archive):
            return True
        try:
            given = carry(self._before, self._hasher)
        except EarlyError:
            self.wait = EARLY
            given = None
        except _DAMAGE:
            given = None
        if given is not None and given.open:
            self.wait = max(0.0, self._rest - (time.monotonic() - self._before.changed))
        if self.wait and self._rest:
            self._known, self.size, self.mtime = self.tracked.known, self.tracked.size, self.tracked.mtime
            self.early = True
            return False
        self.wait, self._carry = 0.0, given
        self._begun = given if given is not None and given.begun else None
        return True

    def _context(self) -> Carry | None:
        """What stands before the little that was read of this file, in its predecessor."""
        given = self.tracked.begun
        if self._again or self.tracked.archive or self.offset >= CONTEXT:
            self._begun = None
            return None
        if given is None and self._before is not None:
            with contextlib.suppress(EarlyError, *_DAMAGE):
                given = carry(self._before, self._hasher)
        self._begun = given if given is not None and given.begun else None
        return None if given is None else given.context(CONTEXT - self.offset)

    def _begins_anew(self, window: Window) -> Iterator[Block]:
        """The open line of the predecessor by itself, where this file does not begin with the rest of it."""
        given = self._carry
        if given is None or not given.open or self._container is not None:
            return
        begin = bytes(window.view[len(given.text) : window.end][:CONTEXT])
        if begins_anew(begin, [*given.lines, *begin.split(b"\n")[1:]]):
            window.forget()
            yield given.block(self.source)

    def _stay_before_blanks(self) -> None:
        """A run of NULs up to the end is not written yet: what gets written there is not to be taken for read."""
        tracked, fd, end = self.tracked, self.tracked.fd, self.size
        if end <= self.offset or not blank_end(fd, end):
            return
        self._blank, now = end, time.monotonic()
        self._looked = tracked.looked if tracked.blank == end else 0.0
        if now - self._looked < TRUST:
            # There was nothing but NUL a moment ago: only the beginning, which is being filled, is looked at.
            self.size, self.wait = first_blank(fd, self.offset, end), TRUST
            return
        self._looked = now
        self.size = last_written(fd, self.offset, end)

    def _skip_hole(self) -> None:
        """Jump over a hole (a writer without O_APPEND after a truncation), stop before one that reaches to the end.

        The latter is space set aside: what gets written there later is not to be taken for read.
        """
        fd = self.tracked.fd
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
        if not self._unpack():
            self.verdict = "moved"
            return
        if self._stream is None or not self._hasher.archive_continues(self._stream, self.tracked):
            self.verdict = "replaced"
            return
        if self.offset < self.tracked.head[0]:
            self._stream.close()
            if not self._unpack():
                self.verdict = "moved"
                return
            assert self._stream is not None
            read_exactly(self._stream, self.offset)
        self._lines.known = (self.offset, 1 + self._stream.newlines)
        self._flush = -1
        yield from self._cut(buffer, None)
        if self._fault is not None:
            raise self._fault

    def _unpack(self) -> bool:
        """Open the archive at the path of the tracked file. Whether it is that one's, and not one that got its name;
        of one that was never read not even the inode says, which may have been given on."""
        tracked = self.tracked
        try:
            stream = open_archive(tracked.path)
            self._stream = CountedStream(stream) if stream is not None else None
            status = os.stat(tracked.path)
        except FileNotFoundError:
            return False
        known = tracked.known_by_content or (status.st_size, status.st_mtime_ns) == (tracked.there, tracked.mtime)
        return known and (status.st_dev, status.st_ino) == tracked.inode

    def _fill(self, view: memoryview, at: int) -> int:
        if self._stream is None:
            return os.preadv(self.tracked.fd, [view], at)
        try:
            piece = self._stream.read(min(len(view), _UNPACKED))
        except _DAMAGE as error:
            self._fault = error  # once the lines before it are settled
            return 0
        view[: len(piece)] = piece
        if at == len(self._begin) < BODY:
            self._begin += piece[: BODY - at]
        return len(piece)

    def _cut(self, buffer: bytearray, size: int | None) -> Iterator[Block]:
        """Blocks from `self.offset` up to `size` (None: the end of the stream), each ending with a line."""
        start = self.offset
        # An archive's stream stands at the offset and cannot go back for context.
        window = Window(buffer, start, context=self._stream is None)
        if self._carry is not None:
            window = Window(bytearray(len(buffer) + len(self._carry.text)), start)
            window.precede(self._carry.text, self._carry.settled + start)
        longest = TURN if start >= self.tracked.suspect else 0
        first = True
        while True:
            ended = window.fill(self._fill, size)
            short = size is not None and ended and window.offset + window.end < size
            if first and self._stream is None and not self._stands(window.view[: window.end], window.offset, short):
                return
            if short:
                return  # cut off since this turn began: the next one sees what became of it
            if first:
                yield from self._begins_anew(window)
            first = False

            limit = self._settled(window)
            if limit <= max(window.fresh, -window.offset):
                yield from self._open_line(window, archive=size is None)
                return
            # Whoever takes the blocks may have enough after this one: then the rest is for another turn.
            self._mark = bytes(window.view[max(0, -window.offset, limit - MARK) : limit])
            self.offset = window.offset + limit
            self.more = not ended or limit < window.end
            data = window.text(limit)
            yield self._block(data, window.offset, window.fresh, limit if limit < len(data) else None, window.head)
            if self._stream is not None:
                self._lines.at(self.offset)
            if not self.more or (size is not None and self.offset - start >= longest):
                return
            self.more = False
            window.settle(limit)

    def _settled(self, window: Window) -> int:
        """How far what is in hand may be settled; no further than its context: not yet."""
        data, fresh, end = window.buffer, window.fresh, window.end
        cut = settled(data, fresh, end, full=False)
        if self._container is not None and cut > fresh:
            cut = unwrap.settled(data, fresh, end)
        if cut > fresh or not window.full:
            return cut
        cut = settled(data, fresh, end, full=True)
        return cut if self._container is None else max(unwrap.cut(data, fresh, end), min(cut, 1 - window.offset))

    def _stands(self, data: memoryview, base: int, short: bool) -> bool:
        """Whether what was read first, from `base` on, is of the content that was looked at. Otherwise the file was cut
        off (`short`) or filled anew since, and nobody has read the beginning of what it holds now."""
        tracked, stands = self.tracked, not short
        if not self.rewritten:
            for start, (length, digest) in ((0, tracked.head), (tracked.offset - tracked.mark[0], tracked.mark)):
                if length and base <= start and start + length <= base + len(data):
                    stands &= self._hasher.digest(data[start - base : start - base + length]) == digest
        if stands:
            self._begin = bytes(data[-base : BODY - base]) if base <= 0 else b""
            return True
        self.verdict, self.seen = "replaced", self.size
        status = os.fstat(tracked.fd)
        self.size, self.mtime = status.st_size, status.st_mtime_ns
        return False

    def _open_line(self, window: Window, archive: bool) -> Iterator[Block]:
        """The last line, which has no end yet, if it is time to scan it."""
        data, fresh, end = window.view[: window.end], window.fresh, window.offset + window.end
        self.rest = max(0, window.end - fresh)
        # Behind a fault it may be there in whole the next time: an archive that is still being written ends in one.
        if not self.rest or self._flush not in (-1, end) or self._fault is not None:
            return
        self.left = self.tracked.awaited or (self.tracked.hopes and not self._whole)
        if self.left:
            return
        if archive:
            self.offset, self._mark = end, bytes(data[-MARK:])
        if self.tracked.flushed == end and (archive or self.tracked.after is not None) and not self._again:
            return  # the successor took it over, and may be gone itself by now
        if self._whole or archive:
            self.flushed, limit = end, None
        else:
            self.peeked = end
            limit = fresh + last_word(bytes(data[fresh:]))
            if self._container is not None:
                limit = unwrap.word(window.buffer, fresh, window.end)
            if limit <= fresh:
                return
        yield self._block(data, window.offset, fresh, limit, window.head)

    def _block(self, data: memoryview, base: int, fresh: int, limit: int | None, head: bytes) -> Block:
        self._shown = base, data
        block = Block(
            source=self.source,
            path=text(self.tracked.path),
            generation=self.tracked.generation,
            offset=base,
            data=data,
            time=time.time(),
            fresh=fresh,
            limit=limit,
            line_at=self._lines.at,
            predecessor=self._carry.of if self._carry is not None and base < 0 else None,
            seam=-base if self._container is None and fresh < -base else 0,
            head=head,
        )
        return block if self._container is None else self._container(block)

    def _text(self, at: int, size: int) -> bytes:
        """To count lines in; of an archive what was given last."""
        if self._stream is None:
            return os.pread(self.tracked.fd, size, at)
        base, data = self._shown
        return bytes(data[at - base : at - base + size]) if at >= base else b""

    def _grow_head(self) -> None:
        # Of settled bytes only: space set aside is still to be filled. Before there are any, a few that may change
        # are better than none, as inodes are reused.
        settled = self.offset or self.size
        first = bool(self.offset and not self.tracked.offset) and not self._again
        if self.tracked.rewrites >= 3:
            return
        if min(HEAD, settled) > self._head[0] or min(BODY, self.offset) > self._body[0] or first:
            # What was read, if it goes so far: the file may hold another content by now.
            data = self._begin[:settled]
            if not data and self.tracked.archive:
                return
            data = data or os.pread(self.tracked.fd, min(BODY, settled), 0)
            if min(HEAD, settled) > self._head[0] or first:
                self._head = (len(data[:HEAD]), self._hasher.digest(data[:HEAD]))
            self._body = (len(data), self._hasher.digest(data)) if self.offset else (0, "")

    def positions(self) -> tuple[Position, ...]:
        """The position to commit with the findings; none when there is nothing new."""
        # One of which nothing is settled yet is saved as well: after a restart its file may have another name.
        if self.verdict in ("replaced", "moved") or self.tracked.ended:
            return ()
        tracked = self.tracked
        new = self.offset != tracked.offset or self.flushed or self._again or self._head != tracked.head
        if not new and tracked.record is StoredState.SAVED:
            return ()
        after = replace(tracked)
        self._update(after)
        given = [replace(before, flushed=end) for before, end in self._taken_over]
        return (after.position(self.source), *(before.position(self.source) for before in given))

    @property
    def _taken_over(self) -> list[tuple[TrackedFile, int]]:
        """Predecessors of which the end was scanned with this file, and where that is."""
        given = self._carry if self.offset or self.flushed else None
        return list(chain(self.tracked, given)) if given is not None and given.open else []

    def _update(self, tracked: TrackedFile) -> None:
        if self._mark or self._again:
            tracked.mark = (len(self._mark), self._hasher.digest(self._mark))
        tracked.offset, tracked.size, tracked.mtime, tracked.known = self.offset, self.size, self.mtime, self._known
        tracked.head, tracked.body, tracked.line = self._head, self._body, self._lines.known
        tracked.flushed = self.flushed or (0 if self._again else tracked.flushed)

    def apply(self) -> None:
        """Take over what is committed now. Only on the event loop."""
        tracked = self.tracked
        if self.verdict in ("replaced", "moved"):
            return
        tracked.record = StoredState.SAVED
        if self.size != tracked.size:
            tracked.changed = time.monotonic()
        if not self.more:
            tracked.caught = time.monotonic()
        for before, end in self._taken_over:
            before.flushed = end
        self._update(tracked)
        tracked.begun, tracked.peeked = self._begun, self.peeked or tracked.peeked
        tracked.blank, tracked.looked, tracked.doubted = self._blank, self._looked, self.doubted
        if self._again:
            tracked.trusted = time.monotonic() + self.size / REREAD
