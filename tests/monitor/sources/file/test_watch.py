from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import watchfiles
from structlog.testing import capture_logs

from monitor.sources.file import watch
from monitor.sources.file.watch import watch_folders


class Watching:
    def __init__(self, *folders: Path) -> None:
        self.folders = dict.fromkeys(map(str, folders), 0)
        self.seen: set[tuple[watchfiles.Change, str]] = set()
        self.gaps = 0

    def gap(self) -> None:
        self.gaps += 1

    @contextlib.asynccontextmanager
    async def running(self, deep: bool = False) -> AsyncIterator[None]:
        task = asyncio.create_task(
            watch_folders(lambda: dict(self.folders), self.seen.update, self.gap, deep=deep, pause=0.05, source="app")
        )
        await asyncio.sleep(0.3)
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def sees(self, path: Path, act: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while str(path) not in {seen for _, seen in self.seen}:
                act()
                await asyncio.sleep(0.05)


async def test_changes_arrive_in_the_loop(tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    async with watching.running():
        await watching.sees(tmp_path / "a.log", lambda: (tmp_path / "a.log").write_text("x"))
    assert watching.gaps == 0


async def test_only_a_deep_watch_sees_what_lies_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    flat, deep = Watching(tmp_path), Watching(tmp_path)
    async with flat.running(), deep.running(deep=True):
        await deep.sees(tmp_path / "below" / "a.log", lambda: (tmp_path / "below" / "a.log").write_text("x"))
    assert str(tmp_path / "below" / "a.log") not in {seen for _, seen in flat.seen}


async def test_other_folders_take_another_watch_and_the_gap_is_told(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    watching = Watching()
    async with watching.running():
        watching.folders = {str(first): 1}
        await watching.sees(first / "a.log", lambda: (first / "a.log").write_text("x"))
        watching.folders = {str(second): 2}
        await watching.sees(second / "a.log", lambda: (second / "a.log").write_text("x"))
        assert watching.gaps == 1


async def test_a_watch_that_breaks_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = watchfiles.watch, 0

    def breaking(*folders: str, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no space left on device")  # what inotify says when its limit is reached
        return whole(*folders, **options)

    monkeypatch.setattr(watch.watchfiles, "watch", breaking)
    watching = Watching(tmp_path)
    with capture_logs() as logs:
        async with watching.running():
            await watching.sees(tmp_path / "a.log", lambda: (tmp_path / "a.log").write_text("x"))
    assert watching.gaps == 1
    assert [(line["event"], line["source"], line["error"]) for line in logs] == [
        ("watch restarted", "app", "OSError: no space left on device")
    ]
