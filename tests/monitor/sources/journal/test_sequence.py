from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.sources.journal import sequence
from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.journalctl import JournalError
from monitor.sources.journal.source import JournalSource
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.journal import Journal, program, source
from tests.fakes.journald import journald


async def test_a_vanished_cursor_is_a_gap_and_reading_goes_on_from_the_oldest(journal: Journal) -> None:
    intake = FakeIntake()
    for number in range(1, 6):
        journal.write(b"<%d>" % number)
        await journal.settle("old" if number < 4 else "new")
        if number == 3:
            await source(journal, intake).run(True)
            (journal.folder / "old.journal").unlink()
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2, 3, 4, 5]
    assert [(reason, count) for reason, count, _ in intake.lost] == [("journal_gap", 0)], "nobody knows how many"
    await source(journal, intake).run(True)
    assert len(intake.lost) == 1, "told once"
    assert intake.hits == 5


async def test_a_restored_older_journal_is_read_anew(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    kept = (journal.folder / "system.journal").read_bytes()
    journal.write(b"<2>")
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1, 2])
        (journal.folder / "system.journal").unlink()
        (journal.folder / "system.journal").write_bytes(kept)
        await until(lambda: intake.lost)
        journal.write(b"<3>")
        await journal.settle()
        await until(lambda: 3 in intake.marks)
    (journal.folder / "system.journal").write_bytes(kept)
    for number in (4, 5, 6):  # its numbers go on beyond the position
        journal.write(b"<%d>" % number)
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2, 3, 4, 5, 6]
    assert {(reason, count) for reason, count, _ in intake.lost} == {("journal_gap", 0)}


async def test_journalctl_killed_in_the_midst_of_it_loses_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sequence, "_FIRST", 0.01)
    monkeypatch.setattr(sequence, "_LONGEST", 0.02)
    real = shutil.which("journalctl")
    killed = tmp_path / "killed"
    killed.touch()
    program(
        tmp_path / "bin",
        f"""n=$(wc -l < "{killed}"); echo x >> "{killed}"
[ "$n" -gt 8 ] && exec {real} "$@"
cd "{tmp_path}"; mkfifo $$; {real} "$@" >$$ & head -c $((900 * (n % 3))) $$; kill $!; kill -9 $$""",
        monkeypatch,
    )
    intake = FakeIntake()
    for number in range(1, 40):
        journal.write(b"<%d>" % number)
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == list(range(1, 40)) and not intake.problems)
    assert not [reason for reason, *_ in intake.lost if reason != "garbled"]


@asynccontextmanager
async def real_journald() -> AsyncIterator[tuple[Path, int, Callable[[bytes], None]]]:
    """Folder and process of a journald that is ours, and what writes a record to it."""
    async with journald() as (_, mount):
        pid = int(mount.split("/")[2])
        root = Path("/proc", str(pid), "root")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.connect(str(root / "run/systemd/journal/socket"))

            def write(message: bytes) -> None:
                sending.send(b"MESSAGE=%b\nSYSLOG_IDENTIFIER=app\n" % message)

            yield root / "run/log/journal", pid, write


async def rotated(folder: Path, pid: int) -> Path:
    """Have journald begin another file; gives the one that it ended."""
    before = set(folder.rglob("*@*.journal"))
    os.kill(pid, signal.SIGUSR2)
    await until(lambda: set(folder.rglob("*@*.journal")) - before)
    [path] = set(folder.rglob("*@*.journal")) - before
    return path


@pytest.mark.parametrize("keys", [{}, {"identifiers": ["app"]}])
async def test_over_rotations_by_journald_nothing_is_lost(keys: dict[str, object]) -> None:
    intake = FakeIntake()
    async with real_journald() as (folder, pid, write):
        here = {"directory": str(folder), "start_at": "beginning", **keys}
        config = JournalConfig.model_validate({"name": "journal", "type": "journal", **here})
        for number in range(4):
            async with running(JournalSource(config, intake, b"k" * 32)):
                write(b"<%d>" % (4 * number))
                await until(lambda n=number: 4 * n in intake.marks)  # type: ignore[misc]
                write(b"<%d>" % (4 * number + 1))
                old = await rotated(folder, pid)
                write(b"<%d>" % (4 * number + 2))
                await until(lambda n=number: len(intake.marks) == 4 * n + 3)  # type: ignore[misc]
            old.unlink()  # as vacuuming does
            write(b"<%d>" % (4 * number + 3))
            await rotated(folder, pid)
        async with running(JournalSource(config, intake, b"k" * 32)):
            await until(lambda: intake.marks == list(range(16)))
    assert not intake.lost


async def test_what_is_deleted_while_reading_lags_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "_LOOK", 0.0)
    intake = FakeIntake()
    async with real_journald() as (folder, pid, write):
        keys = {"name": "journal", "type": "journal", "directory": str(folder), "start_at": "beginning"}
        async with running(JournalSource(JournalConfig.model_validate(keys), intake, b"k" * 32)):
            write(b"<1>")
            await until(lambda: intake.marks == [1])
            intake.gate.clear()
            for number in range(2, 90):
                write(b"<%d>" % number + bytes(150_000))
            old = await rotated(folder, pid)
            old.unlink()
            write(b"<90>")
            await rotated(folder, pid)
            intake.gate.set()
            await until(lambda: 90 in intake.marks)
            await until(lambda: sum(count for _, count, _ in intake.lost) == 90 - len(intake.marks))
    assert {reason for reason, *_ in intake.lost} == {"journal_gap"}


async def test_a_record_the_engine_fails_on_is_lost_alone(journal: Journal) -> None:
    intake = FakeIntake()
    for number in range(1, 6):
        journal.write(b"bad" if number == 3 else b"<%d>" % number)
    await journal.settle()
    intake.broken = b"bad"
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2, 4, 5]
    assert intake.lost == [("unscannable", 3, "app.service")]
    await source(journal, intake).run(True)
    assert intake.hits == 4


async def test_thousands_of_findings_are_taken_in_parts(journal: Journal) -> None:
    intake = FakeIntake()
    intake.enough = 1
    journal.write(b"x" * (3 << 20) + b"<1>")
    for number in range(2, 9):
        journal.write(b"<%d>" % number)
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 9))
    assert intake.hits == 8


async def test_a_journalctl_that_ends_is_told_and_started_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sequence, "_FIRST", 0.01)
    monkeypatch.setattr(sequence, "_LONGEST", 0.02)
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    with monkeypatch.context() as patch:
        program(tmp_path / "bin", 'echo "Failed to open it." >&2; exit 1', patch)
        with pytest.raises(JournalError):
            await source(journal, intake).run(True)
        assert intake.problems["journalctl"] == "Failed to open it."
    with monkeypatch.context() as patch:
        runs = tmp_path / "runs"
        runs.touch()
        program(tmp_path / "bin", f'echo x >> "{runs}"; exit 3', patch)
        async with running(source(journal, intake)):
            await until(lambda: runs.read_text().count("x") > 9)
        assert "ended with 3" in intake.problems["journalctl"]
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1] and not intake.problems)


async def test_journalctl_ends_with_the_source_and_sees_none_of_our_environment(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abc")
    journal.write(b"<1>")
    await journal.settle()
    told = tmp_path / "told"
    program(
        tmp_path / "bin",
        f'case "$*" in *--follow*) env > "{told}"; echo $$ >> "{told}"; exec sleep 600;; esac',
        monkeypatch,
    )
    async with running(source(journal, FakeIntake())):
        await until(lambda: told.exists() and told.read_text().strip().split("\n")[-1].isdigit())
    assert "SOME_TOKEN" not in told.read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text().split()[-1]), 0)


async def test_the_reader_waits_for_the_store(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = FakeIntake()
    for number in range(1, 30):
        journal.write(b"%d" % number * 200_000)
    async with running(source(journal, intake)):
        await until(lambda: intake.begun)
        intake.gate.clear()
        await journal.settle()
        await until(lambda: intake.scanned > 0)
        before = intake.scanned
        await asyncio.sleep(0.2)
        assert intake.scanned == before
        intake.gate.set()
        await until(lambda: intake.scanned > 29 * 200_000)


async def test_what_was_passed_by_as_two_files_grew_at_once_is_looked_for_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = shutil.which("journalctl")
    runs = tmp_path / "runs"
    program(
        tmp_path / "bin",
        f'[ -e "{runs}" ] && exec {real} "$@"; touch "{runs}"; {real} "$@" | awk -v RS= -v ORS="\\n\\n" "!/<2>/"',
        monkeypatch,
    )
    for number in (1, 2, 3):
        journal.write(b"<%d>" % number)
    await journal.settle()
    other = bytearray((journal.folder / "system.journal").read_bytes())
    other[24:40] = b"another file, id"
    (journal.folder / "user-1000.journal").write_bytes(other)
    intake = FakeIntake()
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost
    await source(journal, intake).run(True)
    assert intake.hits == 3
