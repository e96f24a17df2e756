"""What is gathered is committed in one go, and only then has anybody a turn."""

from __future__ import annotations

import asyncio

import pytest

from monitor.domain.model import Position
from monitor.sources.file import registry as registry_module
from monitor.sources.file.changes import PositionChanges
from monitor.sources.file.registry import Registry
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.tracked_file import StoredState, TrackedFile, WorkState
from tests.fakes.intake import FakeIntake


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def changes(intake: FakeIntake, registry: Registry) -> PositionChanges:
    return PositionChanges("app", intake, registry, Schedule())


def known(registry: Registry, path: str, inode: int, **keys: int) -> TrackedFile:
    tracked = TrackedFile(path, (1, inode), **keys)
    registry.add(tracked)
    return tracked


async def test_ends_and_beginnings_in_one_commit_and_turns_after_it(
    changes: PositionChanges, registry: Registry, intake: FakeIntake
) -> None:
    old, new = known(registry, "/a", 1), known(registry, "/b", 2)
    intake.saved[old.key] = {}
    intake.gate.clear()

    async def change() -> None:
        async with changes.gathered([Position("app", "@mark", {"time": 1})]):
            changes.end(old)
            changes.note[new] = changes.turns[new] = None

    task = asyncio.create_task(change())
    await asyncio.sleep(0)
    assert intake.saved == {old.key: {}}
    assert new.work is WorkState.RESTING
    intake.gate.set()
    await task
    assert intake.saved.keys() == {new.key, "@mark"}
    assert (new.record, new.work) == (StoredState.SAVED, WorkState.QUEUED)
    assert not changes.note
    assert not changes.over
    assert not changes.turns


async def test_what_ends_after_it_was_noted_is_not_recorded(
    changes: PositionChanges, registry: Registry, intake: FakeIntake
) -> None:
    tracked = known(registry, "/a", 1)
    async with changes.gathered():
        changes.note[tracked] = None
        changes.end(tracked)
    assert not intake.saved


async def test_what_was_read_of_one_that_ended_is_recorded_in_place_of_others(
    changes: PositionChanges, registry: Registry, intake: FakeIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "KEPT", 1)
    first, second = known(registry, "/a", 1, offset=5), known(registry, "/b", 2, offset=5)
    for tracked in (first, second):
        async with changes.gathered():
            changes.end(tracked)
        assert intake.saved.keys() == {tracked.key}
        assert intake.saved[tracked.key]["ended"]


async def test_nothing_changed_is_no_commit(changes: PositionChanges, intake: FakeIntake) -> None:
    async with changes.gathered():
        pass
    assert intake.commits == 0


async def test_only_what_was_not_scanned_is_lost(
    changes: PositionChanges, registry: Registry, intake: FakeIntake
) -> None:
    changes.lost("vanished", known(registry, "/a", 1, size=9, offset=4, flushed=6))
    changes.lost("vanished", known(registry, "/b", 2, size=9, offset=4, flushed=9))
    changes.lost("truncated", known(registry, "/c", 3, size=9, offset=9, grown=(11, 1)))
    assert intake.lost == [("vanished", 3, "/a"), ("truncated", 2, "/c")]


async def test_of_what_was_never_looked_into_nobody_knows_how_much_is_lost(
    changes: PositionChanges, registry: Registry, intake: FakeIntake
) -> None:
    changes.lost("vanished", known(registry, "/a", 1, there=9))
    changes.lost("vanished", known(registry, "/b", 2, there=9, offset=9))
    assert intake.lost == [("vanished", 0, "/a")]


async def test_a_file_that_ends_is_degraded_no_longer(
    changes: PositionChanges, registry: Registry, intake: FakeIntake
) -> None:
    tracked = known(registry, "/a", 1)
    tracked.failures = 2
    intake.degraded("/a", "cannot be read")
    async with changes.gathered():
        changes.end(tracked)
    assert not intake.problems
