from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from monitor.sources.file.schedule import BURST, Schedule
from monitor.sources.file.tracked_file import FileState, TrackedFile, WorkState


@pytest.fixture
async def schedule() -> Schedule:
    return Schedule()


async def test_one_turn_at_a_time_and_none_forgotten(schedule: Schedule) -> None:
    tracked = TrackedFile("/a", (1, 1))
    schedule.want(tracked)
    schedule.want(tracked)
    assert (await schedule.next())[0] is tracked
    assert tracked.work is WorkState.BUSY
    schedule.want(tracked)
    assert tracked.work is WorkState.AGAIN
    assert schedule.over(tracked)
    assert not tracked.busy
    schedule.want(tracked)
    await schedule.next()
    assert not schedule.over(tracked)


async def test_nobody_held_or_ended_has_a_turn(schedule: Schedule) -> None:
    held, ended = TrackedFile("/a", (1, 1)), TrackedFile("/b", (1, 2), place=FileState.ENDED)
    schedule.hold(held)
    schedule.want(held)
    schedule.want(ended)
    await schedule.drained()
    schedule.release(held)
    schedule.want(held, 5, whole=True)
    assert await schedule.next() == (held, 5, True)


async def test_live_files_first_and_every_fourth_time_one_that_catches_up(schedule: Schedule) -> None:
    big = [TrackedFile(f"/big{n}", (1, n), there=2 * BURST) for n in range(3)]
    small = [TrackedFile(f"/small{n}", (2, n)) for n in range(6)]
    for tracked in (*big, *small):
        schedule.want(tracked)
    order = [(await schedule.next())[0] for _ in range(9)]
    assert order == [*small[:3], big[0], *small[3:], big[1], big[2]]


async def test_drained_waits_for_what_follows_from_a_turn(schedule: Schedule) -> None:
    tracked = TrackedFile("/a", (1, 1))
    schedule.want(tracked)
    waiting = asyncio.create_task(schedule.drained())
    await schedule.next()
    schedule.over(tracked)
    await asyncio.sleep(0)
    assert not waiting.done()
    schedule.done()
    await asyncio.wait_for(waiting, 120)


async def test_a_later_turn_replaces_an_earlier_plan(schedule: Schedule) -> None:
    tracked, other = TrackedFile("/a", (1, 1)), TrackedFile("/b", (1, 2))
    schedule.later(tracked, 0.0, 1)
    schedule.later(tracked, 0.0, 2)
    schedule.later(other, 0.0)
    schedule.forget(other)
    assert (await asyncio.wait_for(schedule.next(), 120))[1] == 2
    schedule.stop()


async def test_beyond_the_limit_files_with_a_name_are_shut_the_followed_first(
    schedule: Schedule, tmp_path: Path
) -> None:
    schedule.open_max = 2

    def opened(name: str, place: FileState) -> TrackedFile:
        path = tmp_path / name
        path.touch()
        return TrackedFile(str(path), (1, hash(name)), place=place, fd=os.open(path, os.O_RDONLY))

    deleted, rotated = opened("deleted", FileState.LOOSE), opened("rotated", FileState.LOOSE)
    (tmp_path / "deleted").unlink()
    followed, last = opened("followed", FileState.FOLLOWED), opened("last", FileState.LOOSE)
    for tracked in (deleted, rotated, followed):
        schedule.keep_open(tracked)
    assert [tracked.fd >= 0 for tracked in (deleted, rotated, followed)] == [True, True, False]
    assert not schedule.room
    schedule.keep_open(last)
    assert [tracked.fd >= 0 for tracked in (deleted, rotated, last)] == [True, False, True]
    for tracked in (deleted, last):
        schedule.shut(tracked)
    assert schedule.room


async def test_what_grows_during_its_turn_counts_for_its_content_once_that_is_known(schedule: Schedule) -> None:
    tracked = TrackedFile("/a", (1, 1))
    schedule.grown(tracked, 5, 1)
    assert (tracked.there, tracked.grown[0], tracked.work) == (5, 0, WorkState.QUEUED)
    await schedule.next()
    schedule.grown(tracked, 6, 1)
    assert tracked.grown[0] == 0
    tracked.proven = True
    schedule.grown(tracked, 7, 1)
    assert (tracked.there, tracked.grown, tracked.work) == (7, (7, 1), WorkState.AGAIN)


async def test_how_long_a_file_may_be_behind_counts_from_when_all_of_it_was_read(schedule: Schedule) -> None:
    tracked = TrackedFile("/a", (1, 1), offset=10, there=10, caught=1.0)
    schedule.grown(tracked, 20, 1)
    assert tracked.caught > 1.0
    caught = tracked.caught
    schedule.grown(tracked, 30, 1)
    assert tracked.caught == caught
