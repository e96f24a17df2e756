from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from monitor.store.tally import NumberFile


def test_it_only_grows_unless_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    one, other = NumberFile(path, create=True), NumberFile(path, create=False)
    one.reached(7)
    other.reached(5)
    assert one.read() == 7
    one.set(2)
    assert other.read() == 2
    one.close()
    other.close()
    path.write_bytes(b"abc")
    torn = NumberFile(path, create=False)
    assert torn.read() == 0
    torn.close()


def test_without_a_file_nothing_is_counted(tmp_path: Path) -> None:
    for tally in (NumberFile(tmp_path / "no" / "mark", create=True), NumberFile(tmp_path / "mark", create=False)):
        tally.reached(3)
        assert tally.read() == 0
        tally.close()
    assert not (tmp_path / "mark").exists()


def test_a_look_that_fails_is_no_trouble_of_the_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = NumberFile(tmp_path / "mark", create=True)
    tally.reached(3)

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        tally.reached(4)
    assert tally.read() == 4
    tally.close()
