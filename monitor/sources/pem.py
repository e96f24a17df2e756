"""Private keys in PEM that a program prints line by line, each line in a record of its own: seen whole all the same.

Each record is scanned as it is; this only adds what several of them are together.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace

from monitor.domain.model import Block

__all__ = ["Joiner"]

_BEGIN, _END = b"-----BEGIN ", b"-----END "
_HEAD = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
# What may stand in a key, at the end of a line that a logger has put something before.
_LINE = re.compile(
    rb"(?:^|[\s\]|:>])[A-Za-z0-9+/=]{4,76}\s*$"
    rb"|\"[A-Za-z0-9+/=]{4,76}(?:\\[nr])*\""
    rb"|(?:Proc-Type|DEK-Info|Version|Comment): "
)
_LINES, _BYTES = 600, 64 << 10  # of a key, with what comes between
_OPEN = 256  # keys under way


@dataclass(slots=True)
class _Key:
    first: Block
    data: bytearray
    lines: int = 1


class Joiner:
    """`origin` tells programs apart whose records come mixed."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Key] = OrderedDict()

    def wants(self, record: Block) -> bool:
        """Whether the record may matter: most do not, and their origin need not be known."""
        return bool(self._open) or _BEGIN in record.data

    def feed(self, origin: str, record: Block) -> Block | None:
        """The whole key, once a record brings its end; with the provenance of its first record."""
        data = bytes(record.data)
        begin = data.rfind(_BEGIN)
        if begin >= 0 and _HEAD.match(data, begin) and data.find(_END, begin) < 0:
            self._open[origin] = _Key(record, bytearray(data[begin:]))
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return None
        key = self._open.get(origin)
        if key is None:
            return None
        key.lines += 1
        if _END in data or _LINE.search(data):
            key.data += b"\n" + data
        if _END in data:
            del self._open[origin]
            return replace(key.first, generation=f"{key.first.generation}-key", data=bytes(key.data) + b"\n")
        if key.lines > _LINES or len(key.data) > _BYTES:
            del self._open[origin]
        return None

    def open(self, origin: str) -> bool:
        """Whether a key of this origin is under way."""
        return origin in self._open

    def drop(self, origin: str) -> None:
        """Nothing more will come of it."""
        self._open.pop(origin, None)
