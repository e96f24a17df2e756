"""Blocks to readings: the records in what a source has read. In the thread that scans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from monitor.access.forms import load_form
from monitor.access.forms.fields import MalformedError, identity
from monitor.access.reading import Reading
from monitor.common.outside import NAME, let_in
from monitor.common.text import one_line
from monitor.domain.model import Block

__all__ = ["Reader"]

_LONGEST = 1 << 20  # bytes of a line
_NEWLINE = ord("\n")
_AHEAD = 3600.0  # seconds a record may be ahead of our clock
_ADDRESS = 100  # characters
# What exports put around their records.
_LISTS = ("Records", "records", "items", "logs", "entries", "result")


class Reader:
    """Takes the records out of blocks, and counts what it could not understand. For one scan, in one thread.

    `redact`: every text of a record passes it. Lines are whole in a block or are no record: what is longer than a block
    is passed over.
    """

    def __init__(self, form: str, redact: Callable[[str], str]) -> None:
        self.readings: list[Reading] = []
        self.lines = 0  # that are not empty
        self.understood = 0
        self.malformed = 0
        self._form = load_form(form)
        self._redact = redact

    def read(self, block: Block) -> None:
        """Take what is settled by this block."""
        for part in [record for _, record in block.parts] or [block]:
            for line in _lines(part, record=bool(block.parts)):
                self.lines += 1
                try:
                    self._take(line)
                except (MalformedError, orjson.JSONDecodeError):
                    self.malformed += 1
                else:
                    self.understood += 1

    def _take(self, line: bytes) -> None:
        start = (
            line.find(b"{") if line[:1] not in (b"{", b"[") else 0
        )  # behind what syslog, or Vault's prefix, put there
        if start < 0 or len(line) > _LONGEST:
            raise MalformedError("no JSON object")
        found = [one for record in _records(orjson.loads(line[start:])) for one in self._form(record)]
        self.readings += [self._fit(one, line, number) for number, one in enumerate(found)]

    def _fit(self, reading: Reading, line: bytes, number: int) -> Reading:
        """As it may be kept: masked, short, and not from the future."""
        if not reading.secret or not reading.principal:
            raise MalformedError("nothing is named")
        return replace(
            reading,
            id=identity(reading.id) if reading.id else identity(line, number),
            at=min(reading.at, time.time() + _AHEAD),
            secret=self._clean(reading.secret),
            principal=self._clean(reading.principal),
            names=tuple(self._clean(name) for name in reading.names),
            address=self._clean(reading.address, _ADDRESS),
            agent=self._clean(reading.agent),
        )

    def _clean(self, text: str, limit: int = NAME) -> str:
        return one_line(let_in(text, self._redact, limit))


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    """One record, a list of them, or what an export wraps around such a list."""
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))
        return
    if not isinstance(value, dict):
        raise MalformedError("no JSON object")
    for name in _LISTS:
        if isinstance(value.get(name), list) and len(value) <= 4:
            yield from (one for one in value[name] if isinstance(one, dict))
            return
    yield value


def _lines(block: Block, *, record: bool) -> Iterator[bytes]:
    """The lines that end in what the block settles; empty for one that is too long to be whole in any block.

    `record`: it is one for itself, so that its last line ends where it does.
    """
    end = len(block.data) if block.limit is None else block.limit
    data = memoryview(block.data)
    lines = bytes(data[block.fresh : end]).split(b"\n")
    last = lines.pop()
    if block.fresh and data[block.fresh - 1] != _NEWLINE:
        if not lines:
            return
        lines[0] = b""
        yield b""
    yield from (line for line in map(bytes.strip, lines) if line)
    # Without its end it counts only when it can be read, as somebody may still be writing it.
    if block.limit is None and (last := last.strip()) and (record or _is_json(last)):
        yield last


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line[max(0, line.find(b"{")) :])
    except orjson.JSONDecodeError:
        return False
    return True
