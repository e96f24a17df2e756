"""Where to begin, many files, one look, the configuration. Beside it: following, rotated, while_down, bad_input."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.sources.base import Where
from monitor.sources.file.source import FileConfig, FileSource
from monitor.sources.file.tracked_file import FileState, TrackedFile
from monitor.sources.file.tracker import WATERMARK
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


# Where to begin


async def test_start_at_end_holds_for_files_present_at_the_first_start_only(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    async with running(make(start_at="end", include=[f"{log.parent}/*.log"])):
        await until(lambda: WATERMARK in intake.saved)
        append(log, line(2))
        append(log.with_name("later.log"), line(3))
        await caught_up(intake, 2, 3)
    append(log.with_name("while-down.log"), line(4))
    async with running(make(start_at="end", include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 2, 3, 4)


async def test_start_at_beginning(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)


async def test_a_secret_across_the_point_of_the_first_start_is_found(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, "half a line <12")
    async with running(make(start_at="end")):
        await until(lambda: WATERMARK in intake.saved)
        append(log, "34>\n")
        await caught_up(intake, 1234)


# Many files


async def test_descriptors_are_bounded(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 10
    before = len(os.listdir("/proc/self/fd"))
    for index in range(200):
        append(log.with_name(f"{index}.log"), line(index))
    async with running(source):
        await caught_up(intake, *range(200))
        assert len(os.listdir("/proc/self/fd")) < before + 50
        for index in range(200):
            append(log.with_name(f"{index}.log"), line(1000 + index))
        await caught_up(intake, *range(200), *range(1000, 1200))


async def test_a_live_file_does_not_wait_for_those_that_catch_up(make: MAKE, intake: FakeIntake, log: Path) -> None:
    for index in range(12):
        append(log.with_name(f"big{index}.log"), (line(0, padding=4000) * 5000).replace("<0>", "---"))
    append(log, "small\n")
    async with running(make(include=[f"{log.parent}/*.log"])):
        await until(lambda: intake.scanned > 30 << 20)
        append(log, line(1))
        await until(lambda: 1 in intake.marks)
        assert intake.scanned < 150 << 20, "it had its turn before the others were done"


async def test_idle_files_cost_no_scans_and_no_commits(make: MAKE, intake: FakeIntake, log: Path) -> None:
    for index in range(50):
        append(log.with_name(f"{index}.log"), line(index))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, *range(50))
        await asyncio.sleep(0.2)
        commits, scanned = intake.commits, intake.scanned
        await asyncio.sleep(0.5)
        assert (intake.commits, intake.scanned) == (commits, scanned)
    async with running(make(include=[f"{log.parent}/*.log"])):
        await asyncio.sleep(0.5)
    assert (intake.commits, intake.scanned) == (commits, scanned)


# Once


async def test_what_nobody_thought_of_in_one_file_ends_no_other(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = log.with_name("other.log")
    log.write_bytes(b"one <1>\n")
    other.write_bytes(b"one <2>\n")
    broken, method = True, FileSource._read

    async def read(self: FileSource, tracked: TrackedFile, *more: Any) -> None:
        if broken and tracked.path == str(log):
            raise TypeError("hidden")
        await method(self, tracked, *more)

    monkeypatch.setattr(FileSource, "_read", read)
    monkeypatch.setattr("monitor.sources.file.source.backoff", lambda *_: 0.05)
    source = make(include=[str(log), str(other)])
    async with running(source):
        await until(lambda: intake.problems.get(str(log)) == "reading it failed: TypeError")
        append(other, b"two <4>\n")
        await until(lambda: 4 in intake.marks)
        append(log, b"two <3>\n")
        broken = False
        await until(lambda: 3 in intake.marks and intake.problems.get(str(log)) is None)
        assert sorted(intake.marks) == [1, 2, 3, 4]


async def test_once_reads_to_the_present_end_and_returns(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1) + "open <2>")
    append(log.with_name("b.log"), line(3) * 3)
    await make(include=[f"{log.parent}/*.log"]).run(True)
    assert intake.marks == [1, 2, 3, 3, 3]
    log.rename(log.with_name("app.log.1"))
    append(log, line(4))
    await make(include=[f"{log.parent}/app.log"]).run(True)
    assert intake.marks == [1, 2, 3, 3, 3, 4]
    await make(include=[f"{log.parent}/app.log"], start_at="end").run(True)
    assert intake.marks == [1, 2, 3, 3, 3, 4]


async def test_once_with_nothing_to_read(make: MAKE, intake: FakeIntake, log: Path) -> None:
    await make(include=[f"{log.parent}/missing/*.log"]).run(True)
    assert list(intake.saved) == [WATERMARK]


def test_where_it_stands_counts_no_file_that_was_forgotten(log: Path) -> None:
    append(log, line(1))
    there = TrackedFile(str(log), (log.stat().st_dev, log.stat().st_ino), offset=1, size=1)
    ended = TrackedFile(f"{log}.1", (1, 1), offset=5, place=FileState.ENDED)
    assert FileSource.where({"@first-run": {}, "a": there.state(), "b": ended.state()}) == Where(
        "1 file",
        log.stat().st_size - 1,
    )


# Configuration


def test_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/user")
    config = FileConfig(
        name="a", type="file", include=("./var/*.log", "~/x.log", "/a/../b/**"), exclude=("*.gz", "old/*")
    )
    assert config.include == (f"{tmp_path}/var/*.log", "/home/user/x.log", "/b/**")
    assert config.exclude == ("*.gz", f"{tmp_path}/old/*")
    other = FileConfig.model_validate({"name": "a", "type": "file", "include": ["x"]}, context={"folder": "/etc/m"})
    assert other.include == ("/etc/m/x",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"include": []}, "at least 1 item"),
        ({"include": [""]}, "must be a path or a glob"),
        ({"include": ["/var/log/**.log"]}, "must stand alone"),
        ({"include": ["/x"], "start_at": "middle"}, "'end' or 'beginning'"),
        ({"include": ["/x"], "quiet": 3}, "must be a duration"),
        ({"include": ["/x"], "reconcile": "0s"}, "greater than 0"),
        ({"include": ["/x"], "paths": []}, "Extra inputs"),
    ],
)
def test_configuration_errors(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FileConfig(name="a", type="file", **keys)
