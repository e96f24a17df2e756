"""What container runtimes write of a container's output, unwrapped: Docker's json-file and the lines of CRI.

    {"log":"text\\n","stream":"stdout","time":"…"}   without \\n at its end it goes on in the next one of its stream
    2026-01-02T03:04:05.678Z stdout F text           P in place of F: it goes on in the next one of its stream

A line that is neither stands for itself.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from monitor.common.cuts import LOOKAHEAD, last_word
from monitor.domain.model import Block

__all__ = ["cut", "settled", "unwrapped", "word"]

_DOCKER = re.compile(rb'\{"log":"((?:[^"\\]+|\\.)*)(?:"(?:,"stream":"(\w+)")?)?', re.DOTALL)
_CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S{1,40} (stdout|stderr) ([FP])(?::\S*)? ", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}

Data = bytes | bytearray


class _Piece(NamedTuple):
    stream: bytes
    start: int  # of the content in the data
    raw: bytes  # the content as it stands there
    escaped: bool
    whole: bool  # nothing of the same line follows

    @property
    def text(self) -> bytes:
        return _ESCAPE.sub(_plain, self.raw) if self.escaped and b"\\" in self.raw else self.raw


def _plain(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return chr(int(found[1], 16)).encode("utf-8", "surrogatepass")
    return _PLAIN.get(found[2], found[2])


def _piece(line: bytes, at: int) -> _Piece:
    """`line` with its newline, when it has one; it stands at `at`."""
    if line.startswith(b'{"log":"') and (found := _DOCKER.match(line)):
        ended = found[1].endswith(b"\\n")
        return _Piece(found[2] or b"", at + found.start(1), found[1], True, ended)
    if found := _CRI.match(line):
        whole = found[2] == b"F"
        content = line[found.end() :] if whole else line[found.end() :].rstrip(b"\n")
        return _Piece(found[1], at + found.end(), content, False, whole)
    return _Piece(b"", at, line, False, True)


def _lines(data: Data, start: int, stop: int) -> Iterator[tuple[bytes, int]]:
    while start < stop:
        end = data.find(b"\n", start, stop) + 1 or stop
        yield bytes(data[start:end]), start
        start = end


def settled(data: Data, start: int, stop: int) -> int:
    """Where in `data[start:stop]` the last line ends up to which nothing goes on behind it; `start`: nowhere."""
    begin = data.rfind(b"\n", 0, start) + 1  # before it in a line that was parted
    end = data.rfind(b"\n", begin, stop) + 1
    if b" P " not in data[begin:stop] and not data.startswith(b'{"log":"', begin):
        return max(start, end)
    going: set[bytes] = set()
    best = start
    for line, at in _lines(data, begin, end):
        piece = _piece(line, at)
        (going.discard if piece.whole else going.add)(piece.stream)
        if not going:
            best = max(start, at + len(line))
    return best


def cut(data: Data, start: int, stop: int) -> int:
    """Where to part a line that goes on for longer than a block: within a piece, so that what lies across two pieces is
    settled before it, and the piece itself begins in the context of what comes behind it."""
    last = data.rfind(b"\n", start, stop)
    begin = data.rfind(b"\n", start, max(start, last)) + 1
    return stop - LOOKAHEAD if begin <= start else begin + min(LOOKAHEAD << 7, (last - begin) // 2)


def word(data: Data, start: int, stop: int) -> int:
    """Where the last word begins of the one line that is not over; `start` when there are several, which lie mixed. A
    line of which not even the head is there has not begun."""
    going: dict[bytes, list[_Piece]] = {}
    for line, at in _lines(data, start, stop):
        piece = _piece(line, at)
        if going and not piece.stream and not piece.escaped and not line.endswith(b"\n"):
            break
        going.setdefault(piece.stream, []).append(piece)
        if piece.whole and line.endswith(b"\n"):
            del going[piece.stream]
    if len(going) != 1:
        return start
    (pieces,) = going.values()
    return next((piece.start + end for piece in reversed(pieces) if (end := last_word(piece.raw))), start)


def unwrapped(block: Block) -> Block:
    """The text of the container; its offsets and lines still are those of the file."""
    data = bytes(block.data)
    limit = block.end
    pieces: list[_Piece] = []  # in the order in which their lines are over
    open_: dict[bytes, list[_Piece]] = {}
    start = 0 if block.offset == 0 or not block.fresh else _first_line(data, block.fresh)
    for line, at in _lines(data, start, len(data)):
        piece = _piece(line, at)
        open_.setdefault(piece.stream, []).append(piece)
        if piece.whole:
            pieces += open_.pop(piece.stream)
    for rest in open_.values():
        pieces += rest

    texts = [piece.text for piece in pieces]
    starts, size = [], 0
    for text in texts:
        starts.append(size)
        size += len(text)

    def inside(raw: int) -> int:
        """How much of the text comes of what stands before `raw`."""
        count = 0
        for piece, text, begin in zip(pieces, texts, starts, strict=True):
            if piece.start < raw:
                cut = piece._replace(raw=piece.raw[: raw - piece.start])
                count = max(count, begin + (len(text) if len(cut.raw) == len(piece.raw) else len(cut.text)))
        return count

    def offset_at(position: int) -> int:
        number = max(0, bisect_right(starts, position) - 1)
        piece, left = pieces[number], position - starts[number]
        if not piece.escaped:
            return block.offset + piece.start + left
        raw = 0
        for found in _ESCAPE.finditer(piece.raw):
            if left <= found.start() - raw:
                break
            left -= found.start() - raw + len(_plain(found))
            raw = found.end()
        return block.offset + piece.start + raw + max(0, left)

    line_at = block.line_at
    return replace(
        block,
        data=b"".join(texts),
        fresh=inside(block.fresh),
        limit=inside(limit),
        line_at=None if line_at is None else lambda absolute: line_at(offset_at(absolute - block.offset)),
        offset_at=offset_at,
        raw=block.span,
    )


def _first_line(data: bytes, fresh: int) -> int:
    """Context begins anywhere: with its first whole line, when it has one."""
    return min(fresh, data.find(b"\n", 0, fresh) + 1 or fresh)
