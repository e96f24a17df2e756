"""Where the matches of a block lie: line, column, what the record says of itself, and the masked line around them."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.match.engine import Found, Match
from monitor.common.newlines import characters
from monitor.common.text import one_line
from monitor.excerpt import around, narrowed
from monitor.model import Block
from monitor.record import Record, record
from monitor.scrub import WITHHELD, Scrubber

__all__ = ["Places"]

_WIDEST = 1 << 16  # bytes: the column of a match further into its line helps nobody
_USUAL = 1 << 10  # bytes that most lines are shorter than
_SIDE = 80  # bytes of context on either side of a secret
_SHOWN = 200  # matches of a block whose line is shown: nobody reads more
_LONGEST = 240  # characters of a context


class Places:
    """Of the matches of one block; linear, however many there are."""

    def __init__(self, block: Block, found: Found) -> None:
        self._block = block
        self._found = found
        self._at = 0  # newlines are counted up to here
        self._newlines = 0
        self._record: tuple[int, Record] | None = None  # of the line that begins there
        # Text that was not searched may hold anything, also what stands in the lines beside it.
        self._secrets: Sequence[bytes] = [] if found.unsearched else [match.secret for match in found.matches[:_SHOWN]]
        self._left = len(self._secrets)

    def line(self, start: int) -> int | None:
        block = self._block
        if block.line_at is not None:
            return block.line_at(block.offset + start)
        if block.line is None:
            return None
        if start < self._at:
            self._at = self._newlines = 0
        self._newlines += bytes(block.data[self._at : start]).count(b"\n")
        self._at = start
        return block.line + self._newlines

    def begin(self, start: int) -> int | None:
        """Where in the block the line begins; None when it began before the block, or too far before `start`."""
        step, end = 256, start
        while end > 0:
            low = max(0, end - step)
            newline = bytes(self._block.data[low:end]).rfind(b"\n")
            if newline >= 0:
                return low + newline + 1
            if start - low > _WIDEST:
                return None
            step, end = step * 4, low
        return 0 if self._block.offset == 0 else None

    def column(self, match: Match, begin: int | None) -> int | None:
        """Of its first character, from 1, in the line that begins at `begin`."""
        if begin is None:
            return None
        if match.wide:
            return (match.start - begin) // 2 + 1
        return characters(bytes(self._block.data[begin : match.start])) + 1

    def record(self, begin: int | None) -> Record:
        """What the record that begins there says of itself."""
        if begin is None:
            return Record()
        if self._record is None or self._record[0] != begin:
            # Most lines end soon: to copy the widest for each would cost more than to read it.
            for width in (_USUAL, _WIDEST):
                line = bytes(self._block.data[begin : begin + width])
                if (newline := line.find(b"\n")) >= 0:
                    break
            line = line if newline < 0 else line[:newline]
            # Without its zeros UTF-16 is Latin-1, as far as it is that.
            self._record = begin, record(line.replace(b"\0", b""), self._block.time)
        return self._record[1]

    def context(self, match: Match, begin: int | None, scrub: Scrubber) -> str | None:
        """The line around a match in one printable line; None where it cannot be shown safely, or too many are."""
        if self._left <= 0:
            return None
        self._left -= 1
        data = self._block.data
        text, span, hidden, first = data, (match.start, match.end), self._found.hidden, begin or 0
        if match.wide:
            text, span, hidden = narrowed(data, span, hidden, _SIDE)
            first = text.rfind(b"\n", 0, span[0]) + 1
        before, after = around(text, span, hidden, first, _SIDE)
        # Of a line that is not whole in the block a secret may be cut off, which no rule has seen then.
        if begin is None:
            before = "…"
        if b"\n" not in bytes(data[match.start : match.end + _WIDEST]):
            after = "…"
        line = one_line(f"{before}{match.masked}{after}", mark="·").strip()
        plain = line.encode("utf-8", "replace")
        if any(secret in plain for secret in self._secrets):
            return None  # it stands there a second time, where no rule takes it for a secret
        safe = scrub(line, match.masked)
        return None if safe == WITHHELD else safe[:_LONGEST]
