"""One repository whose jobs are followed: how far its runs were looked at, and what there is to look at next.

`mark`: what changed before was looked at. `swept`: so was all that can be run again. `open`: runs that go on, which no
listing shows once a hundred others are newer. A look that fails moves nothing: the next one looks at the same again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monitor.github.listing import Look, RunListing
from monitor.github.runs import EndedJob, Run

__all__ = ["OVERLAP", "SWEEP", "WatchProgress", "WatchedRepository"]

OVERLAP = 600.0  # seconds looked at again, for what GitHub shows late
SWEEP = 86_400.0  # once in so long everything is looked at that may have been run again …
AGAIN = 35 * 86_400.0  # … which GitHub lets people do for 30 days
RARE = 3600.0  # seconds: a repository is asked, and how far it is written down, at least so often
QUIET = 12  # one that ran nothing for twelve hours is asked after another one

Take = Callable[[EndedJob, Run | None], Awaitable[object]]
Save = Callable[["WatchedRepository"], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class WatchProgress:
    """Times in seconds since the epoch, by GitHub's clock. `since`: what ended before is not read. `walk`: of a look at
    everything that is under way, when it began, and down to which creation of a run it has come."""

    since: float
    mark: float
    swept: float
    open: tuple[int, ...] = ()
    walk: tuple[float, float] | None = None

    @classmethod
    def fresh(cls, since: float) -> WatchProgress:
        return cls(since, since, since)

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> WatchProgress:
        """Of what `row` gave. Raises ValueError."""
        try:
            walk = state.get("walk")
            return cls(
                float(state["since"]),
                float(state["mark"]),
                float(state["swept"]),
                tuple(int(number) for number in state["open"]),
                None if walk is None else (float(walk[0]), float(walk[1])),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("no progress of a repository") from error

    def row(self) -> dict[str, Any]:
        walk = None if self.walk is None else list(self.walk)
        return {"since": self.since, "mark": self.mark, "swept": self.swept, "open": list(self.open), "walk": walk}

    def plausible(self, now: float) -> WatchProgress:
        """Without what lies ahead, of a server that was wrong about the time: what came since is looked at again."""
        ahead, back = now + OVERLAP, max(self.since, now - 2 * SWEEP)
        walk = self.walk if self.walk is None or self.walk[0] <= ahead else None
        mark, swept = (at if at <= ahead else back for at in (self.mark, self.swept))
        return replace(self, mark=mark, swept=swept, walk=walk)

    @property
    def floor(self) -> float:
        """Jobs that ended before were dealt with, or are not to be."""
        return max(self.since, self.swept - OVERLAP)


class WatchedRepository:
    """`take` reads a job's log, `save` commits the progress; what they raise ends the look."""

    def __init__(self, name: str, progress: WatchProgress, listing: RunListing, take: Take, save: Save) -> None:
        self.name, self.progress = name, progress
        self._listing, self._take, self._save = listing, take, save
        self._seen: dict[int, object] = {}  # runs that are over and were dealt with, as they were then
        self._last = 0.0  # when anything changed there
        self._due = 0.0  # monotonic
        self._saved = progress

    async def turn(self, now: float) -> None:
        """Look, if it is time to. Raises RemoteError and AuthError."""
        if time.monotonic() >= self._due:
            await self.look(now)
            self._due = time.monotonic() + min(RARE, max(0.0, now - self._last) / QUIET)

    async def look(self, now: float) -> None:
        """`now`: by GitHub's clock."""
        look = Look(self._listing, self.name)
        self.progress = self.progress.plausible(now)
        if self.progress.walk is not None or not -OVERLAP <= now - self.progress.swept < SWEEP:
            await self._sweep(look, now)
        else:
            await self._poll(look, now)
        look.settled()
        same = replace(self._saved, mark=self.progress.mark) == self.progress
        if not same or look.anything or not 0 <= now - self._saved.mark < RARE:
            await self._save(self)
            self._saved = self.progress

    async def _poll(self, look: Look, now: float) -> None:
        since = self.progress.mark - OVERLAP
        runs = {one.id: one async for page in look.runs(since, again=True) for one in page}
        for number in self.progress.open:
            if number not in runs and (one := await self._listing.run(self.name, number)):
                runs[number] = one
        open_ = await self._jobs(look, [one for one in runs.values() if one.updated >= since or not one.over])
        self.progress = replace(self.progress, mark=now, open=tuple(sorted(open_)))

    async def _sweep(self, look: Look, now: float) -> None:
        """In order, and from where it was ended before."""
        before = self.progress
        began, down = before.walk or (now, None)
        self._seen.clear()  # so that it catches what no reasoning foresaw
        open_ = set(before.open if before.walk else ())
        since = before.swept - OVERLAP
        async for page in look.runs(min(before.swept, began) - AGAIN, down, again=False):
            open_ |= await self._jobs(look, [one for one in page if one.updated >= since or not one.over])
            if page:
                walk = began, min(one.created for one in page)
                self.progress = replace(before, open=tuple(sorted(open_)), walk=walk)
                await self._save(self)
        self.progress = WatchProgress(before.since, began, began, tuple(sorted(open_)))

    async def _jobs(self, look: Look, runs: list[Run]) -> set[int]:
        """Take those that have ended; which runs go on."""
        floor, open_ = self.progress.floor, set[int]()
        for run in runs:
            self._last = max(self._last, run.updated)
            if self._seen.get(run.id) == run.seen:
                continue
            jobs, goes_on = await look.jobs(run)
            for ended in jobs:
                if ended.ended >= floor:
                    await self._take(ended, run if ended.attempt == run.attempt else None)
            if not run.over or (goes_on and run.updated >= floor):  # for a day at most: what is over ends nothing more
                open_.add(run.id)
            else:
                self._seen[run.id] = run.seen
        return open_
