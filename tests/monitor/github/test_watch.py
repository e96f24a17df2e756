from __future__ import annotations

from typing import Any

import pytest

from monitor.common.http import RemoteError
from monitor.github.listing import RunListing
from monitor.github.runs import EndedJob, Run
from monitor.github.watch import OVERLAP, RARE, SWEEP, WatchedRepository, WatchProgress
from tests.fakes.github_actions import FakeActions


def test_progress_is_stored_and_read_again() -> None:
    progress = WatchProgress(1.0, 2.0, 3.0, (4, 5), (6.0, 7.0))
    assert WatchProgress.restored(progress.row()) == progress
    assert WatchProgress.restored(WatchProgress.fresh(9.0).row()) == WatchProgress(9.0, 9.0, 9.0)
    assert WatchProgress(10_000.0, 0.0, 0.0).floor == 10_000.0
    assert WatchProgress(0.0, 0.0, 10_000.0).floor == 10_000.0 - OVERLAP


def test_a_time_that_lies_ahead_is_not_believed() -> None:
    now, day = 1.8e9, SWEEP
    assert WatchProgress(0.0, now + 1, now, (), (now, 5.0)).plausible(now) == WatchProgress(
        0.0, now + 1, now, (), (now, 5.0)
    )
    back = now - 2 * day
    assert WatchProgress(0.0, now + day, now + day, (), (now + day, 5.0)).plausible(now) == WatchProgress(
        0.0, back, back
    )
    assert WatchProgress(now - 9, now + day, now, ()).plausible(now) == WatchProgress(now - 9, now - 9, now)


@pytest.mark.parametrize("row", [{}, {"since": None}, {"since": 1, "mark": 1, "swept": 1, "open": 7}])
def test_a_row_that_is_none_is_an_error(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no progress"):
        WatchProgress.restored(row)


class Taken:
    """What a repository gave, and what it wanted stored."""

    def __init__(self, actions: FakeActions, listing: RunListing, progress: WatchProgress) -> None:
        self.now = actions.now()
        self.jobs: list[int] = []
        self.actors: list[str | None] = []
        self.saved: list[WatchProgress] = []
        self.left = 1000
        self.watched = WatchedRepository("acme/web", progress, listing, self._take, self._save)

    async def _take(self, ended: EndedJob, of: Run | None) -> None:
        self.left -= 1
        if self.left < 0:
            raise RemoteError("no more", retry=True)
        self.jobs.append(ended.id)
        self.actors.append(of and of.actor)

    async def _save(self, one: WatchedRepository) -> None:
        self.saved.append(one.progress)


async def test_a_look_at_everything_goes_on_where_it_was_ended(actions: FakeActions, listing: RunListing) -> None:
    for number in range(230):
        run = actions.add_run(age=1000 + number)
        if number % 50 == 10:
            actions.add_job(run)
    first = Taken(actions, listing, WatchProgress.fresh(0.0))
    first.left = 3
    with pytest.raises(RemoteError):
        await first.watched.look(first.now)
    assert (first.jobs, len(first.saved)) == ([1, 2, 3], 1)
    before = len(actions.requests)
    second = Taken(actions, listing, WatchProgress.restored(first.saved[-1].row()))
    await second.watched.look(second.now)
    assert second.jobs == [3, 4, 5]
    assert len(actions.requests) - before < 140  # and not 230
    assert second.watched.progress == WatchProgress(0.0, first.now, first.now)


async def test_a_look_that_fails_moves_nothing(actions: FakeActions, listing: RunListing) -> None:
    actions.add_job(actions.add_run(), age=1.0)
    now = actions.now()
    one = Taken(actions, listing, WatchProgress(0.0, now - 100, now - 100))
    one.left = 0
    for _ in range(2):
        with pytest.raises(RemoteError):
            await one.watched.look(now)
    assert (one.saved, one.watched.progress.mark) == ([], now - 100)
    one.left = 1
    await one.watched.look(now)
    assert (one.jobs, one.watched.progress.mark) == ([1], now)


async def test_how_far_it_is_is_stored_when_something_came_and_now_and_then(
    actions: FakeActions, listing: RunListing
) -> None:
    actions.add_run()
    one = Taken(actions, listing, WatchProgress(0.0, actions.now(), actions.now()))
    for after in (0.0, 1.0, 2.0, RARE + 3, RARE + 4):
        await one.watched.look(one.now + after)
    assert [round(progress.mark - one.now) for progress in one.saved] == [0, RARE + 3]
    await one.watched.look(one.now + SWEEP + 1)
    assert one.watched.progress.swept == one.now + SWEEP + 1


async def test_a_run_that_is_called_over_before_its_last_job_is_looked_at_again(
    actions: FakeActions, listing: RunListing
) -> None:
    run = actions.add_run()
    late = actions.add_job(run, age=None)
    one = Taken(actions, listing, WatchProgress(0.0, actions.now(), actions.now()))
    await one.watched.look(one.now)
    assert (one.jobs, one.watched.progress.open) == ([], (run.id,))
    actions.end(late)
    await one.watched.look(one.now + 1)
    assert (one.jobs, one.watched.progress.open) == ([1], ())


async def test_who_started_an_earlier_attempt_is_not_said(actions: FakeActions, listing: RunListing) -> None:
    run = actions.add_run()
    actions.add_job(run)
    actions.again(run)
    actions.add_job(run)
    one = Taken(actions, listing, WatchProgress.fresh(0.0))
    await one.watched.look(one.now)
    assert (one.jobs, one.actors) == ([1, 2], [None, "hubot"])
