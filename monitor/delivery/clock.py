"""What is due, and for whom: groups whose time has come, and sinks that have something to send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.common.tasks import whenever
from monitor.store import AT_ONCE, Store

__all__ = ["Clock"]

POLL = 1.0  # seconds until rows written by another process are noticed
_REST = 0.1  # seconds from a change to the look: until then sinks have seen for themselves, and more may have changed
_SLACK = 5.0  # seconds; a clock put back by more makes what waits wait for as much longer


class Clock:
    """Looks at the agenda whenever something has changed, and as often as other processes may have written."""

    def __init__(self, store: Store, due: Callable[[str, bool], None]) -> None:
        """`due` is told the name of each sink that has something to send, and whether somebody has asked for it to be
        sent at once.
        """
        self._store, self._due = store, due
        self._now = store.now
        self._looked = store.now()  # a clock that is put back before the first look is put back as well
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Raises StoreError."""
        await whenever(self._wake, self._look, longest=POLL, failed=_failed, rest=_REST)

    async def _look(self) -> float:
        """Returns the seconds until the next look."""
        now = self._now()
        if now < self._looked - _SLACK:
            await self._store.groups.look_again()
        self._looked = now  # not before: where the database is away, the next look finds the clock put back as well

        due, waiting = await self._store.groups.agenda()
        if due is not None and due <= now:
            await self._store.groups.tick(since=now - _SLACK)
            due, waiting = await self._store.groups.agenda()
        soonest = [due] if due is not None else []
        for name, at in waiting.items():
            if at > self._now():
                soonest.append(at)
            else:
                self._due(name, at == AT_ONCE)
        # Other processes write too (`monitor incidents ack`): never sleep past the poll.
        return max(min([POLL, *(at - self._now() for at in soonest)]), 0.01)


def _failed(error: Exception) -> None:
    raise error
