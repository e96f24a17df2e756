from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors import cache


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.kind"
    for body in (b"", b"\n\0 any bytes", b"a" * 1_000_000):
        cache.write(path, body, keep=4)
        assert cache.read(path) == body
    assert os.listdir(path.parent) == ["x.kind"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: b"",
        lambda raw: raw[:10],
        lambda raw: raw[:-1],
        lambda raw: raw + b"more",
        lambda raw: b"\0" * len(raw),
        lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:],
        lambda raw: raw[:30] + bytes([raw[30] ^ 1]) + raw[31:],
        lambda raw: raw.replace(b"cache 2", b"cache 1"),
    ],
)
def test_what_is_not_whole_is_not_read(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.kind"
    cache.write(path, b"what was worth keeping", keep=4)
    path.write_bytes(harm(path.read_bytes()))
    assert cache.read(path) is None


def test_a_file_that_is_not_there_or_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache.write(tmp_path / "file" / "x.kind", b"body", keep=4)
    assert cache.read(tmp_path / "file" / "x.kind") is None


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.kind").mkdir()
    cache.write(tmp_path / "x.kind", b"body", keep=4)
    assert os.listdir(tmp_path) == ["x.kind"]


def test_the_oldest_of_a_kind_go(tmp_path: Path) -> None:
    (tmp_path / "x.other").write_text("")
    for number in range(9):
        cache.write(tmp_path / f"{number}.kind", b"body", keep=3)
        os.utime(tmp_path / f"{number}.kind", (number, number))
    assert sorted(os.listdir(tmp_path)) == ["6.kind", "7.kind", "8.kind", "x.other"]


def test_a_stamp_does_not_trust_a_time_that_was_set(tmp_path: Path) -> None:
    path = tmp_path / "a"
    stamps = set()
    for text in ("x", "y"):
        path.write_text(text)
        os.utime(path, ns=(1, 1))  # as in images that are made to be reproducible
        stamps.add(cache.stamp([("a", path.stat())]))
        time.sleep(0.02)  # the clock of a file system is coarse
    assert len(stamps) == 2


def test_a_stamp_tells_files_apart_by_name_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def stamp(name: str = "a") -> bytes:
        return cache.stamp([(name, path.stat())])

    path.write_text("x")
    os.utime(path, ns=(1, 1))
    first = stamp()
    assert stamp() == first
    assert stamp("b") != first
    os.utime(path, ns=(1, 2))
    assert stamp() != first
    path.write_text("xx")
    os.utime(path, ns=(1, 1))
    assert stamp() != first
