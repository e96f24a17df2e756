"""What `journalctl --output=export` prints, as records: a field a line, an empty line behind the last one.

    NAME=text without a newline
    NAME, a newline, eight bytes that say how long the value is, the value, a newline

A value that is not there as a whole is taken as it comes, so that a message of 64 MB costs its own size and no more.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.common.outside import taken

__all__ = ["LONGEST", "Decoder", "JournalEntry", "cursor_of", "logged", "numbered", "own", "parts_of", "suppressed"]

LONGEST = 128 << 20  # bytes of one field that are kept
_FIELD = re.compile(rb"([A-Z0-9_]{1,64}+)(?:=([^\n]*+)(\n?)|\n(.{8}))|\n", re.DOTALL)
_BEGUN = re.compile(rb"[A-Z0-9_]{1,64}+(?:\n.{0,7})?", re.DOTALL)  # what may still become one
_SHORT = 64 << 10  # bytes of most records
_DROPPED = "a596d6fe7bfa4994828e72309e95d61e"  # SD_MESSAGE_JOURNAL_DROPPED
_SUPPRESSED = re.compile(rb"Suppressed (?P<count>\d{1,9}) messages from (?:\S*/)?(?P<unit>[^\s/]{1,256})")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One record of the journal. The values of a field that occurs more than once stand on lines of their own."""

    fields: dict[str, bytes]
    cut: int = 0  # bytes beyond LONGEST that were left out

    def text(self, *names: str) -> str:
        """The first of these fields that has a value, fit to be shown."""
        for name in names:
            if value := self.fields.get(name):
                return taken(value)
        return ""


class Decoder:
    """Bytes as they come from the pipe → entries. `garbled`: bytes of records in which something was no field."""

    def __init__(self) -> None:
        self.garbled = 0
        self._rest = b""  # the beginning of a field
        self._begin()

    def _begin(self) -> None:
        self._fields: dict[str, bytearray] = {}
        self._open: bytearray | None = None  # the value under way
        self._left = 0  # bytes of it that are to come before the end of its line
        self._size = self._cut = 0  # bytes of the record, and of those that were left out
        self._bad = False

    def feed(self, data: bytes) -> Iterator[JournalEntry]:
        data, self._rest, at = self._rest + data, b"", 0
        while at < len(data):
            if self._open is not None:
                after = self._go_on(self._open, data, at)
                self._size += after - at
                at = after
                continue
            end = -1 if self._size else data.find(b"\n\n", at, at + _SHORT)
            if end >= 0 and (fields := _texts(data[at:end])):
                yield JournalEntry(fields)
                at = end + 2
                continue
            field = _FIELD.match(data, at)
            if field is None and _BEGUN.fullmatch(data, at):
                self._rest = data[at:]
                return
            if field is None:
                self._bad, self._open = True, bytearray()  # up to the end of its line
                continue
            self._size += field.end() - at
            at = field.end()
            if field[1]:
                self._start(field)
            else:
                yield from self._ended()

    def _ended(self) -> Iterator[JournalEntry]:
        if self._bad:
            self.garbled += self._size
        elif self._fields:
            yield JournalEntry({name: bytes(value) for name, value in self._fields.items()}, self._cut)
        self._begin()

    def _start(self, field: re.Match[bytes]) -> None:
        value = self._fields.setdefault(field[1].decode(), bytearray())
        if value:
            value += b"\n"
        if field[4] is not None:
            self._open, self._left = value, int.from_bytes(field[4], "little")
            return
        self._keep(value, field[2])
        self._open = None if field[3] else value

    def _go_on(self, value: bytearray, data: bytes, at: int) -> int:
        """More of a value; where what follows begins."""
        stop = after = len(data)
        if self._left:
            stop = after = min(stop, at + self._left)
            self._left -= stop - at
        elif (newline := data.find(b"\n", at)) >= 0:
            stop, after, self._open = newline, newline + 1, None
        self._keep(value, data[at:stop])
        return after

    def _keep(self, value: bytearray, piece: bytes) -> None:
        if not self._bad:
            room = max(0, LONGEST - len(value))
            value += piece[:room]
            self._cut += max(0, len(piece) - room)


def _texts(record: bytes) -> dict[str, bytes] | None:
    """A record of which all fields are text, and none comes twice; None: it has to be read field by field."""
    lines = record.split(b"\n")
    try:
        fields = {name.decode(): value for name, value in (line.split(b"=", 1) for line in lines)}
    except ValueError:
        return None
    return fields if len(fields) == len(lines) else None


def suppressed(entry: JournalEntry) -> tuple[int, str] | None:
    """How many records of which unit journald has dropped, where it says so: its rate limit comes before any reader."""
    if entry.text("MESSAGE_ID") != _DROPPED or entry.text("_TRANSPORT") != "driver":
        return None
    found = _SUPPRESSED.match(entry.fields.get("MESSAGE", b""))
    count = entry.text("N_DROPPED") or (found["count"].decode() if found else "")
    unit = entry.text("OBJECT_SYSTEMD_UNIT") or (found["unit"].decode("utf-8", "replace") if found else "")
    return (int(count), unit) if count.isdecimal() else None


def own() -> Mapping[str, bytes]:
    """Fields of the records that are our own output, when that goes to the journal: it is not to feed on itself."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stream == f"{status.st_dev}:{status.st_ino}":
                found = {"_PID": str(os.getpid())}
                if invocation := os.environ.get("INVOCATION_ID"):
                    found["_SYSTEMD_INVOCATION_ID"] = invocation
                else:
                    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
                    found["_BOOT_ID"] = boot.strip().replace("-", "")
                return {name: value.encode() for name, value in found.items()}
    return {}


def parts_of(cursor: str) -> dict[str, str]:
    """What a cursor says: `s` the sequence, `i` the number in it, `t` microseconds since the epoch."""
    return dict(pair.split("=", 1) for pair in cursor.split(";") if "=" in pair)


def cursor_of(entry: JournalEntry | None) -> str:
    return entry.fields.get("__CURSOR", b"").decode("ascii", "replace") if entry else ""


def numbered(cursor: str) -> int | None:
    """The number that a record has in its sequence; None: the cursor does not say."""
    with contextlib.suppress(KeyError, ValueError):
        return int(parts_of(cursor)["i"], 16)
    return None


def logged(entry: JournalEntry) -> float | None:
    """Seconds since the epoch, as the service gave it, or as journald received it."""
    try:
        return int(entry.text("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")) / 1e6
    except ValueError:
        return None
