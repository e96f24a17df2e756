from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitor.sources import journal as module
from monitor.sources.journal import JournalConfig, JournalSource
from monitor.sources.journalctl import JournalError, entry_at
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def source(journal: Journal, intake: FakeIntake, **keys: object) -> JournalSource:
    keys = {"directory": str(journal.folder), "start_at": "beginning", **keys}
    return JournalSource(
        JournalConfig.model_validate({"name": "journal", "type": "journal", **keys}), intake, b"k" * 32
    )


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journalctl of our own, first on PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / "journalctl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


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


async def test_a_vanished_cursor_is_a_gap_and_reading_goes_on_from_the_oldest(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle()
    await source(journal, intake).run(True)
    (journal.folder / "system.journal").unlink()
    journal.write(b"<2>")
    journal.write(b"<3>")
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2, 3]
    assert [(reason, count) for reason, count, _ in intake.lost] == [("journal_gap", 1)]
    intake.saved = {key: {"cursor": "no cursor"} for key in intake.saved}
    await source(journal, intake).run(True)
    assert len(intake.lost) == 2
    assert intake.hits == 5  # read again, under the same ids
    assert len(intake.found) == 3


async def test_a_cursor_that_vanishes_just_before_it_is_read_on_from_is_a_gap(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = FakeIntake()
    journal.write(b"<1>")
    await journal.settle("old")
    await source(journal, intake).run(True)
    journal.write(b"<2>")
    await journal.settle("old")
    journal.write(b"<3>")
    await journal.settle("new")

    async def look(call: list[str], cursor: str) -> str:
        found = await entry_at(call, cursor)
        (journal.folder / "old.journal").unlink()
        return found

    monkeypatch.setattr(module, "entry_at", look)
    await source(journal, intake).run(True)
    assert intake.marks == [1, 3]
    assert [reason for reason, *_ in intake.lost] == ["journal_gap"]


def numbered(*numbers: int, more: str = "") -> str:
    """What a journalctl prints of records with these numbers."""
    lines = [f'{{"__CURSOR":"s=one;i={number:x};t={number:x}","MESSAGE":"<{number}>"}}' for number in numbers]
    return "printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + more


@pytest.mark.parametrize(
    ("found", "keys", "lost"),
    [(9, {}, [6]), (2, {}, []), (9, {"identifiers": ["app"]}, [])],
    ids=["deleted", "not to be seen", "filtered"],
)
@pytest.mark.parametrize("once", [True, False])
async def test_what_is_deleted_while_reading_lags_is_told(
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    found: int,
    keys: dict[str, object],
    lost: list[int],
    once: bool,
) -> None:
    """journalctl goes on at the oldest record that is left; `found`: the one that lies where the one before was."""
    looks = tmp_path / "looks"
    looks.touch()
    program(
        tmp_path / "bin",
        f"""case "$*" in
*--cursor=s=one\\;i=2\\;*--lines=1*) echo >> "{looks}"; {numbered(found)};;
*--cursor=*--lines=1*) {numbered(11)};;
*--follow*) {numbered(*((11,) if once else (1, 2, 9, 10, 11)), more="; exec sleep 600")};;
*) {numbered(1, 2, 9, 10, 11) if once else "true"};;
esac""",
        monkeypatch,
    )
    intake = FakeIntake()
    if once:
        await source(journal, intake, **keys).run(True)
    else:
        async with running(source(journal, intake, **keys)):
            await until(lambda: len(intake.marks) == 5 and (keys or looks.read_text()))
            await until(lambda: len(intake.lost) == len(lost))
    assert intake.marks == [1, 2, 9, 10, 11]
    assert [(reason, count) for reason, count, _ in intake.lost] == [("journal_gap", count) for count in lost]
    assert looks.read_text() == ("" if keys else "\n")


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


async def test_a_line_cut_by_journald_is_joined_and_held_until_it_is_whole(journal: Journal) -> None:
    intake = FakeIntake()
    cut = {"_STREAM_ID": "s" * 32, "_LINE_BREAK": "line-max"}
    journal.write(b"x" * 100 + b"<1", **cut)
    journal.write(b"<7>", _STREAM_ID="t" * 32)
    await journal.settle()
    held = source(journal, intake)
    async with running(held):
        await until(lambda: intake.marks == [7])
    journal.write(b"2> and <1", **cut)
    journal.write(b"3>", _STREAM_ID="s" * 32)
    journal.write(b"4>", _STREAM_ID="s" * 32)
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == [7, 12, 13]
    assert {seen.offset for seen in intake.found.values()} == {0, 100, 109}


async def test_the_rest_of_a_cut_line_that_never_comes_is_not_waited_for(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN", 0.05)
    intake = FakeIntake()
    journal.write(b"<1>", _STREAM_ID="s" * 32, _LINE_BREAK="line-max")
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1])
        journal.write(b"<2>", _STREAM_ID="s" * 32)
        await journal.settle()
        await until(lambda: intake.marks == [1, 2])


async def test_a_line_longer_than_may_wait_is_scanned_in_pieces_that_overlap(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE", 500)
    intake = FakeIntake()
    line = b"".join(b"%060d<%d>" % (0, number) for number in range(1, 200))
    for at in range(0, len(line), 100):
        journal.write(line[at : at + 100], _STREAM_ID="s" * 32, _LINE_BREAK="line-max")
    journal.write(b"<200>", _STREAM_ID="s" * 32)
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 201))
    assert intake.hits == 200


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


async def test_provenance(journal: Journal) -> None:
    records = []

    class Intake(FakeIntake):
        async def scan(self, blocks, positions):  # type: ignore[no-untyped-def]
            found = list(blocks)
            records.extend(part for block in found for _, part in block.parts)
            return await super().scan(found, positions)

    journal.write(b"<1>")
    journal.write(b"<2>", CONTAINER_NAME="gateway", IMAGE_NAME="acme/gateway:7", _SYSTEMD_UNIT="docker.service")
    await journal.settle()
    await source(journal, Intake()).run(True)
    assert [record.path for record in records] == ["app.service", "docker.service"]
    assert records[0].attributes == {
        "service": "app",
        "unit": "app.service",
        "identifier": "app",
        "pid": "12",
        "host": "db-1",
    }
    assert records[1].attributes["service"] == records[1].attributes["container"] == "gateway"
    assert records[1].attributes["image"] == "acme/gateway:7"
    assert records[0].logged_at is not None
    assert abs(records[0].logged_at - time.time()) < 600
    assert records[0].generation != records[1].generation


async def test_our_own_output_is_not_read(journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    own = {"_PID": str(os.getpid()), "_BOOT_ID": boot, "_SYSTEMD_INVOCATION_ID": "i" * 32}
    journal.write(b"<1>", **own)
    journal.write(b"<2>", **{**own, "_SYSTEMD_INVOCATION_ID": "j" * 32})
    await journal.settle()
    intake = FakeIntake()
    await source(journal, intake).run(True)
    assert intake.marks == [1, 2]  # not connected to the journal: who has our process id is somebody else
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    monkeypatch.setenv("INVOCATION_ID", "i" * 32)
    intake = FakeIntake()
    await source(journal, intake).run(True)
    assert intake.marks == [2]


async def test_a_host_without_a_journal_is_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_SOCKET", tmp_path / "socket")
    monkeypatch.setattr(module, "_FOLDERS", (tmp_path / "log",))
    monkeypatch.setattr(module, "_ABSENT", 0.01)
    intake = FakeIntake()
    config = JournalConfig(name="journal", type="journal")
    await JournalSource(config, intake, b"k" * 32).run(True)
    assert intake.begun
    assert not intake.told
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "socket").touch()
    async with running(JournalSource(config, intake, b"k" * 32)):
        await until(lambda: "not on PATH" in intake.problems.get("journalctl", ""))


async def test_a_journalctl_that_ends_or_is_refused_is_told_and_started_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.01)
    intake = FakeIntake()
    with monkeypatch.context() as patch:
        program(
            tmp_path / "bin", 'echo "No journal files were opened due to insufficient permissions." >&2; exit 1', patch
        )
        with pytest.raises(JournalError):
            await source(journal, intake).run(True)
        assert "insufficient permissions" in intake.problems["journalctl"]
    with monkeypatch.context() as patch:
        runs = tmp_path / "runs"
        runs.touch()
        program(tmp_path / "bin", f'echo x >> "{runs}"; exit 3', patch)
        async with running(source(journal, intake)):
            await until(lambda: runs.read_text().count("x") > 9)
        assert "ended with 3" in intake.problems["journalctl"]
    journal.write(b"<1>")
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1] and not intake.problems)


async def test_journalctl_ends_with_the_source_and_sees_none_of_our_environment(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abc")
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
    intake.gate.clear()
    for number in range(1, 30):
        journal.write(b"%d" % number * 200_000)
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.scanned > 0)
        before = intake.scanned
        await asyncio.sleep(0.2)
        assert intake.scanned == before
        intake.gate.set()
        await until(lambda: intake.scanned > 29 * 200_000)


@pytest.mark.parametrize(
    "keys",
    [
        {"units": [""]},
        {"units": ["--flush"]},
        {"priority": "--flush"},
        {"boot": "x"},
        {"fields": ["message"]},
        {"fields": []},
        {"start_at": "middle"},
        {"unit": "x"},
    ],
)
def test_what_is_wrong_with_the_configuration(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JournalConfig.model_validate({"name": "journal", "type": "journal", **keys})


def test_a_relative_folder_counts_from_that_of_the_configuration() -> None:
    keys = {"name": "j", "type": "journal", "directory": "journals"}
    assert JournalConfig.model_validate(keys, context={"folder": "/etc/x"}).directory == "/etc/x/journals"


def joined(intake: FakeIntake) -> list[str]:
    return [generation for generation, _, _ in intake.found if generation.endswith("-key")]


HEAD, TAIL = (f"-----{end} RSA PRIVATE KEY-----" for end in ("BEGIN", "END"))


async def test_a_key_printed_line_by_line_is_seen_whole_and_over_a_restart(journal: Journal) -> None:
    intake = FakeIntake()
    journal.write(f"{HEAD} <1>".encode())
    journal.write(b"another service", _PID="77")
    journal.write(b"A" * 64)
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.scanned > 80)
        kept = dict(intake.saved)
    journal.write(b"B" * 64)
    journal.write(f"{TAIL} <2>".encode())
    await journal.settle()
    await source(journal, intake).run(True)
    assert len(joined(intake)) == 2  # both marks, seen in one text
    assert intake.marks == [1, 1, 2, 2]
    assert kept != intake.saved
    await source(journal, intake).run(True)
    assert intake.hits <= len(intake.found) + 1  # its first record may be read again, and nothing else


async def test_a_key_that_never_ends_does_not_hold_the_position(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN", 0.1)
    intake = FakeIntake()
    journal.write(f"{HEAD} <1>".encode())
    journal.write(b"A" * 64)
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1])
        journal.write(b"<2>")
        await journal.settle()
        await until(lambda: intake.marks == [1, 2])
        (newest,) = JournalSource.present(source(journal, intake).config)
        await until(lambda: [state["cursor"] for state in intake.saved.values()] == [newest])
    before = intake.hits
    await source(journal, intake).run(True)
    assert intake.hits == before


async def test_what_journald_itself_dropped_is_told(journal: Journal) -> None:
    intake = FakeIntake()
    fields = {"MESSAGE_ID": "a596d6fe7bfa4994828e72309e95d61e", "_TRANSPORT": "driver"}
    journal.write(b"Suppressed 25 messages from /system.slice/chatty.service", **fields)
    journal.write(b"Suppressed 30 messages from x", N_DROPPED="31", OBJECT_SYSTEMD_UNIT="web.service", **fields)
    journal.write(b"Suppressed 99 messages from /system.slice/liar.service", **{**fields, "_TRANSPORT": "stdout"})
    journal.write(b"Suppressed 99 messages from somebody", _TRANSPORT="driver")
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.lost == [("suppressed", 25, "chatty.service"), ("suppressed", 31, "web.service")]
