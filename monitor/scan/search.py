"""Secrets in files and streams, cut into blocks as the sources cut them, and reported as `run` reports them.

A `Hit` is all that leaves this module. It holds no secret unless the caller asked to reveal it.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from monitor.common.archive import ByteStream, Report
from monitor.common.cuts import CONTEXT, settled
from monitor.common.newlines import characters, newlines
from monitor.domain.model import Block, Finding, OwnedSecret
from monitor.scanning.blocks import Cutter, Window
from monitor.scanning.occurrence import occurrences
from monitor.scanning.redact import Redactor

if TYPE_CHECKING:
    from detectors.match.engine import Match, ScanResult, Worker
    from detectors.rules.rule import Rule
    from monitor.scan.accepted import AcceptedEntry, Accepting, Book

__all__ = ["BLOCK", "Hit", "LineNumbers", "ScanOptions", "Searcher", "file_blocks", "stream_blocks"]

BLOCK = 1 << 22  # new bytes a scan: more do not stay in the processor's cache, fewer make much of CONTEXT
_BEHIND = 4096  # bytes behind a part of a file, by which what stands in its last lines is judged
LINE = 4096  # bytes of a line that are looked at for a suppression


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How to look. `skip_binary`: leave out files with a NUL in their first bytes, but for UTF-16. `max_unpacked`:
    bytes of an archive.

    `owners`: see `occurrences`; `books`: what is accepted; `accepting`: what is to be from now on.
    """

    key: bytes = field(repr=False)
    context: bool = False
    suppressions: bool = True
    reveal: bool = False
    skip_binary: bool = False
    archives: bool = True
    max_unpacked: int = 4 << 30
    owners: Mapping[str, Sequence[OwnedSecret]] = field(default_factory=dict, repr=False)
    books: Sequence[Book] = ()
    accepting: Accepting | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A finding with what only a scan says of it. `end`: line and column of the character behind it; `length` in bytes;
    `suppressed`: a comment silences it; `accepted`: a file of the repository does. `git`: when and by whom it came into
    a history, and where in it it is. `entry`: what accepts it from now on, where the caller wants that. Holds no secret
    but in `revealed`, which is set when the caller asked."""

    finding: Finding
    rule: Rule
    end: tuple[int, int]
    length: int
    suppressed: bool
    revealed: str | None = field(default=None, repr=False)
    git: Mapping[str, Any] | None = None
    accepted: bool = False
    entry: AcceptedEntry | None = None


def file_blocks(path: str, fd: int, buffer: bytearray, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """The bytes from `start` to `end` (or the end of the file) with what is needed around them; `buffer` holds them.
    Raises OSError.
    """
    window = Window(buffer, start)
    while True:
        ended = window.fill(lambda view, at: os.preadv(fd, [view], at), None if end is None else end + _BEHIND)
        limit = window.end if ended else settled(buffer, window.fresh, window.end, full=True)
        if end is not None:
            limit = min(limit, end - window.offset)
        if limit <= window.fresh:
            return
        text = window.view[: window.end] if ended else window.text(limit)
        # A file at rest has no provenance but its path, and nothing goes by when it was read.
        yield Block("", path, "", window.offset, text, 0.0, window.fresh, limit, head=window.head)
        if ended:
            return
        window.settle(limit)


def stream_blocks(path: str, stream: ByteStream) -> Iterator[Block]:
    """The same of what can be read once."""
    return Cutter("", path, "").blocks(iter(lambda: stream.read(BLOCK), b""))


class LineNumbers:
    """Offset → number of its line and column, of a file at rest. Counted only as far as somebody asks."""

    def __init__(self, read: Callable[[int, int], bytes], data: Callable[[int], int | None] | None = None) -> None:
        """`data`: the next place with data, of a file that may have holes: they are zeros, and counted unread."""
        self._read, self._data = read, data
        self._known: list[tuple[int, int, int]] = [(0, 1, 1)]
        self._lock = threading.Lock()  # two threads may search parts of one large file

    def at(self, offset: int) -> tuple[int, int]:
        with self._lock:
            index = bisect_right(self._known, offset, key=lambda known: known[0])
            at, line, column = self._known[index - 1]
            if at == offset:
                return line, column
            while at < offset:
                if (hole := self._hole(at, offset)) > 0:
                    at, column = at + hole, column + hole
                    continue
                chunk = self._read(at, min(BLOCK, offset - at))
                if not chunk:
                    break  # the file has become shorter
                if breaks := newlines(chunk):
                    line, column = line + breaks, 1
                column += characters(chunk[chunk.rfind(b"\n") + 1 :])
                at += len(chunk)
            self._known.insert(index, (at, line, column))
            return line, column

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
_WORDS = (b":allow", b":ignore", b"pragma:", b"secretlint-disable")  # each of these holds one, and most text none
_MANY = 256  # findings in a block
_RANGE = re.compile(rb"secretlint-(disable|enable)(?!-)([^\r\n]*)")


_UNSEARCHED = {
    "slow": "were passed over: the text takes far too long to search",
    "undecoded": "were not decoded: they unpack to too much",
}


class Searcher:
    """Searches on behalf of one thread. `buffer`: room for a block of a file, used again for the next."""

    def __init__(self, worker: Worker, options: ScanOptions) -> None:
        self.buffer = bytearray(CONTEXT + BLOCK)
        self.view = memoryview(self.buffer)
        self.worker = worker
        self._redact = Redactor(worker)
        self.options = options

    def search(
        self,
        blocks: Iterable[Block],
        lines: LineNumbers | None = None,
        report: Report = lambda path, what: None,
        reported: dict[str, Block] | None = None,
    ) -> Iterator[Hit]:
        """Hits by position. `lines`: where they are, if blocks do not say. `report` gets path and what was passed over.
        `reported`: ids of what needs a companion, which is found again while a new one may have come; of one file."""
        reported = {} if reported is None else reported
        for block in blocks:
            found = self.worker.search(block.data, block.fresh, block.end, head=block.head)
            if found.matches or found.unsearched:
                yield from self._reported(block, found, lines, report, reported)

    def whole(self, path: str, data: bytes | memoryview, report: Report) -> Iterable[Hit]:
        """The same of all of a file."""
        found = self.worker.search(data)
        if not (found.matches or found.unsearched):
            return ()
        return self._reported(
            Block("", path, "", 0, data, 0.0, 0, len(data), line=1, column=1), found, None, report, {}
        )

    def _reported(
        self, block: Block, found: ScanResult, lines: LineNumbers | None, report: Report, reported: dict[str, Block]
    ) -> Iterator[Hit]:
        for gap in found.unsearched:
            where = f"{gap.end - gap.start:,} bytes from {block.offset + gap.start:,} on"
            report(block.path, f"{where} {_UNSEARCHED[gap.why]}")
        if found.matches:
            yield from self._hits(block, found, lines, reported)

    def _hits(
        self, block: Block, found: ScanResult, lines: LineNumbers | None, reported: dict[str, Block]
    ) -> Iterator[Hit]:
        if lines is not None:
            line, column = lines.at(block.offset)
            block = replace(block, line=line, column=column)
        data = bytes(block.data)
        asked = self.options
        # In dense text one look at all of it is cheaper than one at the lines of each.
        silent = not asked.suppressions or (len(found.matches) > _MANY and not _mentioned(data))
        ranges = [] if silent else _disabled(data)
        for match, finding in occurrences(block, found, asked.key, self._redact, asked.owners, context=asked.context):
            # Of two threads that search parts of one file, one is the first.
            if match.rule.awaits and reported.setdefault(finding.id, block) is not block:
                continue
            yield Hit(
                finding,
                match.rule,
                end=_behind(data[match.start : match.end], finding),
                length=match.end - match.start,
                suppressed=not silent and _suppressed(data, match, ranges),
                revealed=match.secret.decode("utf-8", "replace") if asked.reveal else None,
                accepted=any(book.accepts(finding.rule, finding.path, match.secret) for book in asked.books),
                entry=_entry(match, finding, asked.accepting),
            )


def _entry(match: Match, finding: Finding, accepting: Accepting | None) -> AcceptedEntry | None:
    return None if accepting is None else accepting.entry(finding, match.rule.shape.prefix, match.secret)


def _plain(text: bytes) -> bytes:
    """Of UTF-16, as far as it is of ASCII."""
    return text.replace(b"\0", b"")


def _behind(span: bytes, finding: Finding) -> tuple[int, int]:
    """Line and column of the first character behind what stands there."""
    text = _plain(span)
    breaks = text.count(b"\n")
    first = 1 if breaks else finding.column or 1
    return (finding.line or 1) + breaks, first + characters(text[text.rfind(b"\n") + 1 :])


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


def _mentioned(data: bytes) -> bool:
    """Whether a comment may silence something anywhere in it."""
    low = _plain(data).lower()
    return any(low.find(word) >= 0 for word in _WORDS)


def _suppressed(data: bytes, match: Match, ranges: Iterable[tuple[int, int]]) -> bool:
    if any(start <= match.start < end for start, end in ranges):
        return True
    far = max(0, match.start - LINE)
    begin = data.rfind(b"\n", far, match.start) + 1
    newline = data.find(b"\n", match.end, match.end + LINE)
    high = newline if newline >= 0 else min(len(data), match.end + LINE)
    if _says(data[begin or far : high], _HERE):
        return True
    if not begin:
        return False
    return _says(data[max(0, begin - LINE) : begin - 1].rpartition(b"\n")[2], _NEXT, _ALONE)


def _says(line: bytes, *patterns: re.Pattern[bytes]) -> bool:
    text = _plain(line)
    low = text.lower()
    return any(low.find(word) >= 0 for word in _WORDS) and any(pattern.search(text) for pattern in patterns)
