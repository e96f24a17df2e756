"""What `/status` answers: counters as they are, and from the database what was read there a moment ago."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from monitor.config.config import Config
from monitor.daemon.health import Health
from monitor.site import Site
from monitor.sources.standing import SourceStanding, standing
from monitor.status import document
from monitor.store import StoreError

__all__ = ["StatusDocument"]

_FRESH = 5.0  # seconds for which what was read of positions and losses serves every answer
_PATIENCE = 1.0  # seconds an answer waits for the database, which may be what is in trouble


class StatusDocument:
    """Call it for the document (monitor.status)."""

    def __init__(self, site: Site, health: Health, config: Callable[[], Config], phase: Callable[[], str]) -> None:
        self._site, self._health, self._config, self._phase = site, health, config, phase
        self._standings: Sequence[SourceStanding] | None = None
        self._read = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def __call__(self) -> dict[str, Any]:
        if self._reading is None and time.monotonic() > self._read + _FRESH:
            self._reading = asyncio.create_task(self._look())
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=_PATIENCE)
        config = self._config()
        known = self._standings
        if known is None or [one.name for one in known] != [source.name for source in config.sources]:
            known = await asyncio.to_thread(standing, config.sources, {})
        wrong = {part: why for part, why in {**self._health.live(), **self._health.ready()}.items() if why is not None}
        return document(
            config,
            self._site.snapshot,
            known,
            host=self._site.store.node,
            daemon={"phase": self._phase(), "problems": wrong},
            rates=self._health.pace.rates(),
            redact=self._site.scanner.redact,
        )

    async def _look(self) -> None:
        try:
            with contextlib.suppress(StoreError):
                rows = await self._site.store.positions.all()
                self._standings = await asyncio.to_thread(standing, self._config().sources, rows)
                self._read = time.monotonic()
        finally:
            self._reading = None
