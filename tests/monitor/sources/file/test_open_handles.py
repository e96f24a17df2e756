"""Deleted files, opened through the handle of who still has them open."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sources.file import open_handles
from monitor.sources.file.identity import Hasher
from monitor.sources.file.open_handles import OpenHandles
from monitor.sources.file.tracked_file import TrackedFile

HASHER = Hasher(b"k" * 32)
TEXT = b"a line that is long enough to be known by its hashes\n" * 3


def read(path: Path) -> TrackedFile:
    status = path.stat()
    tracked = TrackedFile(str(path), (status.st_dev, status.st_ino), size=status.st_size)
    fd = os.open(path, os.O_RDONLY)
    HASHER.settle(fd, tracked, status.st_size)
    os.close(fd)
    return tracked


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def writer(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the log open, and deletes nothing itself."""
    with log.open("ab") as file:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
    assert process.stdin is not None
    yield process
    process.stdin.close()
    process.wait()


def test_through_the_handle_of_another_process(log: Path, writer: subprocess.Popen[bytes]) -> None:
    tracked = read(log)
    log.unlink()
    tracked.changed = time.monotonic()
    fd = OpenHandles(HASHER).open(tracked)
    try:
        assert os.pread(fd, 1000, 0) == TEXT
        assert os.fstat(fd).st_nlink == 0
    finally:
        os.close(fd)


def test_not_when_nobody_has_it(log: Path) -> None:
    tracked = read(log)
    log.unlink()
    assert OpenHandles(HASHER).open(tracked) == -1


def test_not_what_holds_another_text(log: Path, writer: subprocess.Popen[bytes]) -> None:
    tracked = read(log)
    log.write_bytes(b"the file of somebody else, who got the number of ours since\n" * 4)
    log.unlink()
    assert OpenHandles(HASHER).open(tracked) == -1
    unread = TrackedFile(str(log), tracked.inode)
    assert OpenHandles(HASHER).open(unread) == -1, "nothing tells that it is ours"


def test_many_that_vanish_at_once_cost_one_look(
    log: Path, writer: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked, looks, entries = read(log), 0, open_handles._entries

    def counted(folder: str) -> list[str]:
        nonlocal looks
        looks += folder == "/proc"
        return entries(folder)

    monkeypatch.setattr(open_handles, "_entries", counted)
    log.unlink()
    tracked.changed = time.monotonic()
    there = OpenHandles(HASHER)
    for _ in range(5):
        fd = there.open(tracked)
        assert fd >= 0
        os.close(fd)
    assert looks == 1
    tracked.changed = time.monotonic()
    os.close(there.open(tracked))
    assert looks == 2, "deleted since"
