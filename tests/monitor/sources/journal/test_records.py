from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from monitor.sources.journal import records, sequence
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.journal import Journal, source


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
    monkeypatch.setattr(sequence, "_OPEN", 0.05)
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
    monkeypatch.setattr(records, "_LINE", 500)
    intake = FakeIntake()
    line = b"".join(b"%060d<%d>" % (0, number) for number in range(1, 200))
    for at in range(0, len(line), 100):
        journal.write(line[at : at + 100], _STREAM_ID="s" * 32, _LINE_BREAK="line-max")
    journal.write(b"<200>", _STREAM_ID="s" * 32)
    await journal.settle()
    await source(journal, intake).run(True)
    assert intake.marks == list(range(1, 201))
    assert intake.hits == 200


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
    monkeypatch.setattr(sequence, "_OPEN", 0.1)
    intake = FakeIntake()
    journal.write(f"{HEAD} <1>".encode())
    journal.write(b"A" * 64)
    await journal.settle()
    async with running(source(journal, intake)):
        await until(lambda: intake.marks == [1])
        journal.write(b"<2>")
        await journal.settle()
        await until(lambda: intake.marks == [1, 2])
        await until(lambda: [state for state in intake.saved.values() if ";i=3;" in str(state.get("cursor"))])
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
