from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.audit.subject import unread
from tests.monitor.audit.conftest import Make, write


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a": "x", "d/b": "x"})
    (tmp_path / "a").chmod(0)
    (tmp_path / "d").chmod(0)
    (tree,) = make(tmp_path).trees
    try:
        assert [one.path for one in unread(tree)] == ["d"]
        assert {one.path for one in unread(tree, scanned=True)} == {"a", "d"}
        assert {one.verdict for one in unread(tree, scanned=True)} == {"unknown"}
    finally:
        (tmp_path / "d").chmod(0o700)


def test_damaged_archives_are_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"bad.gz": b"\x1f\x8b\x08rubbish", "good": "x"})
    (tree,) = make(tmp_path).trees
    assert [one.path for one in unread(tree, scanned=True)] == ["bad.gz"]
    assert not list(unread(tree))
