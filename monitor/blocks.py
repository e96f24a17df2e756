"""Bytes to blocks: one stream that comes piece by piece, cut where its lines end as long as they do.

What is settled is carried along as context for a while, so that a secret is seen whole wherever the pieces were cut.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from monitor.common.newlines import newlines
from monitor.model import Block
from monitor.records import BLOCK, CONTEXT, LOOKAHEAD

__all__ = ["Cutter"]

_NOTHING: Mapping[str, str] = {}


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
        self._attributes = attributes
        self._most = most
        self._data = b""  # context, then what is not settled
        self._fresh = 0  # bytes of context in it
        self._offset = offset  # of its first byte in the stream
        self._line = line  # number of the line its first byte is in

    @property
    def waiting(self) -> int:
        """Bytes that no block has settled."""
        return len(self._data) - self._fresh

    def feed(self, data: bytes) -> Block | None:
        """Up to the last end of a line; of a line that is too long all but what a match could still grow into."""
        self._data += data
        cut = self._data.rfind(b"\n", self._fresh) + 1
        if cut > self._fresh:
            return self._settle(cut)
        return self._settle(len(self._data) - LOOKAHEAD) if self.waiting > self._most else None

    def flush(self) -> Block | None:
        """All there is: the stream is over, or has been quiet for long enough."""
        return self._settle(len(self._data))

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
            attributes=self._attributes,
        )

        keep = max(0, limit - CONTEXT)
        if self._line is not None:
            self._line += newlines(self._data[:keep])
        self._data = self._data[keep:]
        self._offset += keep
        self._fresh = limit - keep
        return block
