"""Connections that sinks keep open to hear what people ask for, each under supervision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from monitor.common.failure import failure
from monitor.common.inbound import InboundRequest
from monitor.common.tasks import cancel, keep_up
from monitor.store import StoreError
from sinks.base import Listens, Sink, SinkConfig

__all__ = ["Listeners"]

log = structlog.get_logger(__name__)


class Listeners:
    """Those of the sinks in force, from `replace` to `close`."""

    def __init__(
        self, ask: Callable[[Sequence[InboundRequest]], Awaitable[bool]], problem: Callable[[str, str | None], None]
    ) -> None:
        """`ask`: keeps requests. `trouble`: told the name of a sink, and why it hears nothing (None: it does)."""
        self._keep, self._problem = ask, problem
        self._tasks: list[asyncio.Task[None]] = []

    async def replace(self, sinks: Mapping[str, Sink], configs: Sequence[SinkConfig]) -> None:
        """Go on with these."""
        await self.close()
        self._tasks = [
            asyncio.create_task(self._supervise(name, sink, configs), name=f"listen {name}")
            for name, sink in sinks.items()
            if isinstance(sink, Listens)
        ]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*(cancel(task) for task in tasks))

    async def _supervise(self, name: str, sink: Listens, configs: Sequence[SinkConfig]) -> None:
        def failed(error: BaseException, failures: int) -> bool:
            log.error("listening failed", sink=name, **failure(error))
            return True

        await keep_up(lambda: sink.listen(self._ask, lambda why: self._problem(name, why), configs), failed)

    async def _ask(self, requests: Sequence[InboundRequest]) -> bool:
        try:
            await self._keep(requests)
        except StoreError:  # the database reports its trouble itself
            return False
        return True
