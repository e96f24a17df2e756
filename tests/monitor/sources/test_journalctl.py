from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from monitor.sources.journalctl import entry_at, newest, refused, said
from tests.fakes.journal import Journal


def call(journal: Journal) -> list[str]:
    program = shutil.which("journalctl")
    assert program is not None
    return [program, "--output=json", f"--directory={journal.folder}"]


async def test_the_newest_record_and_the_one_at_a_cursor(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert newest(call(journal)) == ""
    journal.write(b"one")
    await journal.settle()
    first = newest(call(journal))
    journal.write(b"two")
    await journal.settle()
    second = newest(call(journal))
    assert first
    assert second
    assert first != second
    assert await entry_at(call(journal), first) == first
    assert await entry_at(call(journal), "no cursor") == ""


def test_what_cannot_be_told(tmp_path: Path) -> None:
    assert newest([str(tmp_path / "journalctl")]) is None
    assert newest(["/bin/false"]) is None


@pytest.mark.parametrize(
    ("words", "is_refusal"),
    [
        (b"No journal files were opened due to insufficient permissions.\n", True),
        (b"Hint: You are currently not seeing messages from other users and the system.\n", True),
        (b"No journal files were found.\n", False),
        (b"", False),
    ],
)
def test_a_refusal(words: bytes, is_refusal: bool) -> None:
    assert refused(words) is is_refusal
    assert said(words + b"\n \n") == words.decode().strip()
