"""Where a file goes on whose path leads elsewhere, and who else lies there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from monitor.sources.file.changes import PositionChanges
from monitor.sources.file.globs import Globs
from monitor.sources.file.identity import Hasher
from monitor.sources.file.registry import Registry
from monitor.sources.file.rotated_files import RotatedFiles
from monitor.sources.file.rotation import Rest, look_at
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.tracked_file import TrackedFile
from monitor.sources.file.transitions import SEARCHES
from tests.fakes.intake import FakeIntake

TEXT = b"a line that is long enough to be known by its hashes\n" * 3


class Options(NamedTuple):
    name: str = "app"
    start_at: str = "end"
    quiet: float = 0.0


async def thread(work: Callable[..., Any], *args: Any, unclaimed: object = None) -> Any:
    return work(*args)


class Room:
    def __init__(self, folder: Path) -> None:
        self.intake, self.registry, self.schedule = FakeIntake(), Registry(), Schedule()
        self.hasher = Hasher(b"k" * 32)
        self.changes = PositionChanges("app", self.intake, self.registry, self.schedule)
        self.rotated_files = RotatedFiles(
            Options(),
            self.changes,
            hasher=self.hasher,
            globs=Globs([f"{folder}/*.log"]),
            registry=self.registry,
            schedule=self.schedule,
            thread=thread,
        )

    def read(self, path: Path) -> TrackedFile:
        """A tracked file that was read to its end, and has no path any more."""
        status = path.stat()
        tracked = TrackedFile(str(path), (status.st_dev, status.st_ino), size=status.st_size, mtime=status.st_mtime_ns)
        fd = os.open(path, os.O_RDONLY)
        self.hasher.settle(fd, tracked, status.st_size)
        os.close(fd)
        self.registry.attach(tracked, str(path))
        self.registry.detach(str(path))
        return tracked


@pytest.fixture
async def room(log: Path) -> Room:
    return Room(log.parent)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "logs/app.log"  # apart: a tracked file is searched for in the folders around
    log.parent.mkdir()
    log.write_bytes(TEXT)
    return log


def rest(path: Path) -> Rest:
    found = look_at(str(path))
    assert found is not None
    return found


async def test_it_moves_to_where_it_lies_now(room: Room, log: Path) -> None:
    tracked = room.read(log)
    log.rename(f"{log}.1")
    assert await room.rotated_files.locate(tracked) == []
    assert tracked.path == f"{log}.1"
    assert list(room.changes.note) == list(room.changes.turns) == [tracked]


async def test_what_was_written_after_it_belongs_to_nobody(room: Room, log: Path) -> None:
    tracked = room.read(log)
    log.rename(f"{log}.2")
    Path(f"{log}.1").write_bytes(b"another\n")
    assert [found.path for found in await room.rotated_files.locate(tracked, current=True)] == [f"{log}.1"]
    assert await room.rotated_files.locate(tracked) == []


async def test_it_goes_on_in_a_copy_and_joins_who_has_it(room: Room, log: Path) -> None:
    tracked = room.read(log)
    copy = log.with_name("app.log.1")
    shutil.copyfile(log, copy)
    log.unlink()
    other = TrackedFile(str(copy), rest(copy).inode)
    room.registry.add(other)
    other.fd = os.open(copy, os.O_RDONLY)
    await room.rotated_files.locate(tracked)
    other.close()
    assert tracked.ended
    assert (other.generation, other.offset) == (tracked.generation, len(TEXT))
    assert list(room.changes.past) == [tracked]


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_was_deleted_before_its_rotation_was_seen_may_have_had_successors(
    room: Room, log: Path, deleted: bool
) -> None:
    tracked = room.read(log)
    tracked.fd = os.open(log, os.O_RDONLY)
    if deleted:
        log.unlink()
    else:
        log.rename(f"{log}.3")
    Path(f"{log}.2").write_bytes(b"another\n")
    assert [found.path for found in await room.rotated_files.locate(tracked, current=True)] == [f"{log}.2"]
    tracked.close()
    assert room.intake.lost == ([("outrun", 0, str(log))] if deleted else [])


async def test_lost_after_searches_in_vain(room: Room, log: Path) -> None:
    tracked = room.read(log)
    tracked.size += 5
    log.unlink()
    for _ in range(SEARCHES):
        assert not tracked.ended
        await room.rotated_files.locate(tracked)
    assert tracked.ended
    assert room.intake.lost == [("vanished", 5, str(log))]


async def test_it_is_lost_at_once_when_nobody_looks_again(room: Room, log: Path) -> None:
    tracked = room.read(log)
    log.unlink()
    room.rotated_files.once = True
    await room.rotated_files.locate(tracked)
    assert tracked.ended


async def test_a_rotated_file_that_nobody_read_is_a_new_life(room: Room, log: Path) -> None:
    await room.rotated_files.add_unseen([rest(log)])
    tracked = room.registry.inside(rest(log).inode)
    assert tracked is not None
    assert tracked.offset == 0
    assert list(room.changes.turns) == [tracked]
    room.changes.turns.clear()
    await room.rotated_files.add_unseen([rest(log)])
    assert not room.changes.turns


async def test_a_copy_of_what_was_read_is_not_read_again(room: Room, log: Path) -> None:
    tracked = room.read(log)
    copy = log.with_name("app.log.1")
    shutil.copyfile(log, copy)
    await room.rotated_files.add_unseen([rest(copy)])
    found = room.registry.inside(rest(copy).inode)
    assert found is not None
    assert (found.generation, found.offset) == (tracked.generation, len(TEXT))


async def test_who_only_claims_an_inode_loses_it(room: Room, log: Path) -> None:
    tracked = room.read(log)
    assert await room.rotated_files.owner(rest(log)) is tracked
    log.write_bytes(b"quite another text, which takes the place of the former\n" * 4)
    assert await room.rotated_files.owner(rest(log)) is None
    assert tracked.inode == (0, 0)


async def test_who_is_followed_and_only_claims_an_inode_does_not_own_it(room: Room, log: Path) -> None:
    """Its turn has not come yet; until then the file may be rotated, and is to be read."""
    tracked = room.read(log)
    room.registry.attach(tracked, str(log))
    log.write_bytes(b"quite another text, which takes the place of the former\n" * 4)
    await room.rotated_files.add_unseen([rest(log)])
    found = room.registry.inside(rest(log).inode)
    assert found is not None
    assert found is not tracked
    assert not tracked.loose


async def test_the_deleted_that_rest_longest_are_the_crowd(room: Room, log: Path) -> None:
    tracked_files = []
    for number in range(8):
        path = log.with_name(f"{number}.log")
        path.write_bytes(TEXT)
        tracked_files.append(room.read(path))
        tracked_files[-1].changed = float(number)
        tracked_files[-1].fd = os.open(path, os.O_RDONLY)
    room.schedule.open_max = 4
    assert room.rotated_files.crowd() == set(), "what was rotated can be opened again"
    for tracked in tracked_files[4:]:
        os.unlink(tracked.path)
    assert room.rotated_files.crowd() == set(tracked_files[4:6])
    for tracked in tracked_files:
        tracked.close()
