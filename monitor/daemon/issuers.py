"""Issuers are asked, and actions run, beside everything else: whatever they do, it holds up nothing."""

from __future__ import annotations

import asyncio
import contextlib

from monitor.actions.actor import Actor
from monitor.actions.operator import Operator
from monitor.common.tasks import cancel
from monitor.daemon.reload import Running
from monitor.store import StoreError
from monitor.verify.asker import Asker
from monitor.verify.verifier import Verifier

__all__ = ["Issuers"]

_BEGIN = 5.0  # seconds that a slow database may hold up the start


class Issuers:
    """What asks them and what acts, with the configuration in force."""

    def __init__(self, running: Running) -> None:
        site, scrub = running.site, running.site.scanner.scrub
        verifier = Verifier(running.config.verify, scrub=scrub)
        self._asker = Asker(site.store, verifier, site.scanner.key, lambda: site.scanner.engine, lambda: running.config)
        actor = Actor(proxy=lambda: running.config.verify.proxy, scrub=scrub)
        self._operator = Operator(site.store, self._asker, actor, lambda: running.config)
        self._store = site.store

    async def begin(self) -> None:
        """Note where the trail ends, before a source brings anything: what comes from then on is news."""
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_BEGIN):
                await self._asker.look()
                await self._operator.look()

    async def run(self) -> None:
        """Until cancelled."""
        self._store.on_change(self._asker.wake)
        self._store.on_change(self._operator.wake)
        tasks = [
            asyncio.create_task(self._asker.run(), name="verify"),
            asyncio.create_task(self._operator.run_all(), name="actions"),
        ]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                await cancel(task)
