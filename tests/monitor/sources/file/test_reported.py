"""Cases that users of other agents reported as lost, as far as no other test has them: docs/reliability.md maps all."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file.source import FileSource
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Descriptors whose file the server of a network file system does not know any more."""
    handles: set[int] = set()

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(fd: Any, *rest: Any, **more: Any) -> Any:
            if fd in handles:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return real(fd, *rest, **more)

        return call

    real_close = os.close

    def close(fd: int) -> None:
        handles.discard(fd)
        real_close(fd)

    for name in ("fstat", "pread", "preadv", "lseek"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr(os, "close", close)
    return handles


def handle(source: FileSource, log: Path) -> int:
    tracked = source._registry.shown(str(log))
    assert tracked is not None
    assert tracked.fd >= 0
    return tracked.fd


async def test_a_stale_handle_is_named_and_the_file_opened_anew(
    make: MAKE, intake: FakeIntake, log: Path, stale: set[int]
) -> None:
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        stale.add(handle(source, log))
        append(log, line(2))
        await caught_up(intake, 1, 2)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
        await until(lambda: not intake.problems)
    assert any(what == str(log) and said and "Stale" in said for what, said in intake.told)
    assert (intake.hits, intake.lost) == (3, [])


async def test_behind_a_stale_handle_another_file_is_read_from_its_beginning(
    make: MAKE, intake: FakeIntake, log: Path, stale: set[int]
) -> None:
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        stale.add(handle(source, log))
        log.unlink()
        append(log, line(2) * 3)
        await caught_up(intake, 1, 2, 2, 2)
        append(log, line(3))
        await caught_up(intake, 1, 2, 2, 2, 3)


async def test_what_happens_while_the_queue_of_events_overflows_is_found(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    async with running(make(reconcile="1h", include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1)
        await asyncio.sleep(0.3)
        room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        one, other = log.with_name("one"), log.with_name("other")
        for _ in range(room // 2 + 10):  # nobody takes them meanwhile, as the loop is held up
            one.touch()
            other.touch()
        append(log.with_name("unseen.log"), line(2))
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)


async def test_logs_that_begin_alike_are_told_apart(make: MAKE, intake: FakeIntake, log: Path) -> None:
    """Where a file is known by its first line or its first kilobyte, all but one of these are never read."""
    banner = "# the service starts, as it always does\n" * 100
    names = [log.with_name(f"{number}.log") for number in range(4)]
    for mark, name in enumerate(names):
        append(name, banner + line(mark))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 0, 1, 2, 3)
        names[0].rename(names[0].with_suffix(".log.1"))
        append(names[0], banner + line(4))
        append(names[1], line(5))
        await caught_up(intake, 0, 1, 2, 3, 4, 5)
    for mark, name in enumerate(names, 10):
        append(name, line(mark))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 0, 1, 2, 3, 4, 5, 10, 11, 12, 13)
    assert (intake.hits, intake.lost) == (10, [])


@pytest.mark.campaign
async def test_twenty_thousand_files(make: MAKE, intake: FakeIntake, log: Path) -> None:
    source = make(include=[f"{log.parent}/*/*.log"], start_at="end")
    names = [log.parent / f"{number % 100}/{number}.log" for number in range(20_000)]
    for name in names:
        name.parent.mkdir(exist_ok=True)
        append(name, "quiet\n")
    async with running(source):
        await until(lambda: intake.begun and len(intake.files()) == len(names), seconds=300)
        for mark, name in enumerate(names[::20]):
            append(name, line(mark))
        await until(lambda: intake.marks == list(range(1000)), seconds=120)
        held = len(os.listdir("/proc/self/fd"))
        assert held < source._schedule.open_max + 100
    assert not intake.lost
