from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.sources.journal import files
from monitor.sources.journal import source as module
from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.source import JournalSource
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.journal import Journal, source
from tests.fakes.peer import Way


@asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async def feed(lines: Sequence[str]) -> None:
        journal = Journal(folder)
        for line in lines:
            journal.write(line.encode())
        await journal.settle()

    yield Way({"directory": str(folder), "start_at": "beginning"}, feed)


async def test_records_are_read_to_the_end_and_never_twice(journal: Journal) -> None:
    intake = FakeIntake()
    for number in range(1, 40):
        journal.write(b"text <%d>" % number)
    journal.write(b"binary \xff\0 <40>\nand <41>\n")
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 42))
    assert len(intake.blocks) < 10  # not one a record
    journal.write(b"<42>")
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 43))
    assert intake.hits == 42
    assert not intake.lost
    assert not intake.problems


async def test_follows_over_boots_new_files_and_a_restart(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>", _BOOT_ID="b" * 32)
    journal.write(b"<2>")
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1, 2])
        journal.write(b"<3>")
        await journal.settle()
        await until(lambda: intake.marks == [1, 2, 3])
        journal.write(b"<4>", _BOOT_ID="c" * 32)
        await journal.settle("another")
        await until(lambda: intake.marks == [1, 2, 3, 4])
    journal.write(b"<5>")
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1, 2, 3, 4, 5])
    assert intake.hits == 5
    assert not intake.lost


async def test_the_end_is_where_it_was_when_the_monitor_started(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    late = source(journal, intake, start_at="end")
    intake.present = JournalSource.present(late.config)
    journal.write(b"<2>")
    await journal.settle()
    await late.run(True)
    assert intake.begun
    assert intake.marks == [2]


async def test_the_end_of_an_empty_journal_is_its_beginning(journal: Journal) -> None:
    intake = FakeIntake()
    first = source(journal, intake, start_at="end")
    intake.present = JournalSource.present(first.config)
    journal.write(b"<1>")
    await journal.settle()
    await first.run(True)
    assert intake.marks == [1]


async def test_two_hosts_of_which_one_comes_late(journal: Journal) -> None:
    """A record is read whatever its clock said and however much later it came: 0.2 s, a day, or before all others."""
    intake = FakeIntake()
    now = time.time_ns() // 1000
    other = {"_HOSTNAME": "web-1", "_BOOT_ID": "b" * 32}
    journal.write(b"<1>", __REALTIME_TIMESTAMP=str(now))
    await journal.settle("remote-a")
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1])
        for number, late in ((2, 200_000), (3, 2_000_000), (4, 86_400_000_000), (5, 40_000_000_000_000), (6, 0)):
            journal.write(b"<%d>" % number, __REALTIME_TIMESTAMP=str(now - late), **other)
            await journal.settle("remote-b")
            await until(lambda n=number: n in intake.marks)  # type: ignore[misc]
        journal.write(b"<7>", __REALTIME_TIMESTAMP=str(now - 3_600_000_000))  # the clock of the first one goes back
        await journal.settle("remote-a")
        await until(lambda: 7 in intake.marks)
    journal.write(b"<8>", __REALTIME_TIMESTAMP=str(now - 1_000_000), **other)  # while the monitor was away
    await journal.settle("remote-b")
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 9))
    assert intake.hits == 8
    assert not intake.lost


async def test_another_filter_loses_no_record_at_the_cursor(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    await source(journal, intake).run(True)
    journal.write(b"<2>", SYSLOG_IDENTIFIER="other")
    journal.write(b"<3>", SYSLOG_IDENTIFIER="other")
    await journal.settle()
    await source(journal, intake, identifiers=["other"]).run(True)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, [1, 2, 3, 4]),
        ({"units": ["app"]}, [1]),
        ({"units": ["web@*"]}, [2, 3]),
        ({"exclude_units": ["web@*", "app"]}, [4]),
        ({"identifiers": ["nginx"]}, [2]),
        ({"priority": "err"}, [3]),
        ({"boot": "b" * 32}, [4]),
        ({"fields": ["MESSAGE", "REQUEST"]}, [1, 2, 3, 4, 5]),
    ],
)
async def test_filters(journal: Journal, keys: dict[str, object], wanted: list[int]) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    journal.write(b"<2>", _SYSTEMD_UNIT="web@a.service", SYSLOG_IDENTIFIER="nginx")
    journal.write(b"<3>", _SYSTEMD_UNIT="web@b.service", PRIORITY="3")
    journal.write(b"<4>", _SYSTEMD_UNIT="", _BOOT_ID="b" * 32, REQUEST="<5>")
    await journal.settle()
    await source(journal, intake, **keys).run(True)
    assert intake.marks == wanted


async def test_a_host_without_a_journal_is_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_SOCKET", tmp_path / "socket")
    monkeypatch.setattr(files, "_ROOTS", (tmp_path / "log",))
    intake = FakeIntake()
    config = JournalConfig(name="journal", type="journal")
    await JournalSource(config, intake, b"k" * 32).run(True)
    assert intake.begun
    assert not intake.problems
    journal = Journal(tmp_path / "log" / ("a" * 32))
    journal.write(b"<1>")
    await journal.settle()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        async with running(JournalSource(config, intake, b"k" * 32)):
            await until(lambda: "not on PATH" in intake.problems.get("journalctl", ""))
    await JournalSource(config, intake, b"k" * 32).run(True)
    assert intake.marks == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read_is_told(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    (journal.folder / "system.journal").chmod(0)
    async with running(source(journal, intake)):
        await until(lambda: "may not read" in intake.problems.get("access", ""))
        (journal.folder / "system.journal").chmod(0o600)
        await until(lambda: intake.marks == [1] and not intake.problems)
