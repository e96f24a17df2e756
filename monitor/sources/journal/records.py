"""Records of one sequence → what is scanned, each with the cursor up to which everything is settled then.

What journald cut, and keys that are printed line by line, are put together; the position stays before their first piece
meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b

from monitor.common.cuts import LOOKAHEAD
from monitor.domain.model import Block
from monitor.intake.protocol import Intake
from monitor.sources.journal.config import JournalConfig, patterns
from monitor.sources.journal.entries import JournalEntry, cursor_of, logged, numbered, own, suppressed
from monitor.sources.pem import Joiner

__all__ = ["Records"]

_LINE = 4 << 20  # bytes of a line in pieces that wait for its end


@dataclass(slots=True)
class _Line:
    """A line that journald stores in several records, as it was too long for one."""

    before: str  # cursor of the record before its first piece
    first: Block
    data: bytearray = field(default_factory=bytearray)
    fresh: int = 0  # so much of it is settled
    since: float = 0.0
    key: str = ""  # origin of a key that is printed line by line: its pieces were scanned, only the position waits


class Records:
    """`cursor`: of the last record that was read. `floor`: cursor of one behind which some may still be missing."""

    def __init__(self, config: JournalConfig, intake: Intake, place: str, cursor: str) -> None:
        self.cursor = cursor
        self.floor: str | None = None
        self._config, self._intake = config, intake
        self._place = place  # of what is lost with no better name
        self._open: dict[str, _Line] = {}  # by stream, in the order in which their first pieces came
        self._joiner = Joiner()
        self._own = own()

    @property
    def open(self) -> bool:
        """Whether a line or a key is under way."""
        return bool(self._open)

    @property
    def committable(self) -> str:
        """The cursor before the first piece of a line that is not over, and before what may be missing."""
        first = next((line.before for line in self._open.values()), self.cursor)
        return first if self.floor is None else min(first, self.floor, key=_number)

    def take(self, entries: Iterable[JournalEntry], now: float) -> Iterator[tuple[Block, str]]:
        """What is to be scanned of these, the next ones; each with the cursor that is committed once it was."""
        for entry in entries:
            before, self.cursor = self.cursor, cursor_of(entry) or self.cursor
            yield from self._record(entry, before, now)

    def late(self, entry: JournalEntry) -> Iterator[tuple[Block, str]]:
        """The same of one that lies behind the last one."""
        yield from self._record(entry, self.committable, time.monotonic())

    def flushed(self, before: float) -> list[tuple[Block, str]]:
        """Lines of which no piece has come since."""
        out = []
        for stream, line in list(self._open.items()):
            if line.since <= before:
                del self._open[stream]
                if line.key:
                    self._joiner.drop(line.key)
                else:
                    out.append((_whole(line), self.committable))
        return out

    def _record(self, entry: JournalEntry, before: str, now: float) -> Iterator[tuple[Block, str]]:
        if entry.cut:
            self._intake.missed("too_long", entry.cut, _unit(entry) or self._place)
        if dropped := suppressed(entry):
            self._intake.missed("suppressed", *dropped, unit="records")
        block = self._block(entry)
        if block is None:
            return
        stream = entry.text("_STREAM_ID")
        cut = entry.text("_LINE_BREAK") == "line-max" and bool(stream)
        line = self._open.pop(stream, None) if stream else None
        if not cut and line is None:
            key = self._joined(entry, before, block, now)
            yield block, self.committable
            if key is not None:
                yield key, self.committable
            return
        line = line or _Line(before, block)
        line.data += bytes(block.data)
        line.since = now
        if cut and len(line.data) <= _LINE:
            self._hold(stream, line)
            return
        whole = _whole(line, LOOKAHEAD if cut else 0)
        if cut:
            rest = _Line(before, block, bytearray(block.data), max(0, len(block.data) - LOOKAHEAD), now)
            self._open[stream] = rest
        yield whole, self.committable

    def _joined(self, entry: JournalEntry, before: str, block: Block, now: float) -> Block | None:
        """The key that this record ends. While one is under way the position stays before its first record."""
        if not self._joiner.wants(block):
            return None
        origin = entry.text("_STREAM_ID") or f"{entry.text('_PID')} {entry.text('SYSLOG_IDENTIFIER')}"
        key = self._joiner.feed(origin, block)
        name = f"key {origin}"
        if not self._joiner.open(origin):
            self._open.pop(name, None)
        else:
            line = self._open.get(name) or _Line(before, block, key=origin)
            line.since = now
            self._hold(name, line)
        return key

    def _hold(self, name: str, line: _Line) -> None:
        # In its place: the one with the oldest first piece holds the position.
        self._open = dict(sorted({**self._open, name: line}.items(), key=lambda item: item[1].first.time))

    def _wanted(self, entry: JournalEntry) -> bool:
        if self._own and self._own.items() <= entry.fields.items():
            return False
        names = (_unit(entry), entry.text("_SYSTEMD_UNIT"))
        units, excluded = self._config.units, self._config.exclude_units
        if excluded and any(fnmatchcase(name, pattern) for name in names for pattern in excluded):
            return False
        return not patterns(units) or any(fnmatchcase(name, pattern) for name in names for pattern in units)

    def _block(self, entry: JournalEntry) -> Block | None:
        """None: nothing to scan, not wanted, or our own."""
        text = b"\n".join(value for name in self._config.fields if (value := entry.fields.get(name)))
        if not text or not self._wanted(entry):
            return None
        unit = _unit(entry)
        identifier = entry.text("SYSLOG_IDENTIFIER", "_COMM")
        container = entry.text("CONTAINER_NAME", "CONTAINER_ID")
        attributes = {
            "service": container or unit.removesuffix(".service") or identifier,
            "unit": unit,
            "identifier": identifier,
            "pid": entry.text("_PID"),
            "host": entry.text("_HOSTNAME"),
            "container": container,
            "image": entry.text("IMAGE_NAME"),
        }
        return Block(
            source=self._config.name,
            path=unit or container or identifier or "journal",
            generation=blake2b(cursor_of(entry).encode(), digest_size=8).hexdigest(),
            offset=0,
            data=text,
            time=time.time(),
            attributes={name: value for name, value in attributes.items() if value},
            logged_at=logged(entry),
        )


def _whole(line: _Line, ahead: int = 0) -> Block:
    first = line.first
    return Block(
        source=first.source,
        path=first.path,
        generation=first.generation,
        offset=0,
        data=bytes(line.data),
        time=first.time,
        fresh=line.fresh,
        limit=len(line.data) - ahead if ahead else None,
        attributes=first.attributes,
        logged_at=first.logged_at,
    )


def _number(cursor: str) -> int:
    return numbered(cursor) or 0


def _unit(entry: JournalEntry) -> str:
    return entry.text("_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT")
