"""Bytes to blocks: where a stream may be cut, for what comes piece by piece and for what can be read.

Many small records go in one block, none of which runs into the next: a scan for each would cost more than its bytes.

Each cut is where a line ends, as long as they do. What is settled is carried along as context for a while, so that a
secret is seen whole wherever that was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from detectors.match.tables import between_rows, last_list
from monitor.common.cuts import LOOKAHEAD, carried, settled
from monitor.common.newlines import characters, newlines
from monitor.domain.model import Block

__all__ = ["BLOCK", "GAP", "HEAD", "Batcher", "Cutter", "Window", "head_of"]

BLOCK = 1 << 20  # bytes scanned at once
HEAD = 4096  # bytes of a first line that may name the columns of all that follow
_BACK = 64 << 20  # bytes before the place to go on from in which the list of an INSERT is looked for

_NOTHING: Mapping[str, str] = {}
_NEWLINE = 10


def head_of(data: bytes | bytearray, keep: int, known: bytes, *, begins: bool) -> bytes:
    """Of `data[:keep]`, which is let go, what names the columns of rows behind it: the list of an INSERT that goes on,
    or the first line of the stream. `known`: what did so before; `begins`: the stream begins there."""
    if keep and begins:
        known = _first_line(bytes(data[:HEAD]))
    if not between_rows(data, keep):
        return b"" if known.startswith(b"(") else known
    listed = last_list(data, keep)
    return known if listed is None else listed


def _first_line(begin: bytes) -> bytes:
    """The first line of a stream that begins so, if it is not too long."""
    line, end, _ = begin[:HEAD].partition(b"\n")
    return line if end else b""


class Window:
    """What is in hand of a stream that is read into one buffer: context, then what is not settled. Copies context only.

    `offset`: in the stream, of its first byte. `fresh`: bytes of context. `end`: bytes in it.
    """

    def __init__(self, buffer: bytearray, offset: int, *, context: bool = True) -> None:
        """The stream goes on at `offset`; `context`: what lies before it can be read, too."""
        self.buffer, self.view = buffer, memoryview(buffer)
        self.offset = carried(offset) if context else offset
        self._back = context
        self.fresh = offset - self.offset
        self.end = 0
        self.head = b""  # what names the columns of the stream (`head_of`), once it is no longer in hand

    @property
    def full(self) -> bool:
        return self.end == len(self.view)

    def precede(self, text: bytes, settled: int) -> None:
        """Before anything was read: the stream goes on from this text, of which so much is settled."""
        self.view[: len(text)] = text
        self.offset, self.fresh, self.end = -len(text), settled, len(text)

    def forget(self) -> None:
        """What precedes the stream does not belong to it."""
        keep = -self.offset
        self.view[: self.end - keep] = self.view[keep : self.end]
        self.offset, self.fresh, self.end = 0, 0, self.end - keep

    def fill(self, read: Callable[[memoryview, int], int], stop: int | None) -> bool:
        """`read(view, offset)` until it is full, or to the end of the stream or `stop`. Whether it came to that."""
        goes_on = not self.end and self.offset > 0 and self._back
        most = len(self.view) if stop is None else min(len(self.view), stop - self.offset)
        while self.end < most:
            got = read(self.view[self.end : most], self.offset + self.end)
            if not got:
                break
            self.end += got
        if goes_on:
            self.head = self._head_before(read)
        return self.end < most or (stop is not None and self.offset + self.end >= stop)

    def _head_before(self, read: Callable[[memoryview, int], int]) -> bytes:
        """What stands before the place to go on from."""
        low = self.offset if between_rows(self.buffer, 0) else 0
        while low > max(0, self.offset - _BACK):
            high, low = low, max(0, low - BLOCK)
            piece = memoryview(bytearray(min(high + HEAD, self.offset) - low))
            text = bytes(piece[: read(piece, low)])
            if (listed := last_list(text, len(text))) is not None:
                return listed
            if not between_rows(text, 0):
                break
        begin = memoryview(bytearray(min(HEAD, self.offset)))
        return _first_line(bytes(begin[: read(begin, 0)]))

    def text(self, limit: int) -> memoryview:
        """What to scan to settle it up to `limit`: behind the end of a line nothing is needed of what follows."""
        return self.view[: limit if self.buffer[limit - 1] == _NEWLINE else self.end]

    def settle(self, limit: int) -> None:
        """Up to there it is dealt with."""
        keep = carried(limit)
        self.head = head_of(self.buffer, keep, self.head, begins=self.offset == 0)
        self.view[: self.end - keep] = self.view[keep : self.end]
        self.offset, self.end, self.fresh = self.offset + keep, self.end - keep, limit - keep


class Cutter:
    """Of one life of one stream. `feed` and `flush` give a block of what is settled by them, if anything is."""

    def __init__(
        self,
        source: str,
        path: str,
        generation: str,
        *,
        offset: int = 0,
        line: int | None = 1,
        most: int = BLOCK,
        attributes: Mapping[str, str] = _NOTHING,
    ) -> None:
        """`offset`, `line`: of the first byte. `most`: bytes of an open line that wait for its end."""
        self._source, self._path, self._generation = source, path, generation
        self._attributes, self._most = attributes, most
        self._data = b""  # context, then what is not settled
        self._fresh = 0  # bytes of context in it
        self._offset = offset  # of its first byte in the stream
        self._line = line  # number of the line its first byte is in
        self._column = None if offset or line is None else 1  # of that byte
        self._head = b""

    @property
    def waiting(self) -> int:
        """Bytes that no block has settled."""
        return len(self._data) - self._fresh

    def feed(self, data: bytes) -> Block | None:
        """Up to the last end of a line; of a line that is too long all but what a match could still grow into."""
        self._data += data
        return self._settle(settled(self._data, self._fresh, len(self._data), full=self.waiting > self._most))

    def flush(self, data: bytes = b"") -> Block | None:
        """All there is, with the last of it: the stream is over, or has been quiet for long enough."""
        self._data += data
        return self._settle(len(self._data))

    def blocks(self, pieces: Iterable[bytes]) -> Iterator[Block]:
        """All of a stream."""
        for piece in pieces:
            if (block := self.feed(piece)) is not None:
                yield block
        if (block := self.flush()) is not None:
            yield block

    def _settle(self, limit: int) -> Block | None:
        if limit <= self._fresh:
            return None
        block = Block(
            source=self._source,
            path=self._path,
            generation=self._generation,
            offset=self._offset,
            data=self._data,
            time=time.time(),
            fresh=self._fresh,
            limit=limit,
            line=self._line,
            column=self._column,
            attributes=self._attributes,
            head=self._head,
        )

        keep = carried(limit)
        self._head = head_of(self._data, keep, self._head, begins=self._offset == 0)
        if self._line is not None:
            begin = self._data.rfind(b"\n", 0, keep) + 1
            self._line += newlines(self._data[:begin])
            column = 1 if begin else self._column
            self._column = None if column is None else column + characters(self._data[begin:keep])
        self._data = self._data[keep:]
        self._offset += keep
        self._fresh = limit - keep
        return block


# Wider than any gap between a keyword and its value; the dashes end what looks for the end of a PEM key.
GAP = b"\n" + bytes(125) + b"------" + bytes(125) + b"\n"


class Batcher:
    """Hands out `records`, each a block with `bytes` of its own, as blocks for the scanner.

    The scanner may have enough before the last one. `done` says how many records it was given to their ends; `blocks`
    goes on from there.
    """

    def __init__(self, records: Sequence[Block]) -> None:
        self.done = 0
        self._records = records
        self._at = 0  # how far the record after those came

    @property
    def more(self) -> bool:
        return self.done < len(self._records)

    def blocks(self) -> Iterator[Block]:
        while self.more:
            first = self._records[self.done]
            self._at = max(self._at, first.fresh)
            yield self._piece(first) if len(first.data) > BLOCK or first.limit or self._at else self._many()

    def _piece(self, record: Block) -> Block:
        start, size = self._at, len(record.data)
        base = carried(start)
        end = min(size, start + BLOCK)
        settled = end - LOOKAHEAD if end < size else record.end
        if end < size:
            self._at = settled
        else:
            self.done, self._at = self.done + 1, 0
        return Block(
            source=record.source,
            path=record.path,
            generation=record.generation,
            offset=record.offset + base,
            data=memoryview(record.data)[base:end],
            time=record.time,
            fresh=start - base,
            limit=settled - base,
            attributes=record.attributes,
            logged_at=record.logged_at,
            url=record.url,
            head=head_of(bytes(record.data), base, record.head, begins=record.offset == 0),
        )

    def _many(self) -> Block:
        parts: list[tuple[int, Block]] = []
        size = 0
        while self.more:
            record = self._records[self.done]
            if parts and (size + len(record.data) > BLOCK or record.fresh or record.limit):
                break
            parts.append((size, record))
            size += len(record.data) + len(GAP)
            self.done += 1
        first = parts[0][1]
        if len(parts) == 1:
            return first
        data = GAP.join(record.data for _, record in parts)
        return Block(first.source, first.path, first.generation, first.offset, data, first.time, parts=parts)
