"""What `journalctl --output=json` prints, as records: one JSON object a line, of whatever length.

A value is a string, null, an array of bytes (what is not UTF-8 or has control characters), or an array of those when
the field occurs more than once. Short lines go through `json`; a long one is read as it comes, so that a message of
64 MB, printed as 250 MB of numbers, costs its own size and no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.common.outside import taken

__all__ = ["LONGEST", "Decoder", "JournalEntry", "cursor_of", "logged", "numbered", "own", "suppressed"]

LONGEST = 128 << 20  # bytes of one field that are kept
_SHORT = 1 << 20  # a line that is not over by then is read as it comes
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_DROPPED = "a596d6fe7bfa4994828e72309e95d61e"  # SD_MESSAGE_JOURNAL_DROPPED
_SUPPRESSED = re.compile(rb"Suppressed (?P<count>\d{1,9}) messages from (?:\S*/)?(?P<unit>[^\s/]{1,256})")
_END = re.compile(rb'["\\]')


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
    """Bytes as they come from the pipe → entries. `garbled`: bytes of lines that were no record."""

    def __init__(self) -> None:
        self.garbled = 0
        self._line = bytearray()
        self._long: _Long | None = None

    def feed(self, data: bytes) -> Iterator[JournalEntry]:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield from self._ended(data[start:end])
            start = end + 1
        self._add(data[start:])

    def _add(self, data: bytes) -> None:
        if self._long is not None:
            self._long.feed(data)
            return
        self._line += data
        if len(self._line) > _SHORT:
            self._long = _Long()
            self._long.feed(bytes(self._line))
            self._line.clear()

    def _ended(self, data: bytes) -> Iterator[JournalEntry]:
        if self._long is not None or len(self._line) + len(data) > _SHORT:
            self._add(data)
        if self._long is not None:
            long, self._long = self._long, None
            entry = long.entry()
            self.garbled += 0 if entry else long.size
        else:
            line = bytes(self._line) + data
            self._line.clear()
            entry = _entry(line)
            self.garbled += 0 if entry or not line.strip() else len(line)
        if entry is not None:
            yield entry


def _entry(line: bytes) -> JournalEntry | None:
    try:
        found = json.loads(line)
        return JournalEntry({name: _value(value) for name, value in found.items()})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, list):
        return b"" if value is None else str(value).encode()
    if value and isinstance(value[0], int):
        return bytes(value)
    return b"\n".join(_value(each) for each in value)


class _Long:
    """One line, read as it comes. Understands what journalctl prints, not all of JSON."""

    def __init__(self) -> None:
        self.size = 0
        self._fields: dict[str, bytearray] = {}
        self._rest = b""
        self._key = ""
        self._state = "key"  # string, numbers: inside a value of that kind
        self._depth = 0  # of arrays
        self._cut = 0
        self._bad = False

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self._bad:
            return
        data = self._rest + data
        at = 0
        try:
            while at < len(data):
                step = self._string if self._state == "string" else self._between
                if self._state == "numbers":
                    step = self._numbers
                after = step(data, at)
                if after == at:
                    break
                at = after
        except ValueError:
            self._bad = True
            self._fields.clear()
        self._rest = b"" if self._bad else data[at:]

    def entry(self) -> JournalEntry | None:
        if self._bad or self._state != "end":
            return None
        return JournalEntry({name: bytes(value) for name, value in self._fields.items()}, self._cut)

    def _keep(self, piece: bytes) -> None:
        value = self._fields[self._key]
        room = max(0, LONGEST - len(value))
        value += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _between(self, data: bytes, at: int) -> int:
        """One token outside of a value. The same `at`: more is needed to tell."""
        byte = data[at : at + 1]
        if byte in b" \t\r{,:":
            return at + 1
        if byte == b"}":
            self._state = "end"
            return at + 1
        if self._state == "key":
            end = data.find(b'"', at + 1)
            if byte != b'"' or end < 0:
                if byte != b'"' or len(data) - at > 256:
                    raise ValueError
                return at
            self._key = data[at + 1 : end].decode("ascii", "replace")
            self._fields[self._key] = bytearray()
            self._state = "value"
            return end + 1
        return self._value(data, at, byte)

    def _value(self, data: bytes, at: int, byte: bytes) -> int:
        if byte == b"]":
            self._closed()
            return at + 1
        if byte == b"[":
            self._depth += 1
            if self._depth > 2:
                raise ValueError
            return at + 1
        if byte == b'"':
            self._apart()
            self._state = "string"
            return at + 1
        if byte.isdigit() and self._depth:
            self._apart()
            self._state = "numbers"
            return self._numbers(data, at)
        end = re.compile(rb"[,}\]]").search(data, at)  # null, or a number by itself
        if end is None:
            return at
        if not self._depth:
            self._state = "key"
        return end.start()

    def _apart(self) -> None:
        if self._fields[self._key]:
            self._keep(b"\n")

    def _closed(self) -> None:
        self._depth -= 1
        if self._depth < 0:
            raise ValueError
        self._state = "value" if self._depth else "key"

    def _string(self, data: bytes, at: int) -> int:
        end = at
        while (found := _END.search(data, end)) is not None and found[0] == b"\\":
            need = 6 if data[found.end() : found.end() + 1] == b"u" else 2
            if found.start() + need > len(data):
                end = found.start()
                self._keep(_unescaped(data[at:end]))
                return end
            end = found.start() + need
        stop = found.start() if found is not None else len(data)
        self._keep(_unescaped(data[at:stop]))
        if found is None:
            return stop
        self._state = "value" if self._depth else "key"
        return stop + 1

    def _numbers(self, data: bytes, at: int) -> int:
        end = data.find(b"]", at)
        stop = end if end >= 0 else data.rfind(b",", at)
        if stop < 0:
            return at
        digits = data[at:stop].strip(b", ")
        if digits:
            self._keep(bytes(json.loads(b"[" + digits + b"]")))
        if end < 0:
            return stop + 1
        self._closed()
        return end + 1


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(_plain, text) if b"\\" in text else text


def _plain(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return chr(int(found[1], 16)).encode("utf-8", "surrogatepass")
    return _PLAIN.get(found[2], found[2])


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


def cursor_of(entry: JournalEntry | None) -> str:
    return entry.fields.get("__CURSOR", b"").decode("ascii", "replace") if entry else ""


def numbered(cursor: str) -> int | None:
    """The number that a record has in its sequence; None: the cursor does not say."""
    parts = dict(pair.split("=", 1) for pair in cursor.split(";") if "=" in pair)
    with contextlib.suppress(KeyError, ValueError):
        return int(parts["i"], 16)
    return None


def logged(entry: JournalEntry) -> float | None:
    """Seconds since the epoch, as the service gave it, or as journald received it."""
    try:
        return int(entry.text("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")) / 1e6
    except ValueError:
        return None
