from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from monitor.store.heads import Head, Heads


def heads(path: Path, *, create: bool = True) -> contextlib.closing[Heads]:
    return contextlib.closing(Heads(path, create=create))


def test_it_keeps_the_latest_of_each_over_processes(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    with heads(path) as mine, heads(path) as other:
        assert not mine.any()
        mine.note([Head("a", 1, 1, "x"), Head("b", 1, 1, "y")], durable=True)
        other.note([Head("a", 3, 2, "z")], durable=True)
        mine.note([Head("a", 2, 2, "late")], durable=True)  # committed before the other's, and written after it
        assert mine.known(["a", "c"]) == {"a": Head("a", 3, 2, "z")}
    with heads(path, create=False) as again:
        assert [head.incident for head in again.all()] == ["a", "b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_may_not_be_on_disk_yet_waits_for_what_is(tmp_path: Path) -> None:
    with heads(tmp_path / "heads") as mine:
        mine.note([Head("a", 1, 1, "x")], durable=False)
        assert not mine.any()
        mine.note([Head("b", 1, 1, "y")], durable=True)
        assert [head.incident for head in mine.all()] == ["a", "b"]


def test_what_the_database_lacks_stays_known_until_it_is_accepted(tmp_path: Path) -> None:
    with heads(tmp_path / "heads") as mine:
        mine.note([Head("a", 9, 7, "x")], durable=True)
        mine.lose([Head("a", 4, 3, "w")], 100.0)
        mine.note([Head("a", 5, 4, "v")], durable=True)
        mine.lose([Head("a", 2, 2, "u")], 200.0)
        assert mine.known(["a"])["a"] == Head("a", 2, 2, "u", 5 + 3, 4 + 2, 100.0)
        mine.take([Head("a", 2, 2, "u")])
        assert mine.all() == [Head("a", 2, 2, "u")]


def test_without_a_file_or_with_a_damaged_one_work_goes_on(tmp_path: Path) -> None:
    with heads(tmp_path / "none" / "heads") as mine, heads(tmp_path / "none", create=False) as missing:
        for one in (mine, missing):
            assert not one.kept
            one.note([Head("a", 1, 1, "x")], durable=True)
            assert (one.all(), one.any(), one.known(["a"])) == ((), False, {})
    path = tmp_path / "heads"
    path.write_bytes(os.urandom(5000))
    with heads(path) as mine:
        mine.note([Head("a", 1, 1, "x")], durable=True)
        assert mine.any()
    assert (tmp_path / "heads.damaged").stat().st_size == 5000
