"""Records to blocks: many small texts in one scan, none of which runs into the next.

A scan for each record would cost more than its bytes. What lies between two of them no rule bridges; should one do it
all the same, the scanner looks at each record alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.common.cuts import LOOKAHEAD, carried
from monitor.domain.model import Block
from monitor.scanning.blocks import BLOCK, head_of

__all__ = ["GAP", "Batcher"]

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
