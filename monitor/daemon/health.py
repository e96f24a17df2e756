"""How the daemon is: what the watchdog vouches for, what `/healthz` and `/readyz` show, and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.common.process import notify, watchdog_interval
from monitor.common.tasks import cancel
from monitor.config.credentials import unresolved
from monitor.domain.model import Position
from monitor.intake.ledger import STATE, place
from monitor.site import Site
from monitor.status import Rates
from monitor.store import StoreError
from sinks.base import SinkConfig

__all__ = ["Health"]

_STUCK = 60.0  # a scan of one block that takes so long will not end
_SLOW, _HANGS = 3.0, 10.0  # seconds at one write: from then on not ready; not healthy
_WRONG = 30.0  # seconds by which the clock may differ from the database server's
_SHOWN = 20  # parts of a source that cannot work, of which it is noted
_BEAT = 2.0  # seconds between looks at ourselves
_MANY, _LATELY = 60, 900.0  # wrong passwords within so many seconds are no mistyping
_LOOK = 2.0  # seconds between looks at credentials that are missing
_COUNT = 10.0  # seconds between counts of what is stored, when only other processes can have changed it


Answer = Callable[[], str | None]


class _Lately:
    """How much a counter has gone up within this window of `_LATELY`, or within the one before, which more."""

    def __init__(self) -> None:
        self._began, self._base, self._before = float("-inf"), 0, 0

    def count(self, total: int, now: float) -> int:
        if now - self._began >= _LATELY:
            self._before = total - self._base if now - self._began < 2 * _LATELY else 0
            self._began, self._base = now, total
        return max(self._before, total - self._base)


class Health:
    """`beat` until cancelled; the rest answers at once."""

    def __init__(
        self,
        site: Site,
        phase: Answer,
        ended: Answer,
        deaf: Answer,
        over: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """Each None when all is well. `phase`: what the daemon is at; `ended`: sources that are not followed any more;
        `deaf`: why nobody can be told anything. `over`: told the key of a trouble that is over, and a word about it."""
        self._over = over
        self._problems: set[str] = set()  # keys of those that were reported
        self._site = site
        self._phase, self._ended, self._deaf = phase, ended, deaf
        self._states: dict[str, dict[str, object]] = {}  # source → what is noted of it
        self._kept = float("-inf")
        self._guesses = _Lately()
        self._sinks: Sequence[SinkConfig] = ()
        self._missing: Mapping[str, str] = {}  # credentials of sinks: key → why
        self.lag = 0.0  # seconds the event loop was late at its last beat
        self.pace = Rates()  # of what each source reads

    def vital(self) -> Mapping[str, str | None]:
        """Parts without which only a restart helps: the watchdog is not fed for them. A disk that hangs is none."""
        stuck = self._site.scanner.longest()
        return {
            "event loop": f"late by {self.lag:.0f} s" if self.lag > _STUCK / 2 else None,
            "scanner": f"at one block for {stuck:.0f} s" if stuck > _STUCK else None,
            "store": None if self._site.store.alive else "the writer has ended",
        }

    def live(self) -> Mapping[str, str | None]:
        """What `/healthz` shows: the parts of `vital`, and whether the writer makes progress."""
        parts = dict(self.vital())
        parts["store"] = parts["store"] or self._stalled(_HANGS)
        return parts

    def ready(self) -> Mapping[str, str | None]:
        """Parts that must work before the monitor does its job."""
        phase = self._phase()
        return {
            "started": phase,
            "sources": self._ended(),
            "store": self._site.store.degraded or self._stalled(_SLOW),
            "sinks": self._deaf() if phase is None else None,
            "inventory": self._stale(),
            **self._missing,
        }

    async def resolve(self, sinks: Sequence[SinkConfig]) -> None:
        """Look at the credentials of these sinks, which are those in force: at a start or a reload, as the first alert
        would be too late to learn that nobody gets it."""
        self._sinks = sinks
        await self._look_again()

    async def _look_again(self) -> None:
        sinks = self._sinks
        missing = await asyncio.to_thread(unresolved, sinks)
        if sinks is self._sinks:
            self._missing = missing

    async def beat(self) -> None:
        """Look at ourselves, and feed the watchdog while there is progress to vouch for."""
        interval = min(_BEAT, watchdog_interval() or _BEAT)
        due = time.monotonic()
        looked = due  # at what sinks are missing
        counting: asyncio.Task[None] | None = None
        counted = (-1, float("-inf"))  # the store's transactions and the time of the last count
        try:
            while True:
                due = max(due + interval, time.monotonic())
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.lag = time.monotonic() - due
                self.pace.note(due, self._site.snapshot.read)
                if all(problem is None for problem in self.vital().values()):
                    notify("WATCHDOG=1")

                self._report()
                if self._missing and due >= looked + _LOOK:
                    looked = due
                    await self._look_again()
                written = self._site.store.transactions
                changes = written != counted[0] or due >= counted[1] + _COUNT
                if changes and (counting is None or counting.done()):
                    counted = (written, due)
                    # Aside: a slow disk must not look like a hung daemon.
                    counting = asyncio.create_task(self._count())
        finally:
            if counting is not None:
                await cancel(counting)

    def _report(self) -> None:
        """What else would show in `/readyz` only, or nowhere."""
        hangs = None if self._site.store.degraded else self._stalled(_HANGS)
        self._problem(
            "stalled",
            "The state database does not answer",
            hangs and f"{hangs}. Reading has stopped where it was; nothing is lost, and it goes on by itself.",
            "It answers again.",
        )
        guessed = self._guesses.count(self._site.snapshot.sign_ins["password", "refused"], time.monotonic())
        self._problem(
            "guesses",
            "Somebody guesses passwords of the console",
            guessed >= _MANY
            and f"{guessed} were refused within {_LATELY / 60:.0f} minutes. Who guesses waits longer each time, and "
            'nobody else is locked out. The log names addresses ("a sign-in was refused"): keep those out.',
            "Hardly any are refused any more.",
        )
        missing = "; ".join(f"{key}: {why}" for key, why in self._missing.items())
        self._problem(
            "credentials",
            "A sink's credentials cannot be read",
            missing and f"{missing}. Nobody gets its alerts until they can; they wait for it.",
            "They can be read again.",
        )
        ahead = self._site.store.ahead
        wrong = abs(ahead) > _WRONG and f"It is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the clock"
        self._problem(
            "clock",
            f"The clock of {self._site.store.node} is wrong",
            wrong and f"{wrong} of the database server, by which all hosts go. See to it (chrony, systemd-timesyncd).",
            "It is right again.",
        )

    def _problem(self, key: str, title: str, text: str | bool | None, over: str) -> None:
        if text:
            self._site.tell(title, str(text), "critical" if key == "stalled" else "high", key)
            self._problems.add(key)
        elif key in self._problems:
            self._problems.discard(key)
            self._over(key, over)

    async def _count(self) -> None:
        with contextlib.suppress(StoreError):  # a database in trouble reports itself
            self._site.snapshot.store = await self._site.store.stats()
        if time.monotonic() >= self._kept + _COUNT:
            await self.keep()

    async def keep(self) -> None:
        """Note how the sources are, for `monitor sources`, where that has changed."""
        self._kept = time.monotonic()
        snapshot = self._site.snapshot
        problems: dict[str, dict[str, str]] = {}
        for (source, part), why in snapshot.degraded.items():
            if len(problems.setdefault(source, {})) < _SHOWN:
                problems[source][self._site.scanner.redact(part)] = why
        states: dict[str, dict[str, object]] = {
            name: {"kept": snapshot.committed.get(name), "lag": snapshot.lag.get(name), "problems": problems.get(name)}
            for name in snapshot.committed.keys() | problems.keys() | self._states.keys()
        }
        changed = ((name, state) for name, state in states.items() if state != self._states.get(name))
        changes = [Position(place(name), STATE, state) for name, state in changed]
        self._states = states
        with contextlib.suppress(StoreError):
            await self._site.store.commit((), changes)

    def _stale(self) -> str | None:
        """Managers whose secrets may have changed since anybody could read them."""
        now, entries = time.time(), self._site.snapshot.inventory
        old = [f"{name} ({now - one.at:.0f} s)" for name, one in entries.items() if one.stale(now)]
        return f"not read to its end for long: {', '.join(sorted(old))}" if old else None

    def _stalled(self, limit: float) -> str | None:
        """A disk that hangs gives no error: only that nothing comes back tells."""
        seconds = self._site.store.stalled()
        return f"a write has been under way for {seconds:.0f} s" if seconds > limit else None
