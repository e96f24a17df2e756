from __future__ import annotations

import gzip
import lzma
import os
from pathlib import Path

import pytest
import zstandard

from monitor.common.files import UNPACKING, open_archive, open_file, open_same, read_exactly


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


def test_xz_as_others_write_it(tmp_path: Path) -> None:
    text = b"".join(b"line %d\n" % n for n in range(40_000))
    half = len(text) // 2
    several = lzma.compress(text[:half]) + bytes(12) + lzma.compress(b"") + lzma.compress(text[half:])
    (tmp_path / "a.xz").write_bytes(several + bytes(40_000))  # as padding of a tape
    assert _read(tmp_path / "a.xz") == text
    (tmp_path / "a.xz").write_bytes(several[:-30])
    with pytest.raises(EOFError):
        _read(tmp_path / "a.xz")


def test_an_archive_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    """A window is memory that is taken whatever the archive holds."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": UNPACKING}]
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"a", filters=filters))
    with pytest.raises(lzma.LZMAError):
        _read(tmp_path / "a.xz")
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"a", preset=9))
    assert _read(tmp_path / "a.xz") == b"a"
    for log, refused in ((27, False), (28, True)):
        parameters = zstandard.ZstdCompressionParameters(window_log=log)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        (tmp_path / "a.zst").write_bytes(packer.compress(b"a" * 4096) + packer.flush())  # says no size of its content
        if refused:
            with pytest.raises(zstandard.ZstdError):
                _read(tmp_path / "a.zst")
        else:
            assert _read(tmp_path / "a.zst") == b"a" * 4096


def _read(path: Path) -> bytes:
    stream = open_archive(str(path))
    assert stream is not None
    with stream:
        return read_exactly(stream, 1 << 30)
