"""The outbox worker: lease, send, retry, dead-letter. One task a sink, so that a stuck one holds up no other."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from monitor.common import notification as told
from monitor.common.backoff import backoff
from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.common.severity import Severity, rank, worst
from monitor.incidents import Incident
from monitor.store import Leased, Store, StoreError, owner_name
from sinks.base import Sink

__all__ = ["FIRST_STEP", "Delivery", "Links", "SinkStats", "present"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

FIRST_STEP = "Revoke the secret where it was issued, then replace it wherever it is used."

_POLL = 1.0  # seconds until rows written by another process are noticed
_LEASE_SLACK = 30.0  # a lease outlives the longest send by this much
_PARTING = 2.0  # seconds that a write may still take when its task is cancelled
_TIDY_EVERY = 3600.0
_CLOCK_SLACK = 5.0  # seconds; a clock put back by more makes what waits wait for as much longer
_DIRECT_KEPT = 100  # operational notices that wait in memory for one sink
_SETTLED_FAILURES = 3  # so many failures in a row are the sink's; fewer may be one notification's


@dataclass(frozen=True, slots=True)
class Links:
    """Where alerts point to, without a slash at the end; None: no link."""

    console: str | None = None  # → {console}/incidents/{id}
    runbooks: str | None = None  # → {runbooks}/{name}


@dataclass(slots=True)
class SinkStats:
    """Counters of one sink since start, and how it is now. Times are seconds since the epoch."""

    sent: int = 0
    failed: int = 0  # attempts that will be repeated
    dead: int = 0  # refused for good
    failing: int = 0  # failures since the last success
    last_sent: float | None = None
    last_error: str | None = None
    latency: float | None = None  # seconds the last successful send took


@dataclass(slots=True)
class _Channel:
    """A configured sink and its tasks."""

    name: str
    sink: Sink
    stats: SinkStats
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    # One send at a time, whether from the outbox or direct.
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    direct: deque[Notification] = field(default_factory=lambda: deque(maxlen=_DIRECT_KEPT))
    direct_wake: asyncio.Event = field(default_factory=asyncio.Event)
    not_before: float = 0.0  # monotonic: the whole sink backs off
    stopping: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Delivery:
    """Brings the outbox to the sinks. `run` until cancelled; `drain` before, for a clean end."""

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Sink],
        *,
        fallbacks: Mapping[str, str | None] | None = None,
        links: Links = Links(),
        first_step: Callable[[str | None], str | None] = lambda runbook: None,
        send_timeout: float = 30.0,
        retry_first: float = 1.0,
        retry_longest: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`fallbacks`: sink → the sink that takes what it refuses. `first_step`: runbook name (or None) → one sentence
        for the alert, None for the built-in one. Times in seconds.
        """
        self._store = store
        self._links = links
        self._first_step = first_step
        self._send_timeout = send_timeout
        self._retry_first, self._retry_longest = retry_first, retry_longest
        self._clock = clock
        self._owner = owner_name()
        self._fallbacks = dict(fallbacks or {})
        self._stats: dict[str, SinkStats] = {}
        self._channels = {name: self._channel(name, sink) for name, sink in sinks.items()}
        self._wake = asyncio.Event()
        self._running = False
        self._draining = False
        self._noticed: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        store.on_change(self.wake)

    async def run(self) -> None:
        """Deliver until cancelled. Survives a database that cannot be written, and mistakes in a sink."""
        self._running = True
        try:
            for channel in self._channels.values():
                self._start(channel)
            await self._supervise("outbox", self._tick_forever)
        finally:
            self._running = False
            await self._stop(list(self._channels.values()), timeout=0.0)

    def wake(self) -> None:
        """Something may be due. Sinks look for themselves: that is sooner than asking the clock first."""
        self._wake.set()
        for channel in self._channels.values():
            channel.wake.set()

    async def replace(self, sinks: Mapping[str, Sink], fallbacks: Mapping[str, str | None] | None = None) -> None:
        """Go on with other sinks (a reload). Returns when no sink of before is in use any more: close them then.

        Assign `store.policy` first: what waits for a sink that is gone goes where the routes lead now.
        """
        before = list(self._channels.values())
        for channel in before:
            channel.stopping = True
            channel.wake.set()
            channel.direct_wake.set()
        await self._stop(before, timeout=self._send_timeout + 1)
        self._fallbacks = dict(fallbacks or {})
        self._channels = {name: self._channel(name, sink) for name, sink in sinks.items()}
        for channel in before:
            if channel.direct and channel.name in self._channels:
                self._channels[channel.name].direct.extend(channel.direct)
        if self._running:
            for channel in self._channels.values():
                self._start(channel)
            await self._adopt()
        self.wake()

    async def drain(self, timeout: float) -> None:
        """Lease nothing more, let what is being sent finish, give back the rest. Then cancel `run`."""
        self._draining = True
        channels = list(self._channels.values())
        for channel in channels:
            channel.stopping = True
            channel.wake.set()
            channel.direct_wake.set()
        await self._stop(channels, timeout)

    async def settle(self, timeout: float | None = None) -> int:
        """For `--once`: send everything, also what waits for its group; `run` must be running.

        Returns how many are left unsent after `timeout` seconds (None: waits for as long as it takes).
        """
        deadline = None if timeout is None else self._clock() + timeout
        await self._store.groups.tick(flush=True)
        while True:
            self._wake.set()
            left = await self._store.outbox.unsent()
            waiting = sum(len(channel.direct) for channel in self._channels.values())
            if left + waiting == 0 or (deadline is not None and self._clock() >= deadline):
                return left
            await asyncio.sleep(0.05)

    def send_direct(self, notification: Notification, *, sinks: Sequence[str] | None = None) -> None:
        """Send without the database: for trouble with the database itself. Kept in memory until each sink took it.

        `sinks` None: those to which the routes send its severity, else all.
        """
        if sinks is None:
            policy = self._store.policy
            seen = {"severity": notification.severity, "rule": notification.reason, "state": "open"}
            sinks = [target.sink for target in policy.targets(seen, notification.key)]
            sinks = [name for name in dict.fromkeys(sinks) if name in self._channels] or list(self._channels)
        for name in sinks:
            if channel := self._channels.get(name):
                channel.direct.append(notification)
                channel.direct_wake.set()

    def operational(
        self,
        title: str,
        text: str = "",
        *,
        severity: Severity = "high",
        key: str | None = None,
        every: float = 3600.0,
        sinks: Sequence[str] | None = None,
    ) -> bool:
        """Tell about the monitor itself, directly, at most once `every` seconds for one `key` (default: the title)."""
        key = key or title
        now = self._clock()
        last = self._noticed.get(key)
        if last is not None and last <= now < last + every:
            return False
        self._noticed[key] = now
        notification = Notification(
            id=uuid.uuid4().hex,
            key=f"operational:{key}",
            reason="operational",
            title=title,
            text=text,
            severity=severity,
            url=self._links.console,
        )
        self.send_direct(notification, sinks=sinks)
        return True

    def stats(self) -> Mapping[str, SinkStats]:
        """By sink, also of sinks that were configured before a reload."""
        return self._stats

    # Supervision

    def _channel(self, name: str, sink: Sink) -> _Channel:
        return _Channel(name, sink, self._stats.setdefault(name, SinkStats()))

    def _start(self, channel: _Channel) -> None:
        if self._draining:
            return
        channel.tasks = [
            asyncio.create_task(
                self._supervise(channel.name, lambda: self._drain_outbox(channel)), name=f"deliver-{channel.name}"
            ),
            asyncio.create_task(
                self._supervise(channel.name, lambda: self._drain_direct(channel)), name=f"direct-{channel.name}"
            ),
        ]

    async def _stop(self, channels: Sequence[_Channel], timeout: float) -> None:
        tasks = [task for channel in channels for task in channel.tasks]
        if tasks and timeout > 0:
            await asyncio.wait(tasks, timeout=timeout)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, name: str, work: Callable[[], object]) -> None:
        """Alerts must keep flowing: what no handler below expects is logged, and the work begins anew."""
        while True:
            try:
                await work()  # type: ignore[misc]
                return
            except StoreError as error:
                log.error("delivery waits for the state database", part=name, reason=str(error))
            except Exception as error:  # the supervision boundary
                log.exception("delivery failed unexpectedly; it goes on", part=name, error=type(error).__name__)
            await asyncio.sleep(_POLL)

    async def _adopt(self) -> None:
        released, orphans = await self._store.groups.adopt(self._owner, list(self._channels))
        if released:
            log.info("took over notifications that an earlier process had not finished", count=released)
        if orphans:
            log.warning("notifications waited for sinks that are not configured any more", count=orphans)

    # The clock: what is due, and for whom

    async def _tick_forever(self) -> None:
        await self._adopt()
        now = tidied = float("-inf")
        while True:
            self._wake.clear()
            before, now = now, self._clock()
            if now < before - _CLOCK_SLACK:
                await self._store.outbox.try_at_once()
            if now >= tidied + _TIDY_EVERY or now < tidied:
                await self._store.outbox.tidy()
                tidied = now
            due, waiting = await self._store.groups.agenda()
            if due is not None and due <= now:
                await self._store.groups.tick()
                due, waiting = await self._store.groups.agenda()
            soonest = [due] if due is not None else []
            for name, at in waiting.items():
                if at > self._clock():
                    soonest.append(at)
                elif channel := self._channels.get(name):
                    channel.wake.set()
            # Other processes write too (`monitor incidents ack`): never sleep past the poll.
            pause = min([_POLL, *(at - self._clock() for at in soonest)])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.01)):
                    await self._wake.wait()

    # One sink

    async def _drain_outbox(self, channel: _Channel) -> None:
        while not channel.stopping:
            await self._rest(channel)
            channel.wake.clear()
            if channel.stopping:
                return
            leased = await self._store.outbox.lease(channel.name, self._owner, self._send_timeout + _LEASE_SLACK)
            if leased is None:
                await channel.wake.wait()
                continue
            await self._deliver(channel, leased)

    async def _deliver(self, channel: _Channel, leased: Leased) -> None:
        if channel.stopping:
            await _surely(self._store.outbox.put_back(leased.id, self._owner, error=None))
            return
        notification = self._render(leased)
        try:
            async with channel.busy:
                receipt = await self._send(channel, notification)
        except RemoteError as error:
            if error.retry:
                await self._retry(channel, leased, error)
            else:
                await self._bury(channel, leased, error)
            return
        except asyncio.CancelledError:
            # Shut down while sending: perhaps it arrived. A duplicate with the same id beats a miss.
            await _parting(self._store.outbox.put_back(leased.id, self._owner, error=None))
            raise
        recovered = channel.stats.failing >= _SETTLED_FAILURES
        channel.stats.failing = 0
        channel.stats.sent += 1
        channel.stats.last_sent = self._clock()
        await _surely(self._store.outbox.sent(leased.id, receipt))
        if recovered:
            log.info("the sink works again", sink=channel.name)
            await self._store.outbox.try_at_once(channel.name)
        # Whatever this key held back may go now.
        channel.wake.set()

    async def _retry(self, channel: _Channel, leased: Leased, error: RemoteError) -> None:
        self._failed(channel, str(error))
        own = backoff(leased.attempts + 1, self._retry_first, self._retry_longest)
        shared = backoff(channel.stats.failing, self._retry_first, self._retry_longest)
        if error.after:
            own = shared = self._told(error.after)
        channel.not_before = time.monotonic() + shared
        log.warning(
            "a notification could not be delivered; it will be tried again",
            sink=channel.name,
            notification=leased.id,
            attempt=leased.attempts + 1,
            wait=round(own, 1),
            error=str(error),
        )
        await _surely(self._store.outbox.put_back(leased.id, self._owner, error=str(error), delay=own))

    def _told(self, after: float) -> float:
        """The sink said when. A little later, so that not everybody returns at that instant, and never at once: with a
        Retry-After of next to nothing (none at all, or a date gone by, is no word of when) it would be a loop."""
        return max(after, self._retry_first / 2) + random.uniform(0.0, min(1.0, after / 10))  # noqa: S311 # jitter

    async def _bury(self, channel: _Channel, leased: Leased, error: RemoteError) -> None:
        channel.stats.dead += 1
        channel.stats.last_error = str(error)
        fallback = self._fallbacks.get(channel.name)
        if fallback not in self._channels:
            fallback = None
        follower = await _surely(self._store.outbox.give_up(leased.id, str(error), fallback))
        log.error(
            "a sink refused a notification for good",
            sink=channel.name,
            notification=leased.id,
            error=str(error),
            fallback=fallback if follower else None,
        )
        outcome = (
            f"It was handed to the fallback sink {fallback}."
            if follower
            else "It has no further fallback: set `fallback` on the sink, mend it, and see the dead letters."
        )
        others = [name for name in self._channels if name != channel.name and name not in leased.tried]
        if others:
            self.operational(
                f"Sink {channel.name} refuses notifications",
                f"{error}. {outcome}",
                key=f"refused:{channel.name}",
                sinks=others,
            )
        channel.wake.set()

    async def _drain_direct(self, channel: _Channel) -> None:
        attempt = 0
        while True:
            channel.direct_wake.clear()
            if not channel.direct:
                if channel.stopping:
                    return
                await channel.direct_wake.wait()
                continue
            if channel.stopping and attempt:
                return
            notification = channel.direct[0]
            wait = None
            try:
                async with channel.busy:
                    await self._send(channel, notification)
                channel.stats.sent += 1
            except RemoteError as error:
                attempt += 1
                if error.retry:
                    self._failed(channel, str(error))
                    wait = backoff(attempt, self._retry_first, self._retry_longest)
                    if error.after:
                        wait = self._told(error.after)
                else:
                    channel.stats.dead += 1
                    channel.stats.last_error = str(error)
                    log.error("a sink refused an operational notice", sink=channel.name, error=str(error))
            if wait is None:
                attempt = 0
                # It may have been pushed out at the other end while it was sent.
                with contextlib.suppress(ValueError):
                    channel.direct.remove(notification)
            else:
                await self._pause(channel.direct_wake, channel, wait)

    async def _send(self, channel: _Channel, notification: Notification) -> Receipt | None:
        """Raises RemoteError only: a hang or a mistake in a sink is something to try again."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._send_timeout):
                receipt = await channel.sink.send(notification)
        except RemoteError:
            raise
        except TimeoutError:
            raise RemoteError(f"no answer within {self._send_timeout:g} s", retry=True) from None
        except Exception as error:  # noqa: BLE001 # the supervision boundary around foreign code
            # Only the type: the text of an unexpected error may show what a URL or a header held.
            raise RemoteError(f"unexpected {type(error).__name__} in the sink", retry=True) from None
        channel.stats.latency = time.monotonic() - started
        return receipt

    def _failed(self, channel: _Channel, error: str) -> None:
        channel.stats.failed += 1
        channel.stats.failing += 1
        channel.stats.last_error = error

    async def _rest(self, channel: _Channel) -> None:
        """Until the sink may be tried again."""
        while not channel.stopping and (left := channel.not_before - time.monotonic()) > 0:
            await self._pause(channel.wake, channel, left)

    async def _pause(self, event: asyncio.Event, channel: _Channel, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not channel.stopping and (left := until - time.monotonic()) > 0:
            event.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await event.wait()

    def _render(self, leased: Leased) -> Notification:
        shown = sorted(leased.incidents, key=lambda one: (-rank(one.severity), -one.last_seen))
        ready = tuple(present(one, links=self._links, first_step=self._first_step) for one in shown)
        url = ready[0].url if len(ready) == 1 else None
        if url is None and self._links.console:
            url = f"{self._links.console}/incidents"
        title = leased.title
        if not title and leased.reason == "digest":
            title = f"{len(ready)} new incidents"
        return Notification(
            id=leased.id,
            key=leased.key,
            reason=leased.reason,
            incidents=ready,
            url=url,
            runbook=ready[0].runbook if ready else None,
            title=title,
            text=leased.text,
            severity=worst(one.severity for one in ready) if ready else leased.severity,
            receipt=leased.receipt,
        )


async def _surely(write: Awaitable[_T]) -> _T:
    """What it returns. When this is cancelled, it is not: it gets a moment to end, so that no lease is left behind."""
    task = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _parting(task)
        raise


async def _parting(write: Awaitable[object]) -> None:
    """Give it a moment, whatever comes of it: the database may be out of reach, and we are to end."""
    task = asyncio.ensure_future(write)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # else asyncio complains of a failure
    await asyncio.wait([task], timeout=_PARTING)


def present(
    incident: Incident,
    *,
    links: Links = Links(),
    first_step: Callable[[str | None], str | None] = lambda runbook: None,
) -> told.Incident:
    """An incident as sinks show it."""
    runbook = f"{links.runbooks}/{incident.runbook}" if links.runbooks and incident.runbook else None
    return told.Incident(
        id=incident.id,
        fingerprint=incident.fingerprint,
        rule=incident.rule,
        name=incident.name,
        severity=incident.severity,
        state=incident.state,
        masked=incident.masked,
        first_seen=datetime.fromtimestamp(incident.first_seen, UTC),
        last_seen=datetime.fromtimestamp(incident.last_seen, UTC),
        occurrences=incident.occurrences,
        locations=incident.locations,
        owner=incident.owner,
        first_step=first_step(incident.runbook) or FIRST_STEP,
        runbook=runbook,
        url=f"{links.console}/incidents/{incident.id}" if links.console else None,
        labels=incident.labels,
    )
