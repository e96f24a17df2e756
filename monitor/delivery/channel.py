"""One sink and the one loop that sends, retries, splits and buries what is meant for it.

A sink that refuses everything is set up wrongly; one that refuses something and takes the rest has been sent something
it cannot take. Only the latter is buried: what a wrongly set up sink refuses is tried again, with long pauses.
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from monitor.common.backoff import backoff
from monitor.common.http import MAX_WAIT, RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.common.tasks import within
from monitor.common.wording import ago
from monitor.store import Leased, Store, StoreError
from sinks.base import Sink, TooLargeError

__all__ = ["BUCKETS", "Channel", "Patience", "SinkStats"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

# Upper bounds of the histogram, in seconds: from made to accepted.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

_LEASE_SLACK = 30.0  # a lease outlives the longest send by this much
_TOO_LARGE = 413  # the HTTP status
_CLOSING = 2.0  # seconds that a write may still take when its task is cancelled
_DIRECT_KEPT = 100  # operational notices that wait in memory for one sink
_SETTLED_FAILURES = 3  # so many failures in a row are the sink's; fewer may be one notification's
_CUT_SHORT = "the monitor stopped before there was an answer"
_FAR = 300.0  # seconds; a Retry-After that is longer is reported
_PACED_BACKLOG = 15.0  # seconds of messages to a slow sink that may wait one by one; the rest is told together


@dataclass(slots=True)
class SinkStats:
    """Counters of one sink since start, and how it is now. Times are seconds since the epoch."""

    sent: int = 0
    failed: int = 0  # attempts that will be repeated
    dead: int = 0  # refused for good
    failing: int = 0  # failures since the last success
    refusing: str | None = None  # why it has refused everything since the last success; None: it has not
    last_sent: float | None = None
    last_error: str | None = None
    rests_until: float | None = None  # as it has asked for (Retry-After), where that is far
    pace: float = 0.0  # seconds that it wants from one message to the next
    delays: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))  # sent, by BUCKETS; last: longer
    delay_sum: float = 0.0  # seconds from made to accepted, of all that was sent

    def delivered(self, delay: float, now: float) -> None:
        """Accepted `delay` seconds after it was made."""
        self.failing, self.refusing, self.rests_until = 0, None, None
        self.sent += 1
        self.last_sent = now
        self.delays[bisect_left(BUCKETS, delay)] += 1
        self.delay_sum += max(delay, 0.0)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds: for an answer, after a first failure, after many."""

    send: float = 30.0
    first: float = 1.0
    longest: float = 300.0


@dataclass(slots=True)
class _Direct:
    """A notice that waits in memory. `made`: seconds since the epoch. `taken` is done once a sink took it."""

    notification: Notification
    made: float
    taken: asyncio.Future[None] | None = None
    attempts: int = 0
    suspect: float | None = None  # monotonic: when it was first refused


class Channel:
    """Brings one sink its notices first, then what waits in the outbox. `run` until cancelled or told to stop."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        stats: SinkStats,
        *,
        store: Store,
        owner: str,
        render: Callable[[Leased], Notification],
        refused: Callable[[Leased, RemoteError], Awaitable[bool]],
        rests: Callable[[str], None] = lambda said: None,
        accepted: Callable[[], None] = lambda: None,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`owner`: names this process in leases. `refused`: tells others, and answers whether the fallback has it
        now. `rests`: is told what the sink said that is to be left alone for long. `accepted`: the sink works again.
        """
        self.name, self.stats, self._sink, self._store, self._owner = name, stats, sink, store, owner
        stats.pace = sink.limits.pace
        self._render, self._refused, self._rests, self._accepted = render, refused, rests, accepted
        self._patience, self._clock = patience, clock

        self._wake = asyncio.Event()
        self._stopping = False
        self._paced = True  # of many at once it is told a message a minute
        self._due = True  # the outbox may hold something for us
        self._direct: deque[_Direct] = deque(maxlen=_DIRECT_KEPT)
        self._failed_direct = False
        self._leasing: asyncio.Task[Sequence[Leased]] | None = None
        self._flying: set[asyncio.Task[bool]] = set()
        self._held: set[str] = set()  # ids of what is leased
        self._begun: set[str] = set()  # of these, ids of what may have arrived

        self._not_before = 0.0  # monotonic: the whole sink rests
        self._strikes = 0  # rounds of failures since the last success
        self._struck = 0.0  # monotonic: when the last round ended
        self._well = float("-inf")  # monotonic: when the last thing to be accepted was sent
        self._in_part = False  # some did not take what it was sent last
        self._suspects: dict[str, float] = {}  # id of what was refused → monotonic, when it first was

    # From outside

    def wake(self) -> None:
        """Look into the outbox."""
        self._due = True
        self._wake.set()

    def hurry(self) -> None:
        """Somebody asks for it: rest no longer."""
        self._not_before = 0.0
        self.wake()

    def flush(self) -> None:
        """Nothing waits for its turn any more: the monitor is about to end."""
        self._paced = False
        self.wake()

    def post(self, notification: Notification, taken: asyncio.Future[None] | None = None) -> None:
        """Send it without the database; kept in memory until the sink took it. `taken` is done then."""
        self._direct.append(_Direct(notification, self._clock(), taken))
        self._wake.set()

    def stop(self) -> None:
        """Lease nothing more, let what is being sent finish; `run` returns then."""
        self._stopping = True
        self._wake.set()

    def inherit(self, before: Channel) -> None:
        """Take over the notices that an earlier channel of this name could not send."""
        self._direct.extend(before._direct)

    @property
    def waiting(self) -> int:
        """Notices that are not sent yet."""
        return len(self._direct)

    # The loop

    async def run(self) -> None:
        """Raises StoreError; may be called again then."""
        try:
            while True:
                self._wake.clear()
                pause = self._step()
                if self._stopping and not self._flying and self._leasing is None:
                    return
                await within(pause, self._wake.wait())
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """Give back what is leased and not sent. What was being sent counts as tried: perhaps it arrived. A duplicate
        with the same id beats a miss, and nothing may be added to it that a receiver would take for a repeat."""
        tasks: list[asyncio.Task[Any]] = [*self._flying, *([self._leasing] if self._leasing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        leasing, self._leasing = self._leasing, None
        if leasing is not None and not leasing.cancelled() and not leasing.exception():
            self._held.update(leased.id for leased in leasing.result())
        held = [
            self._store.outbox.put_back(id_, self._owner, error=_CUT_SHORT if id_ in self._begun else None)
            for id_ in self._held
        ]
        self._held.clear()
        self._begun.clear()
        if held:
            await _closing(asyncio.gather(*held))

    def _step(self) -> float | None:
        """Start what can be started. Returns the seconds until more can; None: as soon as something happens."""
        if self._leasing is not None and self._leasing.done():
            leasing, self._leasing = self._leasing, None
            for leased in leasing.result():
                self._held.add(leased.id)
                self._dispatch(self._deliver, leased)

        rest = self._not_before - time.monotonic()
        if rest > 0 and not self._stopping:
            return rest
        # After a failure one at a time, to see how it is.
        room = (1 if self.stats.failing else self._sink.limits.in_flight) - len(self._flying)
        # A notice about the database waits neither for a lease nor for a receipt that it cannot take.
        spare = 1 if self._direct and room <= 0 and self._store.degraded and len(self._flying) <= 1 else 0
        if room + spare <= 0:
            return None

        # One that fails lets the outbox go first once, or it would hold all of it up.
        yields = self._failed_direct and self._due and self._leasing is None and not self._stopping
        yields = yields and not self._store.degraded
        if self._direct and not yields and not (self._stopping and self._direct[0].attempts):
            self._dispatch(self._tell, self._direct.popleft())
            return 0.0 if room > 1 else None
        if self._leasing is None and room > 0 and self._due and not self._stopping:
            self._due = self._failed_direct = False
            self._leasing = asyncio.create_task(self._lease(room))
            self._leasing.add_done_callback(lambda _: self._wake.set())
            return 0.0 if self._direct else None
        return None

    async def _lease(self, room: int) -> Sequence[Leased]:
        limits = self._sink.limits
        # Where there is more, that is heard when one of these has landed.
        return await self._store.outbox.lease(
            self.name,
            self._owner,
            self._patience.send + _LEASE_SLACK,
            room,
            most=limits.incidents,
            backlog=int(_PACED_BACKLOG / limits.pace) if limits.pace else None,
            paced=self._paced,
            read=limits.read,
        )

    def _dispatch(self, work: Callable[[_T], Awaitable[bool]], item: _T) -> None:
        """`work` answers whether the outbox may hold something to be sent now."""
        task = asyncio.create_task(self._guarded(work, item))
        self._flying.add(task)

        def delivered(task: asyncio.Task[bool]) -> None:
            self._flying.discard(task)
            self._due |= task.cancelled() or task.result()
            self._wake.set()

        task.add_done_callback(delivered)

    async def _guarded(self, work: Callable[[_T], Awaitable[bool]], item: _T) -> bool:
        try:
            return await work(item)
        except StoreError as error:
            log.error("delivery waits for the state database", part=self.name, reason=str(error))
        except Exception as error:  # the supervision boundary
            log.exception("delivery failed unexpectedly; it goes on", part=self.name, error=type(error).__name__)
        return True

    # One notification

    async def _deliver(self, leased: Leased) -> bool:
        if self._stopping:
            return True  # `run` gives it back
        more = True
        began = time.monotonic()
        try:
            notification = self._render(leased)
            self._begun.add(leased.id)
            receipt = await self._send(notification)
        except RemoteError as error:
            if error.partly is not None:
                await _shielded(self._store.outbox.partly(leased.id, self.name, error.partly))
            if isinstance(error, TooLargeError) or error.status == _TOO_LARGE:
                await self._split(leased, error)
            else:
                await (self._retry if error.again(leased.attempts + 1) else self._refuse)(leased, error, began)
        else:
            more = await self._took(leased, receipt, began)
        self._held.discard(leased.id)
        self._begun.discard(leased.id)
        return more

    async def _tell(self, direct: _Direct) -> bool:
        began = time.monotonic()
        try:
            await self._send(direct.notification)
        except RemoteError as error:
            if error.partly is not None:
                direct.notification = replace(direct.notification, partly=error.partly)
            final = not error.again(direct.attempts + 1)
            if error.partly and final:
                log.error("not all whom a sink alerts took an operational notice", sink=self.name, error=str(error))
                await self._succeed(direct.made, began, whole=False)
                return True
            direct.attempts += 1
            self._backoff(error, began, direct.attempts)
            self._failed_direct = True
            if final and direct.suspect is not None and direct.suspect < self._well:
                self.stats.dead += 1
                log.error("a sink refused an operational notice", sink=self.name, error=str(error))
                return True
            self._direct.appendleft(direct)
            if final:
                direct.suspect = time.monotonic() if direct.suspect is None else direct.suspect
                self.stats.refusing = str(error)
        except asyncio.CancelledError:
            self._direct.appendleft(direct)
            raise
        else:
            if direct.taken is not None and not direct.taken.done():
                direct.taken.set_result(None)
            await self._succeed(direct.made, began)
        return True

    async def _send(self, notification: Notification) -> Receipt | None:
        """Raises RemoteError only: a hang or a mistake in a sink is something to try again."""
        if self._sink.limits.pace:
            self._not_before = max(self._not_before, time.monotonic() + self._sink.limits.pace)
        try:
            async with asyncio.timeout(self._patience.send):
                return await self._sink.send(notification)
        except RemoteError:
            raise
        except TimeoutError:
            raise RemoteError(f"no answer within {self._patience.send:g} s", retry=True) from None
        except Exception as error:  # noqa: BLE001 # the supervision boundary around foreign code
            # Only the type: the text of an unexpected error may show what a URL or a header held.
            raise RemoteError(f"unexpected {type(error).__name__} in the sink", retry=True) from None

    # What came of it

    async def _took(self, leased: Leased, receipt: Receipt | None, began: float) -> bool:
        """Whether more waits: what its key held back may go now."""
        self._suspects.pop(leased.id, None)
        more = await _shielded(self._store.outbox.sent(leased.id, receipt, leased.receipt))
        await self._succeed(leased.created_at, began)
        return more

    async def _succeed(self, made: float, began: float, *, whole: bool = True) -> None:
        recovered = self._works(began)
        whole_again, self._in_part = self._in_part and whole, not whole
        now = self._clock()
        self.stats.delivered(now - made, now)
        if (recovered and whole) or whole_again:
            self._accepted()
        if recovered:
            await self._store.outbox.try_at_once(self.name)

    def _works(self, began: float) -> bool:
        """It took something, sent at `began`. Whether that is news."""
        stats = self.stats
        recovered = stats.failing >= _SETTLED_FAILURES or stats.refusing is not None or stats.rests_until is not None
        stats.failing, stats.refusing, stats.rests_until = 0, None, None
        self._well = max(self._well, began)
        self._strikes = 0
        if recovered:
            log.info("the sink works again", sink=self.name)
        return recovered

    async def _retry(self, leased: Leased, error: RemoteError, began: float) -> None:
        wait = self._backoff(error, began, leased.attempts + 1)
        log.warning(
            "a notification could not be delivered; it will be tried again",
            sink=self.name,
            notification=leased.id,
            attempt=leased.attempts + 1,
            wait=round(wait, 1),
            error=str(error),
        )
        await _shielded(self._store.outbox.put_back(leased.id, self._owner, error=_said(error), delay=wait))

    async def _refuse(self, leased: Leased, error: RemoteError, began: float) -> None:
        """Refused for good, it says. That is so once it has taken something else that was sent since: what was under
        way before may be answered later, and tells how the sink was then."""
        guilty = bool(error.partly) or self._suspects.get(leased.id, float("inf")) < self._well
        if error.partly:  # it works, and who is left out would be refused again
            self._in_part = True
            if self._works(began):
                await self._store.outbox.try_at_once(self.name)
        handed = await self._refused(leased, error)
        if handed or guilty:
            self._suspects.pop(leased.id, None)
            self.stats.dead += 1
            self.stats.last_error = str(error)
            if not handed:
                await _shielded(self._store.outbox.give_up(leased.id, str(error), None))
            log.error("a sink refused a notification for good", sink=self.name, notification=leased.id, handed=handed)
            return
        self._suspects.setdefault(leased.id, time.monotonic())
        self.stats.refusing = str(error)
        await self._retry(leased, error, began)

    async def _split(self, leased: Leased, error: RemoteError) -> None:
        if len(leased.incidents) > 1:
            parts = error.parts if isinstance(error, TooLargeError) else 2
            split = self._store.outbox.split(
                leased.id, self._owner, parts, paced=self._paced, read=self._sink.limits.read
            )
            await _shielded(split)
            return
        self.stats.dead += 1
        self.stats.last_error = str(error)
        if not await self._refused(leased, error):
            await _shielded(self._store.outbox.give_up(leased.id, str(error), None))

    def _backoff(self, error: RemoteError, began: float, attempts: int) -> float:
        """Count a failure, rest, and return the seconds until it is tried again."""
        self.stats.failed += 1
        self.stats.failing += 1
        self.stats.last_error = _said(error)
        if began >= self._struck:  # those that were under way together count once
            self._strikes += 1
            self._struck = time.monotonic()
        own = backoff(attempts, self._patience.first, self._patience.longest)
        shared = backoff(self._strikes, self._patience.first, self._patience.longest)
        if error.after:
            own = shared = self._told(error.after)
            if error.after > _FAR:
                self.stats.rests_until = self._clock() + own
                self._rests(_said(error))
        if error.retry or self._strikes >= _SETTLED_FAILURES:
            self._not_before = max(self._not_before, time.monotonic() + shared)
        return own

    def _told(self, after: float) -> float:
        """The sink said when. A little later, so that not everybody returns at that instant, and never at once: with a
        Retry-After of next to nothing (none at all, or a date gone by, is no word of when) it would be a loop."""
        return max(after, self._patience.first / 2) + random.uniform(0.0, min(1.0, after / 10))  # noqa: S311 # jitter


def _said(error: RemoteError) -> str:
    """What it answered, with the wait that it asks for where that is far; more than MAX_WAIT is not waited."""
    if not error.after or error.after <= _FAR:
        return str(error)
    more = " or longer" if error.after >= MAX_WAIT else ""
    return f"{error}; it asks to be left alone for {ago(error.after)}{more} (Retry-After)"


async def _shielded(write: Awaitable[_T]) -> _T:
    """What it returns. When this is cancelled, it is not: it gets a moment to end, so that no lease is left behind."""
    task = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _closing(task)
        raise


async def _closing(write: Awaitable[object]) -> None:
    """Give it a moment, whatever comes of it: the database may be out of reach, and we are to end."""
    task = asyncio.ensure_future(write)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # else asyncio complains of a failure
    await asyncio.wait([task], timeout=_CLOSING)
