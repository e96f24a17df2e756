"""Messages in a stream of bytes, as RFC 6587 sends syslog over TCP: counted, or ended by a newline. Both may alternate.

A count says where a message begins, not where it ends: some count characters, or are wrong. It ends there when another
one begins there; otherwise where the next one does, or its line. Whatever comes is given out as text to scan: a count
that lies, a line that never ends, no syslog at all.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import NamedTuple

__all__ = ["Frames", "Piece"]

_COUNT = re.compile(rb"([1-9][0-9]{0,8}) (?=<)")
_HEADER = re.compile(rb"[1-9][0-9]{0,8} <[0-9]{1,3}>")
_LONGEST = 15  # bytes of a header
_BLANK = re.compile(rb"\s*\n")  # lines of nothing: there may be millions
_PERHAPS = re.compile(rb"[1-9][0-9]{0,8} ?")  # the beginning of a count
_CONTINUED, _ASTRAL = bytes(range(0x80, 0xC0)), bytes(range(0xF0, 0x100))  # what UTF-8 goes on with; of two units
_AFTER = b"\n\r\0"  # what may end a counted message beside its count


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
        self._left: list[int] | None = None  # of a counted message: bytes, characters, units of UTF-16 that are to come
        self._open = False  # a part of this message was given out
        self._wide = False  # with more than ASCII in it
        self._counts = False  # there were counted messages
        self._units = {0, 1, 2}  # what they may count: bytes, characters, units of UTF-16

    @property
    def waiting(self) -> bool:
        """Whether a message is under way of which something can be given out by `flush`."""
        return bool(self._rest) and (self._inside or not _PERHAPS.fullmatch(self._rest))

    @property
    def whole(self) -> bool:
        """Whether its count is reached in bytes: what follows it will say that they were no characters."""
        return self._left is not None and len(self._rest) >= self._left[0]

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
                    self._left = [int(count[1])] * 3
                    self._counts = True
                    at = count.end()
                elif _PERHAPS.fullmatch(data, at):
                    break
            end, next_ = self._end(data, at)
            if end is None and size - at < self._most:
                break
            pieces.append(self._given(data[at:end], self._at + at, more=end is None))
            at = size if end is None else next_
        self._rest = data[at:]
        self._at += at
        return pieces

    def _given(self, data: bytes, start: int, *, more: bool) -> Piece:
        """A part of the message that is under way, the last one unless `more`."""
        self._open = more
        if not more:
            self._left, self._wide = None, False
        elif self._left is not None:
            self._wide = self._wide or not data.isascii()
            points = len(data.translate(None, _CONTINUED))
            units = points + len(data) - len(data.translate(None, _ASTRAL))
            self._left = [left - done for left, done in zip(self._left, (len(data), points, units), strict=True)]
        return Piece(data, start, more)

    def _end(self, data: bytes, at: int) -> tuple[int | None, int]:
        """Where the message that goes on at `at` ends, and where the next one begins; None: not in `data`."""
        if self._left is None:
            return self._line(data, at)
        end, size = at + max(0, self._left[0]), len(data)
        if end > size:
            return None, 0
        if self._wide or not data[at:end].isascii():
            found = self._unit_of(data, [end, *(at + length for length in _lengths(data[at:], self._left))])
            if found is not None:
                return (found, found) if found else (None, 0)
        elif (
            _ends(data, end)
            or data[end - 1 : end] == b"\n"
            or data[end : end + 1] == b"<"
            or _PERHAPS.fullmatch(data, end)
        ):
            return end, end
        return self._line(data, end)

    def _unit_of(self, data: bytes, ends: list[int]) -> int | None:
        """Which of these is the end: of as many bytes, characters or units of UTF-16. 0: the next bytes tell; None:
        none of them, the count is wrong."""
        size = len(data)
        known = {ends[unit] for unit in self._units}
        if len(known) == 1 and _ends(data, min(known)):
            return min(known)
        others = [place for place in ends if place < size and (_begins(data, place) or _PERHAPS.fullmatch(data, place))]
        if size == max(ends) > ends[0] and not others:
            return size
        if size < max(ends) + _LONGEST:
            return 0
        places = {place: unit for unit, place in reversed(list(enumerate(ends))) if _begins(data, place)}
        if len(places) > 1 and len(known) == 1 and min(known) in places:
            return min(known)
        if len(places) > 1:
            # A digit before a count belongs to it or not: the message that it counts has an end, too.
            places = {place: unit for place, unit in places.items() if _leads(data, place, unit)} or {0: 0}
        if not places:
            return None
        place = min(places)
        if place:
            said = {unit for unit, end in enumerate(ends) if end == place}
            self._units = (self._units & said) or said
        return place

    def _line(self, data: bytes, at: int) -> tuple[int | None, int]:
        """The same of one whose end nothing tells but its line's, or another one."""
        end = data.find(b"\n", at)
        if self._counts and (found := _HEADER.search(data, at, len(data) if end < 0 else end)):
            return found.start(), found.start()
        return (end, end + 1) if end >= 0 else (None, 0)

    def flush(self, *, over: bool = False, words: bool = False) -> list[Piece]:
        """What waits of a message whose end has not come. `over`: nor will it ever. `words`: without the last one, of
        which there may be more."""
        if not (self.waiting or (over and (self._rest or self._open))):
            return []
        size = len(self._rest)
        if words and not self.whole:
            size -= 0 if self._rest[-1:].isspace() else len(self._rest.rsplit(None, 1)[-1])
            if not size:
                return []
        data, self._rest = self._rest[:size], self._rest[size:]
        piece = self._given(data, self._at, more=not over)
        self._at += size
        return [piece]


def _begins(data: bytes, at: int) -> bool:
    return at < len(data) and (data[at] in _AFTER or _HEADER.match(data, at) is not None)


def _ends(data: bytes, at: int) -> bool:
    return at == len(data) or _begins(data, at)


def _leads(data: bytes, at: int, unit: int) -> bool:
    """Whether the counted message there has an end that is one."""
    if (count := _COUNT.match(data, at)) is None:
        return data[at] in _AFTER
    size, at = int(count[1]), count.end()
    lengths = [size, *_lengths(data[at : at + 4 * size + _LONGEST], [size] * 3)]
    return _ends(data, at + lengths[unit])


def _lengths(data: bytes, left: list[int]) -> list[int]:
    """How long it is when characters were counted, or units of UTF-16; more than there is, when it is not all there."""
    points, units = max(0, left[1]), max(0, left[2])
    begun = len(data) - len(data.lstrip(_CONTINUED))
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data[begun : begun + 4 * max(points, units)])
    wide = text.encode("utf-16-le", "surrogatepass")
    lengths = [len(data) + 1] * 2
    if len(text) >= points:
        lengths[0] = begun + len(text[:points].encode("utf-8", "surrogateescape"))
    if len(wide) >= 2 * units:
        with contextlib.suppress(UnicodeError):  # between the two halves of a character: nobody counts so
            half = wide[: 2 * units].decode("utf-16-le", "surrogatepass")
            lengths[1] = begun + len(half.encode("utf-8", "surrogateescape"))
    return lengths
