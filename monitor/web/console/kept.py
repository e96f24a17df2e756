"""What takes long to count: kept for a while, for all who look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from monitor.store import StoreError

__all__ = ["KeptAnswer"]

_FRESH = 60.0  # seconds for which an answer serves every visitor: it is of all incidents of a month or three
_SHARE = 30  # and counting takes one part in so many of the time: 2 s of it among 100,000 incidents
_PATIENCE = 3.0  # seconds that a visitor waits for it
_RECENT, _GLANCE = 600.0, 0.1  # one of less than so many seconds ago is shown to who has waited this long

_T = TypeVar("_T")


class KeptAnswer(Generic[_T]):
    """The last one while the next is counted; nobody waits long for a database in trouble. It has to say of when it
    is."""

    def __init__(self, ask: Callable[[], Awaitable[_T]]) -> None:
        self._ask = ask
        self._last: _T | None = None
        self._counting: asyncio.Task[_T] | None = None
        self._counted, self._due = float("-inf"), float("-inf")  # monotonic

    async def now(self) -> tuple[_T | None, str]:
        """And why there is none of now; empty: there is."""
        recent = time.monotonic() < self._counted + _RECENT
        if self._counting is None and time.monotonic() > self._due:
            self._counting = asyncio.create_task(self._count())
            self._counting.add_done_callback(lambda task: task.cancelled() or task.exception())  # who looks is told
        if (task := self._counting) is None:
            return self._last, ""
        await asyncio.wait([task], timeout=_GLANCE if recent else _PATIENCE)
        if not task.done():
            return self._last, "" if recent else "they are being counted: reload in a moment"
        self._counting = None
        try:
            self._last, self._counted = task.result(), time.monotonic()
        except StoreError as error:
            return self._last, str(error)
        return self._last, ""

    async def _count(self) -> _T:
        began = time.monotonic()
        answer = await self._ask()
        self._due = time.monotonic() + max(_FRESH, (time.monotonic() - began) * _SHARE)
        return answer
