from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.file import survey as module
from monitor.sources.file.globs import Globs
from monitor.sources.file.survey import Observation, Survey
from monitor.sources.file.tracked_file import TrackedFile


def survey(folder: Path, *names: str) -> Survey:
    include = tuple(str(folder / name) for name in names)
    return Survey(Globs(include, ()), include)


def changed(found: Observation) -> dict[str, int | None]:
    """Name of the file → its size now."""
    return {os.path.basename(path): now and now.size for path, now in found.changes}


def test_each_change_is_reported_once(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\n")
    looking = survey(tmp_path, "*.log")
    found = looking.look()
    assert (changed(found), found.whole, found.problems) == ({"a.log": 4}, True, {})
    assert changed(looking.look()) == {}
    with log.open("ab") as file:
        file.write(b"two\n")
    (tmp_path / "b.log").touch()
    assert changed(looking.look()) == {"a.log": 8, "b.log": 0}
    log.rename(tmp_path / "a.log.1")
    assert changed(looking.look()) == {"a.log": None}
    assert changed(looking.look()) == {}


def test_a_file_in_the_place_of_another_is_a_change(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"same\n")
    looking = survey(tmp_path, "*.log")
    before = looking.look().changes[0][1]
    (tmp_path / "new").write_bytes(b"same\n")
    (tmp_path / "new").replace(log)
    after = looking.look().changes[0][1]
    assert before is not None
    assert after is not None
    assert (before.size, before.ino) != (after.size, after.ino)


def test_only_the_paths_asked_for_are_looked_at(tmp_path: Path) -> None:
    for name in ("a.log", "b.log", "c.txt"):
        (tmp_path / name).touch()
    looking = survey(tmp_path, "*.log")
    found = looking.look([str(tmp_path / "b.log"), str(tmp_path / "c.txt"), str(tmp_path / "gone.log")])
    assert (changed(found), found.whole) == ({"b.log": 0}, False)
    assert changed(looking.look()) == {"a.log": 0}


def test_a_forgotten_path_is_reported_again(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    looking = survey(tmp_path, "*.log")
    looking.look()
    looking.forget(str(tmp_path / "a.log"))
    looking.forget("/never/seen")
    assert changed(looking.look()) == {"a.log": 0}


def test_a_folder_named_as_a_file_is_a_problem_and_other_kinds_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "x.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    found = survey(tmp_path, "app", "*.log").look()
    assert found.changes == []
    assert found.problems == {
        str(tmp_path / "app"): f"is a folder; write {tmp_path}/app/* to follow the files in it",
    }


def test_a_path_that_cannot_be_examined_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop.log"
    loop.symlink_to(loop)
    looking = survey(tmp_path, "loop.log")
    found = looking.look([str(loop)])
    assert found.changes == []
    assert "cannot be examined: Too many levels" in found.problems[str(loop)]


def test_of_an_open_file_the_size_is_asked_and_now_and_then_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    log.write_bytes(b"one\n")
    other.write_bytes(b"one\n")
    os.utime(tmp_path, (1000, 1000))  # a folder at rest
    descriptor = os.open(log, os.O_RDONLY)
    include = (f"{tmp_path}/*.log",)
    looking = Survey(Globs(include, ()), include, lambda path: descriptor if path == str(log) else -1)
    assert changed(looking.look()) == {"a.log": 4, "b.log": 4}
    asked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path: asked.append(os.path.basename(path)) or stat(path))
    assert changed(looking.look()) == {}
    assert asked == [tmp_path.name, "b.log"]
    with log.open("ab") as file:
        file.write(b"two\n")
    os.utime(other, (1, 1))
    assert changed(looking.look()) == {"a.log": 8, "b.log": 4}
    os.utime(log, (1, 1))
    assert changed(looking.look()) == {}
    monkeypatch.setattr(module, "_THOROUGH", 0.0)
    assert changed(looking.look()) == {"a.log": 8}
    monkeypatch.undo()
    os.close(descriptor)
    os.utime(other, (2, 2))
    log.rename(tmp_path / "a.log.1")
    assert changed(looking.look()) == {"a.log": None, "b.log": 4}


def test_a_descriptor_that_was_closed_makes_no_difference(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\n")
    os.utime(tmp_path, (1000, 1000))
    include = (str(log),)
    looking = Survey(Globs(include, ()), include, lambda path: 999_999)
    assert changed(looking.look()) == {"a.log": 4}
    log.write_bytes(b"other\n")
    assert changed(looking.look()) == {"a.log": 6}


def test_a_descriptor_that_is_closed_and_given_on_meanwhile_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.log").write_bytes(bytes(8))
    (tmp_path / "b.log").write_bytes(b"other")
    tracked = TrackedFile(str(tmp_path / "a.log"), (1, 2), fd=os.open(tmp_path / "a.log", os.O_RDONLY))
    number, real, others = tracked.fd, os.pread, []

    def pread(fd: int, size: int, at: int) -> bytes:
        data = real(fd, size, at)
        tracked.close()
        others.append(os.open(tmp_path / "b.log", os.O_RDONLY))
        return data

    monkeypatch.setattr(os, "pread", pread)
    survey(tmp_path, "*.log").filled(tracked)
    assert others == [number]
    assert real(number, 5, 0) == b"other"
    os.close(number)
