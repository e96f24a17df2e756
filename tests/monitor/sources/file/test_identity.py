from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from monitor.sources.file.identity import BODY, HEAD, Hasher, open_archive, open_file, open_same, read_exactly
from monitor.sources.file.life import Life

HASHER = Hasher.derived(b"k" * 32)


def test_open_file_never_blocks_and_open_archive_knows_its_kinds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    os.close(open_file(str(tmp_path / "fifo")))
    assert open_archive(str(tmp_path / "plain.log")) is None


def test_open_same_opens_that_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a")
    status = path.stat()
    fd = open_same(str(path), (status.st_dev, status.st_ino))
    assert os.pread(fd, 2, 0) == b"a"
    os.close(fd)
    assert open_same(str(path), (status.st_dev, status.st_ino + 1)) == -1
    assert open_same(str(tmp_path / "none"), (1, 2)) == -1
    assert open_same(str(tmp_path), (tmp_path.stat().st_dev, tmp_path.stat().st_ino)) == -1


@pytest.mark.parametrize("length", [1, HEAD, HEAD + 1, BODY, BODY + 1, 3 * BODY])
def test_what_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a" * length)
    life = Life(str(path), (1, 2))
    with path.open("r+b", buffering=0) as file:
        HASHER.settle(file.fileno(), life, length)
        assert HASHER.continues(file.fileno(), length, life)
        assert HASHER.body_matches(file.fileno(), life)
        for at in {0, length // 3, length // 2, length - 1}:
            os.pwrite(file.fileno(), b"b", at)
            ends = at < HEAD or at >= length - 256
            assert HASHER.continues(file.fileno(), length, life) != ends
            assert HASHER.body_matches(file.fileno(), life) != (at < BODY)
            os.pwrite(file.fileno(), b"a", at)
    assert not HASHER.continues(os.open(os.devnull, os.O_RDONLY), 0, life)


def test_keys_differ(tmp_path: Path) -> None:
    assert Hasher.derived(b"a").digest(b"x") != Hasher.derived(b"b").digest(b"x")


def test_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0123456789"))
    stream = open_archive(str(tmp_path / "a.gz"))
    assert stream is not None
    with stream:
        assert read_exactly(stream, 4) == b"0123"
        assert read_exactly(stream, 40) == b"456789"
