"""Standard input as a source: `journalctl -f | monitor run`. It has no position: what was read is gone."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import sys
from typing import ClassVar

from monitor.domain.model import Block
from monitor.intake.protocol import Intake, ScanError
from monitor.scanning.blocks import Cutter
from monitor.sources.base import LogConfig, SourceConfig

__all__ = ["StdinConfig", "StdinSource"]

_READ = 1 << 20
_QUIET = 1.0  # seconds after which a line without its end is scanned as it is


EXAMPLE = """
# Standard input, to its end.
#[[sources]]
#name = "pipe"
#type = "stdin"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
"""


class StdinConfig(LogConfig):
    """Reads standard input to its end.

    **Reads** at most once. **Can lose** what was read and not stored when the process is killed; nobody can know how
    much.
    """


class StdinSource:
    """Follows standard input to its end."""

    Config: ClassVar[type[SourceConfig]] = StdinConfig

    def __init__(self, config: StdinConfig, intake: Intake, key: bytes, descriptor: int | None = None) -> None:
        self.config, self._intake = config, intake
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._cutter = Cutter(config.name, "-", secrets.token_hex(8))
        self._at: Block | None = None  # what is scanned just now

    async def run(self, once: bool) -> None:
        """Read to the end of the input, or until cancelled; what was read by then is scanned before it returns."""
        try:
            while (piece := await self._read()) != b"":
                await self._settle(self._cutter.flush() if piece is None else self._cutter.feed(piece))
        finally:
            # Nobody can read it again.
            await self._settle(self._at)
            await self._settle(self._cutter.flush())

    async def _read(self) -> bytes | None:
        """The next piece; None after a quiet second, b"" at the end."""
        reading = asyncio.ensure_future(asyncio.to_thread(_poll, self._descriptor))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await self._settle(self._cutter.feed(await reading or b""))
            raise

    async def _settle(self, block: Block | None) -> None:
        if block is None:
            return
        self._at = block
        try:
            await self._intake.scan(iter([block]), lambda: ())
        except ScanError:
            self._intake.missed("unscannable", (block.limit or len(block.data)) - block.fresh, "-")
        self._at = None


def _poll(descriptor: int) -> bytes | None:
    """Comes back within a quiet second, as a thread that waits for ever would hold up the end of the process."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return os.read(descriptor, _READ) if waiting.poll(_QUIET * 1000) else None
