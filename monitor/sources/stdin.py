"""Standard input as a source: `journalctl -f | monitor run`. It has no position: what was read is gone."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import sys
import time
from collections.abc import Iterable
from typing import ClassVar

from monitor.intake import Intake, ScanError
from monitor.model import Block
from monitor.sources.base import SourceConfig

__all__ = ["StdinConfig", "StdinSource"]

_READ = 1 << 20
_CONTEXT = 16 << 10  # settled bytes carried along, for secrets that span reads
_MARGIN = 64  # bytes at a cut inside a line that wait for what follows
_QUIET = 1.0  # seconds after which a line without its end is scanned as it is


class StdinConfig(SourceConfig):
    """`[[sources]] type = "stdin"`."""


class StdinSource:
    """Follows standard input to its end."""

    Config: ClassVar[type[SourceConfig]] = StdinConfig

    def __init__(self, config: StdinConfig, intake: Intake, key: bytes, descriptor: int | None = None) -> None:
        self.config = config
        self._intake = intake
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._generation = secrets.token_hex(8)
        self._data = b""  # context, then what is not settled
        self._fresh = 0  # bytes of context in it
        self._offset = 0  # position of its first byte in the stream

    async def run(self, once: bool) -> None:
        """Read to the end of the input, or until cancelled; what was read by then is scanned before it returns."""
        try:
            while (piece := await self._read()) != b"":
                if piece is None:
                    await self._settle(len(self._data))
                    continue
                self._data += piece
                cut = self._data.rfind(b"\n", self._fresh) + 1
                if cut > self._fresh:
                    await self._settle(cut)
                elif len(self._data) - self._fresh > _READ:
                    await self._settle(len(self._data) - _MARGIN)
        finally:
            # Nobody can read it again.
            await self._settle(len(self._data))

    async def _read(self) -> bytes | None:
        """The next piece; None after a quiet second, b"" at the end."""
        reading = asyncio.ensure_future(asyncio.to_thread(_poll, self._descriptor))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            self._data += await reading or b""
            raise

    async def _settle(self, limit: int) -> None:
        """Scan up to `limit` and keep the context."""
        if limit <= self._fresh:
            return
        block = Block(
            source=self.config.name,
            path="-",
            generation=self._generation,
            offset=self._offset,
            data=self._data,
            time=time.time(),
            fresh=self._fresh,
            limit=limit,
        )

        def blocks() -> Iterable[Block]:
            yield block

        try:
            await self._intake.scan(blocks(), lambda: ())
        except ScanError:
            self._intake.missed("unscannable", limit - self._fresh, "-")
        keep = max(0, limit - _CONTEXT)
        self._data = self._data[keep:]
        self._offset += keep
        self._fresh = limit - keep


def _poll(descriptor: int) -> bytes | None:
    """Comes back within a quiet second, as a thread that waits for ever would hold up the end of the process."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return os.read(descriptor, _READ) if waiting.poll(_QUIET * 1000) else None
