from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sources.file.globs import Globs
from monitor.sources.file.logs import Logs, youngest
from monitor.sources.file.registry import Registry
from monitor.sources.file.tracked_file import TrackedFile


def logs(folder: Path, *include: str, known: str = "app.log") -> Logs:
    registry = Registry()
    registry.add(tracked := TrackedFile(f"{folder}/{known}", (1, 1)))
    registry.attach(tracked, tracked.path)
    return Logs(Globs([f"{folder}/{one}" for one in include], []), registry)


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("app.log", "app.log"),
        ("app.log.1", "app.log"),
        ("app.log-20260101.gz", "app.log"),
        ("app-1.log", "app-1.log"),
        ("app-1.log.1", "app-1.log"),
    ],
)
def test_a_file_belongs_to_the_log_with_the_longest_name(tmp_path: Path, path: str, log: str) -> None:
    found = logs(tmp_path, "app.log", "app-1.log")
    assert found.of(f"{tmp_path}/{path}") == [f"{tmp_path}/{log}"]
    assert found.shown_at(f"{tmp_path}/{path}") is (path == log)


def test_a_rotated_file_that_the_pattern_shows_is_no_log_beside_its_own(tmp_path: Path) -> None:
    assert not logs(tmp_path, "app.log*").shown_at(f"{tmp_path}/app.log.1")


def test_of_each_log_the_one_written_last() -> None:
    tracked_files = [
        TrackedFile("a.1", (1, 1), mtime=1),
        TrackedFile("a", (1, 2), mtime=2),
        TrackedFile("b", (1, 3), mtime=0),
    ]
    assert youngest(zip(tracked_files, [["a"], ["a"], ["b"]], strict=True)) == set(tracked_files[1:])
