from __future__ import annotations

from monitor.sources.journal.files import JournalFile
from monitor.sources.journal.holes import Holes


def file(name: str, head: int, tail: int) -> JournalFile:
    return JournalFile(f"/j/{name}.journal", name, "m:s", head, tail, entries=tail - head + 1, archived=False)


SYSTEM, USER = file("system", 1, 20), file("user", 3, 18)


def test_within_one_file_that_was_read_nothing_is_left_out() -> None:
    holes = Holes()
    holes.add("c7", 7, 10)
    assert holes
    assert holes.files([SYSTEM], {("system", SYSTEM.path)}) == []
    assert holes.files([SYSTEM], set()) == [SYSTEM.path]
    assert holes.files([SYSTEM, USER], {("system", SYSTEM.path)}) == [SYSTEM.path, USER.path]
    assert holes.files([file("user", 10, 30)], set()) == []


def test_what_is_found_late_and_what_may_not_be_seen() -> None:
    holes = Holes()
    holes.add("c7", 7, 10)
    holes.add("c12", 12, 14)
    assert (holes.first, holes.last) == (8, 13)
    assert [holes.fill(number) for number in (7, 8, 8, 10, 13, 14)] == [False, True, False, False, True, False]
    assert holes.close([SYSTEM]) == 0, "the record before it is there: this one may not be seen"
    assert not holes


def test_what_was_deleted() -> None:
    holes = Holes()
    holes.add("c7", 7, 10)
    assert holes.close([file("system", 9, 20)]) == 2, "the record before it has gone, too"
    holes.know([SYSTEM, USER])
    holes.know([SYSTEM])
    holes.add("c7", 7, 10)
    holes.add("c18", 18, 20)
    assert holes.close([SYSTEM]) == 2, "a file that had them has gone"
    holes.add("c7", 7, 10)
    assert holes.close([]) == 2
