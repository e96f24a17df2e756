"""Records of a source to the store: scanned together, and one alone where the engine fails on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake, ScanError
from monitor.scanning.records import Batcher

__all__ = ["settle"]


async def settle(
    intake: Intake, records: Sequence[Block], upto: Callable[[int], Iterable[Position]] = lambda done: ()
) -> None:
    """Scan records; what was found in them is safe when this returns. `upto`: positions once so many are done.

    A record that the engine fails on is lost and told; no other one is.
    """
    packer = Batcher(records)
    while packer.more:
        before = packer.done
        try:
            await intake.scan(packer.blocks(), lambda: upto(packer.done))
        except ScanError:
            await _singly(intake, records, before, max(packer.done, before + 1), upto)


async def _singly(
    intake: Intake, records: Sequence[Block], start: int, stop: int, upto: Callable[[int], Iterable[Position]]
) -> None:
    """The engine failed somewhere in these."""
    for record in records[start:stop]:
        packer = Batcher([record])
        while packer.more:
            try:
                await intake.scan(packer.blocks(), tuple)
            except ScanError:
                intake.missed("unscannable", len(record.data) - record.fresh, record.path)
                break
    positions = tuple(upto(stop))
    if positions:
        await intake.record((), positions)
