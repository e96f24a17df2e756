"""Messages in a stream of bytes, as RFC 6587 sends syslog over TCP: counted, or ended by a newline. Both may alternate.

Whatever comes is given out as text to scan: a count that lies, a line that never ends, no syslog at all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Frames", "Piece"]

_COUNT = re.compile(rb"([1-9][0-9]{0,8}) (?=<)")
_BLANK = re.compile(rb"\s*\n")  # lines of nothing: there may be millions
_PERHAPS = re.compile(rb"[1-9][0-9]{0,8} ?")  # the beginning of a count


class Piece(NamedTuple):
    """A message, or a part of one that goes on when `more`. `start`: its place in the stream."""

    data: bytes
    start: int
    more: bool


class Frames:
    """Of one connection. A message of more than `most` bytes comes in parts."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._at = 0  # place of `_rest` in the stream
        self._left: int | None = None  # bytes of a counted message that are to come
        self._open = False  # a part of this message was given out

    @property
    def waiting(self) -> bool:
        """Whether a message is under way of which something can be given out by `flush`."""
        return bool(self._rest) and (self._inside or not _PERHAPS.fullmatch(self._rest))

    @property
    def _inside(self) -> bool:
        return self._open or self._left is not None

    def feed(self, data: bytes) -> list[Piece]:
        data = self._rest + data
        pieces: list[Piece] = []
        at, size = 0, len(data)
        while at < size:
            if not self._inside:
                if blank := _BLANK.match(data, at):
                    at = blank.end()
                    continue
                if count := _COUNT.match(data, at):
                    self._left = int(count[1])
                    at = count.end()
                elif _PERHAPS.fullmatch(data, at):
                    break
            end, next_ = self._end(data, at)
            if end is None and size - at < self._most:
                break
            pieces.append(Piece(data[at:end], self._at + at, end is None))
            self._open = end is None
            if self._left is not None:
                self._left = self._left - (size - at) if end is None else None
            at = size if end is None else next_
        self._rest = data[at:]
        self._at += at
        return pieces

    def _end(self, data: bytes, at: int) -> tuple[int | None, int]:
        """Where the message that goes on at `at` ends, and where the next one begins; None: not in `data`."""
        if self._left is not None:
            end = at + self._left
            return (end, end) if end <= len(data) else (None, 0)
        end = data.find(b"\n", at)
        return (end, end + 1) if end >= 0 else (None, 0)

    def flush(self, *, over: bool = False) -> list[Piece]:
        """What waits of a message whose end has not come. `over`: nor will it ever."""
        if not (self.waiting or (over and (self._rest or self._open))):
            return []
        piece = Piece(self._rest, self._at, not over)
        if self._left is not None:
            self._left -= len(self._rest)
        self._at += len(self._rest)
        self._rest, self._open = b"", True
        return [piece]
