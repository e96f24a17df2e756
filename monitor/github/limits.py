"""The request budget of one GitHub token, shared by every source that uses it.

Three limits are kept at once: GitHub's primary quota (an hour's worth, read from the answers), the secondary limit of
900 points a minute (a read 1, a write 5), and at most one write a second. A refusal makes every user of the token wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from weakref import WeakValueDictionary

from monitor.common.backoff import backoff
from monitor.common.http import retry_after

__all__ = ["Quota", "RequestBudget", "shared"]

BURST = 300.0  # points that may go at once; with RATE this stays within 900 in any minute
RATE = 10.0  # points a second
READ, WRITE = 1, 5
WRITE_GAP = 1.0  # seconds between writes
CONCURRENT = 8  # GitHub allows 100; more would only race the other limits
FIRST_BACKOFF, LAST_BACKOFF = 60.0, 900.0  # a refusal that says nothing: from a minute on


@dataclass(slots=True)
class Quota:
    """What GitHub last said of one resource (`core`, `code_search`, …). `reset` is on our monotonic clock."""

    limit: int
    remaining: int
    reset: float


@dataclass(eq=False)
class RequestBudget:
    """Waits before a request may leave. `reserve` is the part of the quota that background work leaves to others."""

    reserve: float = 0.1
    backoff: float = FIRST_BACKOFF
    quotas: dict[str, Quota] = field(default_factory=dict)
    skew: float = 0.0  # GitHub's clock minus ours, seconds
    refusals: int = 0  # in a row
    _points: float = BURST
    _filled: float = field(default_factory=time.monotonic)
    _not_before: float = 0.0
    _last_write: float = 0.0
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT))
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def request(
        self, *, write: bool = False, background: bool = False, resource: str = "core"
    ) -> AsyncIterator[None]:
        """Hold a slot for one request, after whatever wait the limits ask for."""
        if write:
            async with self._writing:  # writes go one after the other, as GitHub asks
                await self._wait(WRITE, resource, background)
                await asyncio.sleep(self._last_write + WRITE_GAP - time.monotonic())
                try:
                    async with self._slots:
                        yield
                finally:
                    self._last_write = time.monotonic()
            return
        await self._wait(READ, resource, background)
        async with self._slots:
            yield

    async def _wait(self, points: int, resource: str, background: bool) -> None:
        while (delay := self.delay(points, resource, background)) > 0:  # noqa: ASYNC110 - its end may move meanwhile
            await asyncio.sleep(delay)
        self._points -= points
        if (quota := self.quotas.get(resource)) is not None:
            quota.remaining -= 1  # those in flight count, also while their answers are still to come

    def delay(self, points: int = READ, resource: str = "core", background: bool = False) -> float:
        """Seconds until a request may leave; 0 when it may now."""
        now = time.monotonic()
        self._points = min(BURST, self._points + (now - self._filled) * RATE)
        self._filled = now
        wait = max(0.0, self._not_before - now, (points - self._points) / RATE)
        quota = self.quotas.get(resource)
        floor = int(quota.limit * self.reserve) if quota and background else 0
        return max(wait, quota.reset - now) if quota and quota.remaining <= floor else wait

    def answered(self, status: int, headers: Mapping[str, str], *, resource: str = "core") -> None:
        """Learn from an answer's headers."""
        self._clock(headers)
        name = headers.get("x-ratelimit-resource") or resource
        limit, remaining = _number(headers, "x-ratelimit-limit"), _number(headers, "x-ratelimit-remaining")
        reset = _number(headers, "x-ratelimit-reset")
        if limit is not None and remaining is not None and reset is not None:
            # Against GitHub's own clock: ours may be wrong by hours.
            until = min(max(reset - (time.time() + self.skew), 0.0), 3600.0) + 1.0
            self.quotas[name] = Quota(int(limit), int(remaining), time.monotonic() + until)
        if status not in (403, 429):
            self.refusals = 0

    def refused(self, headers: Mapping[str, str], *, resource: str = "core") -> float:
        """A rate limit was hit: everybody waits. Returns for how many seconds."""
        self.refusals += 1
        after = retry_after(headers, self.skew)
        quota = self.quotas.get(headers.get("x-ratelimit-resource") or resource)
        if after is None and quota is not None and quota.remaining <= 0:
            after = max(quota.reset - time.monotonic(), 0.0)
            if resource != "core":
                return after  # only this resource waits; `delay` sees to it
        if after is None:
            after = backoff(self.refusals + 1, self.backoff, LAST_BACKOFF)  # at least the first
        self._not_before = max(self._not_before, time.monotonic() + after)
        return after

    def _clock(self, headers: Mapping[str, str]) -> None:
        try:
            server = parsedate_to_datetime(headers.get("date", "")).timestamp()
        except (TypeError, ValueError):
            return
        self.skew = server - time.time()


def _number(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name, "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


_budgets: WeakValueDictionary[tuple[str, str], RequestBudget] = WeakValueDictionary()


def shared(base_url: str, identity: str) -> RequestBudget:
    """The one budget of this token at this server; `identity` is a digest or an app's installation, never the token."""
    return _budgets.setdefault((base_url, identity), RequestBudget())
