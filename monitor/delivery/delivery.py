"""Brings the outbox to the sinks: one channel a sink, so that a stuck one holds up no other, and a clock for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from monitor.common.http import RemoteError
from monitor.common.notification import Notification
from monitor.common.severity import Severity
from monitor.common.wording import moment
from monitor.delivery.channel import Channel, Patience, SinkStats
from monitor.delivery.clock import POLL, Clock
from monitor.delivery.notices import Notices
from monitor.delivery.render import render
from monitor.report.view import Books, Links, Offers
from monitor.store import Leased, Store, StoreError, owner_name
from sinks.base import Sink

__all__ = ["Delivery"]

_DAY = 86_400.0  # seconds

log = structlog.get_logger(__name__)


class Delivery:
    """`run` until cancelled; `drain` before, for a clean end."""

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Sink],
        *,
        fallbacks: Mapping[str, str | None] | None = None,
        links: Links = Links(),
        books: Books = lambda name: None,
        offers: Offers = lambda rule: (),
        patience: Patience = Patience(),
    ) -> None:
        """`fallbacks`: sink → the sink that takes what it refuses. `offers`: for a sink that people act through."""
        self._store, self._links, self._books, self._offers = store, links, books, offers
        self._patience = patience
        self._now = store.now
        self._owner = owner_name(store.node)
        self._fallbacks = dict(fallbacks or {})
        self._stats: dict[str, SinkStats] = {}
        self._channels = {name: self._channel(name, sink) for name, sink in sinks.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running = False
        self._draining = False
        self._clock = Clock(store, self._due)
        self._notices = Notices(
            policy=lambda: store.policy,
            sinks=lambda: self._channels,
            post=lambda name, notification, taken: self._channels[name].post(notification, taken),
            url=links.console,
            host=store.node,
            now=store.now,
        )
        store.on_change(self.wake)

    async def run(self) -> None:
        """Deliver until cancelled. Survives a database that cannot be written, and mistakes in a sink."""
        self._running = True
        try:
            self._start()
            await self._supervise("outbox", self._tick)
        finally:
            self._running = False
            await self._stop(timeout=0.0)

    def wake(self) -> None:
        """Something may be due. Sinks look for themselves: that is sooner than asking the clock first."""
        self._clock.wake()
        for channel in self._channels.values():
            channel.wake()

    async def replace(self, sinks: Mapping[str, Sink], fallbacks: Mapping[str, str | None] | None = None) -> None:
        """Go on with other sinks (a reload). Returns when no sink of before is in use any more: close them then.

        Assign `store.policy` first: what waits for a sink that is gone goes where the routes lead now.
        """
        before = self._channels
        await self._stop(timeout=self._patience.send + 1)
        self._fallbacks = dict(fallbacks or {})
        self._channels = {name: self._channel(name, sink) for name, sink in sinks.items()}
        for name in before.keys() & self._channels.keys():
            self._channels[name].inherit(before[name])
        for name in before.keys() - self._channels.keys():
            self._stats[name].failing, self._stats[name].refusing, self._stats[name].rests_until = 0, None, None
            self._works(name, "It is not configured any more.")
        if self._running:
            self._start()
            await self._adopt()
            for name in self._channels:
                await self._store.outbox.try_at_once(name)  # what was wrong with it may be mended now
        self.wake()

    async def drain(self, timeout: float) -> None:
        """Lease nothing more, let what is being sent finish, give back the rest. Then cancel `run`."""
        self._draining = True
        await self._stop(timeout)

    async def settle(self, timeout: float | None = None) -> int:
        """For `--once`: send everything, also what waits for its group; `run` must be running.

        Returns how many are left unsent after `timeout` seconds (None: waits for as long as it takes).
        """
        deadline = None if timeout is None else self._now() + timeout
        await self._store.groups.tick(flush=True)
        for name, channel in self._channels.items():
            channel.flush()
            await self._store.outbox.try_at_once(name)
        while True:
            self._clock.wake()
            left = await self._store.outbox.unsent()
            waiting = sum(channel.waiting for channel in self._channels.values())
            if left + waiting == 0 or (deadline is not None and self._now() >= deadline):
                return left
            await asyncio.sleep(0.05)

    def operational(
        self,
        title: str,
        text: str = "",
        *,
        severity: Severity = "high",
        key: str | None = None,
        every: float = 3600.0,
        sinks: Sequence[str] | None = None,
    ) -> asyncio.Future[None] | None:
        """Tell about the monitor itself, directly, at most once `every` seconds for one `key` (default: the title).

        Returns what is done once a sink took it; None: it was told not long ago.
        """
        return self._notices.tell(title, text, severity=severity, key=key or title, every=every, sinks=sinks)

    def over(self, key: str, text: str = "") -> None:
        """The trouble of this `key` is over: those who were told of it are told so, which closes it at a pager."""
        self._notices.over(key, text)

    def stats(self) -> Mapping[str, SinkStats]:
        """By sink, also of sinks that were configured before a reload."""
        return self._stats

    def problem(self) -> str | None:
        """Why nobody can be told anything: every sink refuses all it is sent, or asks to be left alone for long. None:
        somebody can."""
        why = {name: self._unreachable(self._stats[name]) for name in self._channels}
        if not why or not all(why.values()):
            return None
        return "; ".join(f"sink {name} {reason}" for name, reason in why.items())

    def _unreachable(self, stats: SinkStats) -> str:
        if stats.refusing:
            return f"refuses everything: {stats.refusing}"
        if stats.rests_until is None or stats.rests_until <= self._now():
            return ""
        return f"takes nothing until {moment(stats.rests_until)}: {stats.last_error}"

    # Supervision

    def _channel(self, name: str, sink: Sink) -> Channel:
        return Channel(
            name,
            sink,
            self._stats.setdefault(name, SinkStats()),
            store=self._store,
            owner=self._owner,
            render=self._render,
            refused=lambda leased, error: self._refused(name, leased, error),
            rests=lambda said: self._rests(name, said),
            accepted=lambda: self._works(name),
            patience=self._patience,
            clock=self._now,
        )

    def _render(self, leased: Leased) -> Notification:
        offers = self._offers if leased.sink in self._store.policy.threads else None
        return render(leased, links=self._links, books=self._books, host=self._store.node, offers=offers)

    def _start(self) -> None:
        if self._draining:
            return
        self._tasks = {
            name: asyncio.create_task(self._supervise(name, channel.run), name=f"deliver-{name}")
            for name, channel in self._channels.items()
        }

    async def _stop(self, timeout: float) -> None:
        for channel in self._channels.values():
            channel.stop()
        tasks = list(self._tasks.values())
        if tasks and timeout > 0:
            await asyncio.wait(tasks, timeout=timeout)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Alerts must keep flowing: what no handler below expects is logged, and the work begins anew."""
        while True:
            try:
                await work()
                return
            except StoreError as error:
                log.error("delivery waits for the state database", part=name, reason=str(error))
            except Exception as error:  # the supervision boundary
                log.exception("delivery failed unexpectedly; it goes on", part=name, error=type(error).__name__)
            await asyncio.sleep(POLL)

    async def _tick(self) -> None:
        await self._adopt()
        await self._clock.run()

    async def _adopt(self) -> None:
        released, orphans = await self._store.groups.adopt(self._owner, list(self._channels))
        if released:
            log.info("took over notifications that an earlier process had not finished", count=released)
        if orphans:
            log.warning("notifications waited for sinks that are not configured any more", count=orphans)

    def _due(self, name: str, asked: bool) -> None:
        if channel := self._channels.get(name):
            (channel.hurry if asked else channel.wake)()

    def _rests(self, name: str, said: str) -> None:
        """Say so everywhere else: it is long until somebody hears of what waits."""
        others = [other for other in self._channels if other != name]
        until = self._stats[name].rests_until
        if not others or until is None:
            return
        outcome = (
            f"What waits for it is stored, and tried again {moment(until)}; "
            f"`monitor outbox list --sink {name}` shows it, `monitor outbox retry --sink {name}` tries at once."
        )
        self.operational(
            f"Sink {name} takes nothing for a while",
            f"{said}. {outcome}",
            key=f"rests:{name}",
            every=_DAY,
            sinks=others,
        )

    def _works(self, name: str, text: str = "") -> None:
        for problem in ("refused", "rests"):
            self.over(f"{problem}:{name}", text)

    async def _refused(self, name: str, leased: Leased, error: RemoteError) -> bool:
        """Hand it to the fallback, if there is one that has not had it, and say so everywhere else."""
        fallback = self._fallbacks.get(name)
        if fallback not in self._channels or fallback in leased.tried:
            fallback = None
        follower = await self._store.outbox.give_up(leased.id, str(error), fallback) if fallback else None
        if follower:
            outcome = f"It was handed to the fallback sink {fallback}."
        elif error.partly:
            outcome = (
                f"The others have it. Mend the sink, then `monitor outbox retry {leased.id}` sends it to the rest."
            )
        else:
            outcome = (
                "It is stored and tried again, and so is what follows. Mend the sink, or set `fallback` on it; "
                "`monitor outbox list` shows what waits."
            )
        others = [other for other in self._channels if other not in leased.tried and (other != name or error.partly)]
        if others:
            title = f"Sink {name} {'reaches not everybody' if error.partly else 'refuses notifications'}"
            self.operational(title, f"{error}. {outcome}", key=f"refused:{name}", sinks=others)
        return follower is not None
