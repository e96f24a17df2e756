"""Secrets in files and streams: cut into blocks as the sources cut them, matched, placed, masked.

A `Hit` is all that leaves this module. It holds no secret unless the caller asked to reveal it.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.blocks import Cutter, Window
from monitor.common.archive import Report, Stream
from monitor.common.cuts import CONTEXT, LOOKAHEAD, carried, settled
from monitor.common.newlines import characters, newlines
from monitor.excerpt import around, narrowed
from monitor.model import Block
from monitor.scrub import Scrubber

if TYPE_CHECKING:
    from detectors.match.engine import Found, Match, Worker
    from detectors.rules.rule import Rule
    from monitor.common.severity import Severity

__all__ = ["BLOCK", "Hit", "Places", "Searcher", "file_blocks", "stream_blocks"]

BLOCK = 1 << 22  # new bytes a scan: more do not stay in the processor's cache, fewer make much of CONTEXT
LINE = 4096  # bytes of a line that are looked at for a suppression
CROWD = 2000  # with more hits than this in one block nobody reads their context


@dataclass(frozen=True, slots=True)
class Hit:
    """One occurrence. `line`, `column` from 1, the column in characters; `end_line`, `end_column` of the character
    behind it, `length` in bytes; `context` is the masked line around it as (before, preview, after)."""

    path: str
    line: int
    column: int
    offset: int
    rule: Rule
    name: str
    severity: Severity
    confidence: str
    fingerprint: str
    masked: str
    decode: tuple[str, ...]
    labels: Mapping[str, str]
    suppressed: bool
    end_line: int
    end_column: int
    length: int
    context: tuple[str, str, str] | None = None
    revealed: str | None = field(default=None, repr=False)


def file_blocks(fd: int, buffer: bytearray, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """The bytes from `start` to `end` (or the end of the file) with what is needed around them; `buffer` holds them.
    Raises OSError.
    """
    window = Window(buffer, start)
    while True:
        ended = window.fill(lambda view, at: os.preadv(fd, [view], at), None if end is None else end + LOOKAHEAD)
        limit = window.end if ended else settled(buffer, window.fresh, window.end, full=True)
        if end is not None:
            limit = min(limit, end - window.offset)
        if limit <= window.fresh:
            return
        text = window.view[: window.end] if ended else window.text(limit)
        yield _block(text, window.offset, window.fresh, limit, window.head)
        if ended:
            return
        window.settle(limit)


def stream_blocks(stream: Stream, places: Places) -> Iterator[Block]:
    """The same of what can be read once; `places` learns of every line."""
    cutter = Cutter("", "", "", line=None)
    more = True
    while more:
        chunk = stream.read(BLOCK)
        more = bool(chunk)
        block = cutter.feed(chunk) if more else cutter.flush()
        if block is not None:
            places.read = _reader(bytes(block.data), block.offset)
            yield block
            places.locate(block.offset + carried(block.end))  # a secret may begin there and end in the next block


def _block(data: memoryview, offset: int, fresh: int, limit: int, head: bytes) -> Block:
    """A file at rest has no provenance but its path, and nothing goes by when it was read."""
    return Block("", "", "", offset, data, 0.0, fresh, limit, head=head)


def _reader(data: bytes, offset: int) -> Callable[[int, int], bytes]:
    return lambda at, size: data[at - offset : at - offset + size]


class Places:
    """Offset → line number, column and start of the line. Counted only as far as somebody asks.

    Also which occurrences were told: one that needs a companion is found again while a new one may have come.
    """

    def __init__(self, read: Callable[[int, int], bytes], data: Callable[[int], int | None] | None = None) -> None:
        """`data`: the next place with data, of a file that may have holes: they are zeros, and counted unread."""
        self.read = read
        self._data = data
        self._known: list[tuple[int, int, int, int]] = [(0, 1, 1, 0)]
        self._told: set[tuple[int, str, str]] = set()
        self._lock = threading.Lock()  # two threads may search parts of one large file

    def new(self, offset: int, rule: str, fingerprint: str) -> bool:
        """Whether this occurrence was not told yet; from now on it is."""
        with self._lock:
            known = len(self._told)
            self._told.add((offset, rule, fingerprint))
            return len(self._told) > known

    def locate(self, offset: int) -> tuple[int, int, int]:
        with self._lock:
            index = bisect_right(self._known, offset, key=lambda known: known[0])
            at, line, column, start = self._known[index - 1]
            if at == offset:
                return line, column, start
            while at < offset:
                if (hole := self._hole(at, offset)) > 0:
                    at, column = at + hole, column + hole
                    continue
                chunk = self.read(at, min(BLOCK, offset - at))
                if not chunk:
                    break  # the file has become shorter
                breaks = newlines(chunk)
                if breaks:
                    last = chunk.rfind(b"\n") + 1
                    line, column, start = line + breaks, 1 + characters(chunk[last:]), at + last
                else:
                    column += characters(chunk)
                at += len(chunk)
            self._known.insert(index, (at, line, column, start))
            return line, column, start

    def _hole(self, at: int, offset: int) -> int:
        """Bytes from `at` on, up to `offset`, that are nothing but space."""
        if self._data is None:
            return 0
        after = self._data(at)
        return (offset if after is None else min(after, offset)) - at


# What users wrote for other scanners. A word after `pragma:` names the line that follows; so does secretlint's.
_HERE = re.compile(
    rb"(?i)(?:gitleaks|betterleaks):allow|(?:trufflehog|kingfisher):ignore|"
    rb"pragma:\s?(?:allow|white)list[ -]secret|secretlint-disable-line"
)
_NEXT = re.compile(rb"(?i)pragma:\s?(?:allow|white)list[ -]nextline[ -]secret|secretlint-disable-next-line")
# Kingfisher also takes the line before. Only a line of its own counts: a comment behind a value is about that value.
_ALONE = re.compile(rb"(?i)^\s*(?:#|//|/\*|\*|--|;|<!--|%|REM\b).*kingfisher:ignore")
_RANGE = re.compile(rb"secretlint-(disable|enable)(?!-)([^\r\n]*)")


_UNSEARCHED = {
    "slow": "were passed over: the text takes far too long to search",
    "undecoded": "were not decoded: they unpack to too much",
}


class Searcher:
    """Searches on behalf of one thread. `buffer`: room for a block of a file, used again for the next."""

    def __init__(
        self,
        worker: Worker,
        key: bytes,
        *,
        context: bool = False,
        suppressions: bool = True,
        reveal: bool = False,
        named: Callable[[Hit], Hit] = lambda hit: hit,
    ) -> None:
        """`named`: gives a hit the name of the secret of our own that it is."""
        self.buffer = bytearray(CONTEXT + BLOCK)
        self._worker = worker
        self._named = named
        self._scrub = Scrubber(worker)
        self._key = key
        self._context = context
        self._suppressions = suppressions
        self._reveal = reveal

    def search(
        self, path: str, blocks: Iterable[Block], places: Places, report: Report = lambda path, what: None
    ) -> Iterator[Hit]:
        """Hits by position. `report` gets path and what was passed over."""
        for block in blocks:
            found = self._worker.search(block.data, block.fresh, block.end, head=block.head)
            for gap in found.unsearched:
                report(
                    path, f"{gap.end - gap.start:,} bytes from {block.offset + gap.start:,} on {_UNSEARCHED[gap.why]}"
                )
            if found.matches:
                yield from self._hits(path, block, found, places)

    def _hits(self, path: str, block: Block, found: Found, places: Places) -> Iterator[Hit]:
        from detectors.fingerprint import fingerprint

        matches = found.matches

        data = bytes(block.data)
        path = self._scrub(path)
        ranges = _disabled(data) if self._suppressions else []
        # Hits come in order, so lines and columns are counted on from the one before.
        at, line, line_start, column = -1, 1, 0, 1
        for match in matches:
            print_ = fingerprint(self._key, match.secret)
            if match.rule.awaits and not places.new(block.offset + match.start, match.rule.id, print_):
                continue
            if at < 0:
                line, column, line_start = places.locate(block.offset + match.start)
                line_start -= block.offset
            else:
                newlines = data.count(b"\n", at, match.start)
                if newlines:
                    line += newlines
                    line_start = data.rfind(b"\n", at, match.start) + 1
                    at, column = line_start, 1
                column += characters(data[at : match.start])
            at = match.start
            if match.wide:
                column = (match.start - line_start) // 2 + 1
            end_line, end_column = _behind(_plain(data[match.start : match.end]), line, column)
            hit = Hit(
                path=path,
                line=line,
                column=column,
                offset=block.offset + match.start,
                rule=match.rule,
                name=match.rule.name,
                severity=match.severity,
                confidence=match.confidence,
                fingerprint=print_,
                masked=match.masked,
                decode=match.decode,
                labels=self._scrub.labels(match.labels),
                suppressed=self._suppressions and _suppressed(data, match, max(line_start, 0), ranges),
                end_line=end_line,
                end_column=end_column,
                length=match.end - match.start,
                context=_context(data, match, found.hidden, max(line_start, 0))
                if self._context and len(matches) <= CROWD
                else None,
                revealed=match.secret.decode("utf-8", "replace") if self._reveal else None,
            )
            yield self._named(hit)


def _context(data: bytes, match: Match, hidden: Sequence[tuple[int, int]], line_start: int) -> tuple[str, str, str]:
    span = match.start, match.end
    if match.wide:
        data, span, hidden = narrowed(data, span, hidden)
        line_start = data.rfind(b"\n", 0, span[0]) + 1
    before, after = around(data, span, hidden, line_start)
    return before, match.masked, after


def _plain(text: bytes) -> bytes:
    """Of UTF-16, as far as it is of ASCII."""
    return text.replace(b"\0", b"")


def _behind(span: bytes, line: int, column: int) -> tuple[int, int]:
    """Line and column of the first character behind what begins at `line`, `column`."""
    text = span
    lines = text.count(b"\n")
    tail = characters(text[text.rfind(b"\n") + 1 :])
    return line + lines, tail + (1 if lines else column)


def _disabled(data: bytes) -> list[tuple[int, int]]:
    """Spans between secretlint-disable and secretlint-enable. A list of secretlint's own rules says nothing to us."""
    if b"secretlint-disable" not in data:
        return []
    spans, start = [], -1
    for mark in _RANGE.finditer(data):
        if mark[1] == b"enable" and start >= 0:
            spans.append((start, mark.start()))
            start = -1
        elif mark[1] == b"disable" and start < 0 and b"@" not in mark[2]:
            start = mark.start()
    return [*spans, (start, len(data))] if start >= 0 else spans


def _suppressed(data: bytes, match: Match, line_start: int, ranges: Iterable[tuple[int, int]]) -> bool:
    if any(start <= match.start < end for start, end in ranges):
        return True
    low = max(line_start, match.start - LINE)
    newline = data.find(b"\n", match.end, match.end + LINE)
    high = newline if newline >= 0 else min(len(data), match.end + LINE)
    if _HERE.search(_plain(data[low:high])):
        return True
    if not line_start or low > line_start:
        return False
    previous = data[max(0, data.rfind(b"\n", max(0, line_start - LINE), line_start - 1) + 1) : line_start - 1]
    return any(pattern.search(_plain(previous)) for pattern in (_NEXT, _ALONE))
