"""Issuers are asked, and actions run, beside everything else: whatever they do, it holds up nothing."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from monitor.actions.actor import Actor
from monitor.actions.operator import Operator
from monitor.common.failure import failure
from monitor.daemon.reload import Running
from monitor.store import StoreError
from monitor.verify.asker import Asker
from monitor.verify.verifier import Verifier

__all__ = ["Issuers"]

log = structlog.get_logger(__name__)

_ONCE = 60.0  # seconds that `--once` gives to issuers
_BEGIN = 5.0  # seconds that a slow database may hold up the start


class Issuers:
    """What asks them and what acts, with the configuration in force."""

    def __init__(self, running: Running) -> None:
        site, redact, seen = running.site, running.site.scanner.redact, running.site.snapshot
        verifier = Verifier(running.config.verify, redact=redact)
        self.asker = Asker(
            site.store,
            verifier,
            site.scanner.key,
            lambda: site.scanner.engine,
            lambda: running.config,
            count=lambda verdict: seen.verdicts.update([(verdict.provider, verdict.status)]),
        )
        actor = Actor(proxy=lambda: running.config.verify.proxy, redact=redact)
        self.operator = Operator(
            site.store,
            self.asker,
            actor,
            lambda: running.config,
            lambda action, outcome: seen.acted.update([(action, outcome)]),
        )
        self._store = site.store

    async def begin(self) -> None:
        """Note where the trail ends, before a source brings anything: what comes from then on is news."""
        self._store.on_change(self.asker.wake)
        self._store.on_change(self.operator.wake)
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_BEGIN):
                await self.asker.look()
                await self.operator.look()

    async def once(self) -> None:
        """Ask and do what is due now, for as long as an end can be waited for. What is not done by then waits."""
        try:
            async with asyncio.timeout(_ONCE):
                await self.asker.once()
                await self.operator.once()
        except (StoreError, TimeoutError):
            log.warning("issuers: not everything was asked or done in time; it is stored for the next run")
        except Exception as error:  # noqa: BLE001 - a supervision boundary: what was found is told all the same
            log.error("asking issuers failed", **failure(error))
