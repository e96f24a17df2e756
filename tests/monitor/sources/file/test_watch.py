"""The kernel's events as hints, in the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file import watch
from monitor.sources.file.watch import Watch, WatchHints
from tests.fakes.intake import until


class Watching:
    """A watch, and all that it said."""

    def __init__(self) -> None:
        self.seen = WatchHints()
        self.watch = Watch(self._hint)

    def _hint(self, changes: WatchHints) -> None:
        self.seen.written |= changes.written
        self.seen.named |= changes.named
        self.seen.gap |= changes.gap

    def follow(self, *folders: Path) -> tuple[bool, str | None]:
        return self.watch.follow({str(folder): folder.stat().st_ino for folder in folders})


@pytest.fixture
async def watching() -> AsyncIterator[Watching]:
    watching = Watching()
    yield watching
    watching.watch.stop()
    watching.watch.close()


async def test_what_is_written_and_what_gets_another_name(watching: Watching, tmp_path: Path) -> None:
    log, old = tmp_path / "app.log", tmp_path / "app.log.1"
    log.touch()
    assert watching.follow(tmp_path) == (True, None)
    assert watching.follow(tmp_path) == (False, None)
    log.write_text("x")
    await until(lambda: watching.seen.written == {str(log)})
    assert not watching.seen.named
    log.rename(old)
    await until(lambda: watching.seen.named == {str(log), str(old)})
    old.chmod(0o600)
    await until(lambda: str(old) in watching.seen.written)
    assert not watching.seen.gap


async def test_a_name_that_is_not_utf8(watching: Watching, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.log"
    watching.follow(tmp_path)
    os.close(os.open(odd, os.O_CREAT | os.O_WRONLY))
    (tmp_path / "app.log").touch()
    await until(lambda: watching.seen.named == {os.fsdecode(odd), str(tmp_path / "app.log")})


async def test_many_writes_are_few_hints(tmp_path: Path) -> None:
    hints = 0

    def count(changes: WatchHints) -> None:
        nonlocal hints
        assert not changes.gap
        hints += 1

    watching = Watch(count)
    watching.follow({str(tmp_path): 0})
    with (tmp_path / "a.log").open("wb", buffering=0) as one, (tmp_path / "b.log").open("wb", buffering=0) as other:
        for _ in range(3000):
            one.write(b"x")
            other.write(b"x")
    await until(lambda: hints)
    assert hints == 1
    watching.stop()
    watching.close()


async def test_folders_that_come_and_go_leave_a_gap(watching: Watching, tmp_path: Path) -> None:
    watching.follow(tmp_path)
    (tmp_path / "new").mkdir()
    await until(lambda: watching.seen.gap)


@pytest.mark.parametrize("leaves", [lambda folder: folder.rmdir(), lambda folder: folder.rename(f"{folder}.old")])
async def test_a_folder_made_anew_is_watched_anew(
    watching: Watching, tmp_path: Path, leaves: Callable[[Path], Any]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    watching.follow(folder)
    leaves(folder)
    await until(lambda: watching.seen.gap)
    folder.mkdir()
    assert watching.follow(folder) == (True, None)
    (folder / "app.log").touch()
    await until(lambda: watching.seen.named == {str(folder / "app.log")})


async def test_a_folder_no_longer_followed_is_left_alone(watching: Watching, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    watching.follow(one, other)
    assert watching.follow(other) == (False, None)
    (one / "app.log").touch()
    (other / "app.log").touch()
    await until(lambda: watching.seen.named)
    assert watching.seen == WatchHints(named={str(other / "app.log")})


async def test_one_folder_under_two_names(watching: Watching, tmp_path: Path) -> None:
    folder, link = tmp_path / "logs", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    watching.follow(folder, link)
    watching.follow(link)
    watching.follow(folder, link)
    (folder / "app.log").touch()
    await until(lambda: watching.seen.named == {str(folder / "app.log"), str(link / "app.log")})


async def test_an_overflow_is_a_gap(watching: Watching, tmp_path: Path) -> None:
    watching.follow(tmp_path)
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    one, other = tmp_path / "one", tmp_path / "other"
    for _ in range(room // 2 + 10):
        one.touch()
        other.touch()
    await until(lambda: watching.seen.gap)


async def test_folders_beyond_the_limit_are_named_until_there_is_room(
    watching: Watching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    whole, room = watch._libc.inotify_add_watch, 1

    class Limited:
        inotify_init1 = watch._libc.inotify_init1
        inotify_rm_watch = watch._libc.inotify_rm_watch

        def inotify_add_watch(self, *args: Any) -> int:
            nonlocal room
            room -= 1
            if room < 0:
                ctypes.set_errno(errno.ENOSPC)
                return -1
            return int(whole(*args))

    monkeypatch.setattr(watch, "_libc", Limited())
    new, problem = watching.follow(*folders)
    assert new
    assert problem is not None
    assert "2 folders are only looked at" in problem
    assert "max_user_watches" in problem
    assert watching.follow(*folders) == (False, problem)
    room = 5
    assert watching.follow(*folders) == (True, None)
    (folders[2] / "app.log").touch()
    await until(lambda: watching.seen.named == {str(folders[2] / "app.log")})


async def test_without_an_instance_there_is_no_watch(
    watching: Watching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(flags: int) -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    with monkeypatch.context() as patch:
        patch.setattr(watch._libc, "inotify_init1", refused)
        new, problem = watching.follow(tmp_path)
        assert not new
        assert "max_user_instances" in str(problem)
    assert watching.follow(tmp_path) == (True, None)


async def test_no_hint_after_the_end(tmp_path: Path) -> None:
    hints: list[WatchHints] = []
    over = asyncio.Event()
    ended, going_on = Watch(hints.append), Watch(lambda _: over.set())
    for watching in (ended, going_on):
        watching.follow({str(tmp_path): 0})
    ended.stop()
    (tmp_path / "app.log").touch()
    await asyncio.wait_for(over.wait(), 120)
    assert hints == []
    going_on.stop()
    ended.close()
    going_on.close()
