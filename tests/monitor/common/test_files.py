from __future__ import annotations

import gzip
import os
from pathlib import Path

from monitor.common.files import open_archive, open_file, open_same, read_exactly


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


def test_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0123456789"))
    stream = open_archive(str(tmp_path / "a.gz"))
    assert stream is not None
    with stream:
        assert read_exactly(stream, 4) == b"0123"
        assert read_exactly(stream, 40) == b"456789"
