from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from monitor.sources.journalctl import Numbers, between, entry_at, newest, refused, said
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


def test_jumps_in_the_numbers_of_each_who_gives_them() -> None:
    numbers = Numbers()
    for cursor in ("s=a;i=5", "s=b;i=1", "s=a;i=6", "no cursor", "s=b;i=2", "s=a;i=6", "s=a;i=x"):
        numbers.see(cursor)
    assert (numbers.before, numbers.jumped) == ("", 0)
    for cursor in ("s=a;i=a", "s=a;i=b", "s=b;i=4", "s=b;i=3", "s=b;i=4"):
        numbers.see(cursor)
    assert (numbers.before, numbers.jumped) == ("s=a;i=6", 4)
    numbers.forget()
    numbers.see("s=a;i=c")
    assert (numbers.before, numbers.jumped) == ("", 0)


def test_how_many_there_were_between_two() -> None:
    assert between("s=a;i=1;t=5", "s=a;i=1f;t=9") == 29
    assert between("s=a;i=1", "s=b;i=1f") == between("no cursor", "s=a;i=1") == between("s=a;i=2", "s=a;i=1") == 1
