"""The engine as a filter: each secret's span is replaced by `[rule:fingerprint]`, nothing else is touched."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from detectors.fingerprint import fingerprint
from detectors.match.engine import Match, Worker
from detectors.match.outcome import Cover, ScanResult, covered, merged
from monitor.common.cuts import carried
from monitor.scanning import json_lines
from monitor.scanning.blocks import head_of
from monitor.scanning.json_lines import Piece

__all__ = ["ChangedError", "MaskStats", "Masker", "mask_file"]

_TAIL = 4 << 10  # bytes that wait for what may follow while more keeps coming
_LONGEST = 1 << 20  # bytes that may be held back in all
_PIECE = 1 << 20  # bytes taken at once from a file
_ROUNDS = 4  # what is left may look like a secret of another rule
_PRINT = 12  # hex digits of the fingerprint that are shown
_ACL = "system.posix_acl_access"
_OPEN, _CLOSE = b"-----BEGIN", b"-----END "


class ChangedError(Exception):
    """A file was written to while it was masked; it is left as it is."""


@dataclass(slots=True)
class MaskStats:
    """What a masker did so far. `withheld`, `unscanned`: bytes that could not be searched, or in which secrets were
    left, dropped or let through; `names`: other names of a file masked in its place, which keep the old text."""

    bytes: int = 0
    masked: Counter[str] = field(default_factory=Counter)  # by rule
    withheld: int = 0
    unscanned: int = 0
    names: int = 0


class Masker:
    """Masks one stream. `feed` what came, `release` what may go by now; `finish` at the end.

    Bytes are held back only while a match could still grow over them: `delay` seconds for what ends in a line, up to
    `patience` seconds for a value or a PEM block that has no end yet, and at most a mebibyte.
    """

    def __init__(
        self,
        worker: Worker,
        key: bytes,
        *,
        wanted: Callable[[Match], bool] = lambda match: True,
        fail_open: bool = False,
        delay: float = 0.03,
        patience: float = 1.0,
        observe: Callable[[bytes, int, int, int], None] | None = None,
    ) -> None:
        """`wanted`: whether to mask a match. `fail_open`: let through what cannot be scanned, else withhold it.
        `observe(data, offset, fresh, limit)` is told of each piece with a secret, as a Block counts.
        """
        self._worker, self._key, self._wanted, self._fail_open = worker, key, wanted, fail_open
        self._delay, self._patience = delay, patience
        self._observe = observe
        self._data = b""  # context, then what is held
        self._fresh = 0  # bytes of context
        self._offset = 0  # of _data in the stream
        self._head = b""  # what names the columns of what follows (`head_of`), once it is no longer in hand
        self._arrived: deque[tuple[int, float]] = deque()  # end in the stream of each piece, and when it came
        self._asked = 0.0
        self.stats = MaskStats()

    def feed(self, data: bytes, now: float) -> bytes:
        """Take `data`; what may go at once."""
        self._data += data
        self._arrived.append((self._offset + len(self._data), now))
        self.stats.bytes += len(data)
        return self.release(now)

    def release(self, now: float) -> bytes:
        """What may go by `now`."""
        self._asked = now
        if len(self._data) == self._fresh:
            return b""
        ripe = self._ripe(now, self._delay)
        newline = self._data.rfind(b"\n", self._fresh, max(ripe, len(self._data) - _TAIL)) + 1
        old = self._ripe(now, self._patience)
        forced = max(old, len(self._data) - _LONGEST, self._fresh)
        # A prompt waits for its answer: what looks like no value may go without the end of its line.
        limit = max(newline, ripe if self._plain_end(ripe) else 0, forced)
        limit = max(forced, self._before_open(limit))
        return self._emit(limit, forced) if limit > self._fresh else b""

    def due(self) -> float | None:
        """When `release` should be asked next if nothing comes; None: nothing is held."""
        if not self._arrived:
            return None
        # What was still held after the short delay waits for the long one.
        short = next((came for _, came in self._arrived if came + self._delay > self._asked), None)
        long = self._arrived[0][1] + self._patience
        return long if short is None else min(long, short + self._delay)

    def finish(self) -> bytes:
        """The rest: the stream has ended."""
        return self._emit(len(self._data), len(self._data)) if len(self._data) > self._fresh else b""

    def _ripe(self, now: float, age: float) -> int:
        """End in `_data` of what came at least `age` seconds ago."""
        end = self._fresh
        for place, came in self._arrived:
            if now - came < age:
                break
            end = max(end, place - self._offset)
        return end

    def _plain_end(self, end: int) -> bool:
        """Whether the unfinished line before `end` ends in nothing that could be the beginning of a value."""
        if end < len(self._data):
            return False
        word = self._data[max(self._fresh, end - 64) : end].rstrip(b"\0")  # of UTF-16
        return len(word) - len(word.rstrip(b" \t>$#%?:")) > 0

    def _before_open(self, limit: int) -> int:
        """`limit`, or the begin of a PEM block before it that has no end yet."""
        for wide in (False, True) if b"\0" in self._data else (False,):
            opened, closed, dashes = (_zeros_between(text) if wide else text for text in (_OPEN, _CLOSE, b"-----"))
            begin = self._data.rfind(opened, self._fresh, limit)
            if begin >= 0:
                end = self._data.find(closed, begin)
                whole = end >= 0 and self._data.find(dashes, end + len(closed)) >= 0
                limit = limit if whole else begin
        return limit

    def _emit(self, limit: int, forced: int) -> bytes:
        """Mask up to `limit`, or to the begin of a match that goes on behind it and may still be waited for."""
        result = self._worker.search(self._data, head=self._head)
        covers = self._covered(result)
        for cover in reversed(covers):
            seen = cover.end + cover.match.wide  # half a character may have come
            grows = seen >= len(self._data) > forced
            if cover.start < limit and (cover.end > limit or grows):
                limit = max(cover.start, forced)
        if limit <= self._fresh:
            return b""

        low = self._fresh
        if self._observe is not None and any(cover.start < limit and low < cover.end for cover in covers):
            self._observe(self._data, self._offset, low, limit)
        holes = _holes(self._data, result, low, limit)
        text = _Text(self._data, low, limit, self._spans(self._data, covers, low, limit), self._failed(holes))
        out = self._without(text, bool(holes)) if text.changed else text.out
        self._settle(limit)
        return out

    def _covered(self, found: ScanResult) -> list[Cover]:
        return covered([cover for cover in found.covers if self._wanted(cover.match)])

    def _spans(self, data: bytes, covers: Sequence[Cover], low: int, high: int) -> list[Piece]:
        """What of `data[low:high]` is replaced by what; each is counted where it ends."""
        out = []
        for cover in covers:
            start, end = max(cover.start, low), min(cover.end, high)
            if start < end:
                out.append((start, end, self._label(cover.match, data, start, end)))
            if low < cover.end <= high:
                self.stats.masked[cover.match.rule.id] += 1
        return out

    def _failed(self, holes: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """Those to withhold of what could not be searched or masked; the others go by."""
        size = sum(end - start for start, end in holes)
        if self._fail_open:
            self.stats.unscanned += size
            return ()
        self.stats.withheld += size
        return holes

    def _without(self, text: _Text, known: bool) -> bytes:
        """The text until nothing is found in its changed records any more: what stood beside a span may be a secret of
        another rule. Where that has no end, or cannot be looked at, the record fails. `known`: that it has holes, of
        which those that went by have been counted."""
        for rest in range(_ROUNDS, -1, -1):
            spans: list[Piece] = []
            holes: list[tuple[int, int]] = []
            for low, high in text.records():
                part = text.out[low:high]
                found = self._worker.search(part)
                covers = self._covered(found)
                if covers and rest:
                    spans += [
                        (low + start, low + end, to) for start, end, to in self._spans(part, covers, 0, len(part))
                    ]
                elif covers:
                    holes.append((low, high))
                if not known:
                    holes += [(low + start, low + end) for start, end in _holes(part, found, 0, len(part))]
            if not spans and not holes:
                break
            text = _Text(text.out, 0, len(text.out), spans, self._failed(merged(holes)))
            known = known or bool(holes)
        return text.out

    def _label(self, match: Match, data: bytes, low: int, high: int) -> bytes:
        """What stands for data[low:high], all of the match or what is left of it. In UTF-16 it stays that, and makes
        whole with what goes by before and after it the characters that the span cuts."""
        label = f"[{match.rule.id}:{fingerprint(self._key, match.secret)[:_PRINT]}]"
        if not match.wide:
            return label.encode()
        span = data[match.start : match.end]
        zero = span[::2].count(0) <= span[1::2].count(0)  # where in a character it is
        begun, ended = ((place - match.start) % 2 == zero for place in (low, high - 1))
        return b"\0" * begun + _zeros_between(label.encode()) + b"\0" * ended

    def _settle(self, limit: int) -> None:
        keep = carried(limit)
        self._head = head_of(self._data, keep, self._head, begins=self._offset == 0)
        self._data = self._data[keep:]
        self._offset += keep
        self._fresh = limit - keep
        while self._arrived and self._arrived[0][0] <= self._offset + self._fresh:
            self._arrived.popleft()


def _zeros_between(text: bytes) -> bytes:
    """Of UTF-16 in either order, so without the zero at one of its ends."""
    return b"\0".join(bytes([byte]) for byte in text)


class _Text:
    """`data[low:high]` with each of the spans, disjoint and by position, replaced, and without the `holes`: `out`.
    `changed`: where something was replaced in it."""

    def __init__(
        self, data: bytes, low: int, high: int, spans: Sequence[Piece], holes: Sequence[tuple[int, int]]
    ) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.changed: list[tuple[int, int]] = []
        at = low
        for start, end in holes:
            self._replace(data, at, start, spans)
            mark = f"[withheld: {end - start} bytes]".encode()
            self._put(mark if end < high and data[end - 1 : end] != b"\n" else mark + b"\n", changed=True)
            at = end
        self._replace(data, at, high, spans)
        self.out = b"".join(self._parts)

    def records(self) -> list[tuple[int, int]]:
        """Those that changed, each with the lines beside it, disjoint and by position."""
        out, around = self.out, [(0, 0)]
        for start, end in self.changed:
            if end > around[-1][1]:
                low = out.rfind(b"\n", 0, max(0, out.rfind(b"\n", 0, start))) + 1
                newline = out.find(b"\n", end)
                high = out.find(b"\n", newline + 1) if newline >= 0 else newline
                around.append((low, len(out) if high < 0 else high + 1))
        return [(low, high) for low, high in merged(around) if low < high]

    def _replace(self, data: bytes, low: int, high: int, spans: Sequence[Piece]) -> None:
        inside = [(max(start, low), min(end, high), to) for start, end, to in spans if start < high and low < end]
        for start, end, to in json_lines.pieces(data, inside):
            if max(start, low) < min(end, high):
                self._put(data[low:start])
                self._put(to, changed=True)
                low = min(end, high)
        self._put(data[low:high])

    def _put(self, text: bytes, *, changed: bool = False) -> None:
        if changed:
            self.changed.append((self._size, self._size + len(text)))
        self._parts.append(text)
        self._size += len(text)


_INSIDE = re.compile(rb"[^\s\"'\\]*")  # a hole that breaks nothing around it


def _holes(data: bytes, found: ScanResult, low: int, high: int) -> list[tuple[int, int]]:
    """What of `data[low:high]` was not searched: the records whole, but for a run of encoded text in one."""
    out = []
    for gap in found.unsearched:
        start, end = gap.start, gap.end
        if gap.why == "slow" or not _INSIDE.fullmatch(data, start, end):
            newline = data.find(b"\n", max(start, end - 1))
            start, end = data.rfind(b"\n", 0, start) + 1, len(data) if newline < 0 else newline + 1
        if max(start, low) < min(end, high):
            out.append((max(start, low), min(end, high)))
    return merged(out)


def mask_file(path: Path, make: Callable[[], Masker]) -> MaskStats:
    """Mask a finished file in its place: atomically, with its owner, mode, access list and other attributes.

    Raises OSError, and ChangedError when it was written to meanwhile; the file is as it was then.
    """
    path = path.resolve()  # of a link the file, not the link
    # A pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
        before = os.fstat(source.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise OSError("not a regular file")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".masking", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as target:
                masker = make()
                for piece in _masked(source, masker):
                    target.write(piece)
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(target.fileno(), before.st_uid, before.st_gid)
                os.fchmod(target.fileno(), stat.S_IMODE(before.st_mode))
                _like(source.fileno(), target.fileno())
                target.flush()
                os.fsync(target.fileno())

            after = path.stat()
            if (after.st_ino, after.st_size, after.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
                raise ChangedError
            if masker.stats.masked or masker.stats.withheld:
                os.replace(name, path)
                masker.stats.names = before.st_nlink - 1
            else:
                os.unlink(name)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return masker.stats


def _like(source: int, target: int) -> None:
    """Extended attributes as those of `source`. Raises OSError where the access lists would differ: a mode without its
    list, or with one of the folder, lets others in."""
    wanted = {name: os.getxattr(source, name) for name in os.listxattr(source)}
    for name in (_ACL, *wanted):
        try:
            if name in wanted:
                os.setxattr(target, name, wanted[name])
            elif name in os.listxattr(target):
                os.removexattr(target, name)
        except OSError:  # such as a label that only the system sets
            if name == _ACL:
                raise


def _masked(source: BinaryIO, masker: Masker) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield masker.feed(piece, time.monotonic())
    yield masker.finish()
