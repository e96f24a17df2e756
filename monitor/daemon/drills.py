"""Drills that are begun on a page: planted and followed by the daemon itself, as `monitor drill` does beside it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from monitor.common.failure import failure
from monitor.common.tasks import cancel
from monitor.config.config import Config
from monitor.site import Site
from monitor.sources.base import SourceConfig
from monitor.store.drills import UnderWayError
from monitor.web.console.outcomes import RefusedError

__all__ = ["DrillWork"]

log = structlog.get_logger(__name__)

_PATIENCE = 60.0  # seconds for each hop


class DrillWork:
    """With the configuration in force."""

    def __init__(self, site: Site, config: Callable[[], Config]) -> None:
        self._site, self._config = site, config
        self._tasks: set[asyncio.Task[None]] = set()

    def sources(self) -> Sequence[str]:
        """In which something can be planted; what follows files first, as the command has it."""
        return [source.name for source in self._fitting()]

    def pagers(self) -> Sequence[str]:
        return [sink.name for sink in self._config().sinks if sink.pages]

    def _fitting(self) -> list[SourceConfig]:
        from monitor.drill.plant import KINDS

        fitting = [source for source in self._config().sources if source.type in KINDS]
        return sorted(fitting, key=lambda one: one.type != "file")

    async def place(self, source: str) -> str:
        """Where it would be planted, for people. Raises LookupError, and RefusedError."""
        from monitor.drill.plant import DrillError, spot

        try:
            found = await asyncio.to_thread(spot, self._source(source))  # it may look into many folders
            return self._site.scanner.redact(found.place)
        except DrillError as error:
            raise RefusedError(self._site.scanner.redact(str(error))) from None

    def _source(self, name: str) -> SourceConfig:
        found = next((one for one in self._fitting() if one.name == name), None)
        if found is None:
            raise LookupError(name)
        return found

    async def begin(self, source: str, rule: str, *, pages: bool, actor: str, once: str) -> str:
        """Returns where it is planted; it is followed from then on. `rule`: one that is in force; `once`: what a repeat
        is known by. Raises LookupError, RefusedError and StoreError."""
        from monitor.drill.ammunition import NoSampleError, ammunition
        from monitor.drill.follow import Hop
        from monitor.drill.plant import DrillError
        from monitor.drill.run import FireDrill

        scanner, config = self._site.scanner, self._source(source)
        engine = scanner.engine
        meant = next((one for one in engine.rules if one.id == rule), None)
        if meant is None:
            raise LookupError(rule)
        planted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def came(hop: Hop) -> None:
            if not planted.done():
                planted.set_result(hop.detail)

        try:
            shot = await asyncio.to_thread(ammunition, meant, engine.rules, lambda: engine, scanner.key)
        except NoSampleError as error:
            raise RefusedError(scanner.redact(str(error))) from None
        id_ = hashlib.sha256(once.encode()).hexdigest()[:32]
        facts = (config, None, rule, shot, pages, self.pagers(), actor, _PATIENCE, scanner.redact)
        task = asyncio.create_task(FireDrill(*facts, alone=True, id=id_).run(self._site.store, came))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        waited: set[asyncio.Future[Any]] = {task, planted}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if planted.done():
            log.info("a drill was begun", source=source, rule=rule, actor=actor)
            return planted.result()
        try:
            await task
        except (DrillError, UnderWayError) as error:
            raise RefusedError(scanner.redact(str(error))) from None
        raise RefusedError("it ended before anything was planted")

    def _over(self, task: asyncio.Task[None]) -> None:
        from monitor.drill.plant import DrillError

        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DrillError):
            log.warning("a drill is broken", hop=error.hop, reason=self._site.scanner.redact(str(error)))
        elif error is not None and not isinstance(error, UnderWayError):
            log.error("a drill could not be followed", **failure(error))

    async def close(self) -> None:
        """What is under way is cut short: closed, taken back, and noted as such."""
        for task in [*self._tasks]:
            await cancel(task)
