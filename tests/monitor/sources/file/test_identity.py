from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.file.identity import BODY, HEAD, Hasher
from monitor.sources.file.tracked_file import TrackedFile

HASHER = Hasher.derived(b"k" * 32)


@pytest.mark.parametrize("length", [1, HEAD, HEAD + 1, BODY, BODY + 1, 3 * BODY])
def test_what_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a" * length)
    tracked = TrackedFile(str(path), (1, 2))
    with path.open("r+b", buffering=0) as file:
        HASHER.settle(file.fileno(), tracked, length)
        assert HASHER.continues(file.fileno(), length, tracked)
        assert HASHER.body_matches(file.fileno(), tracked)
        for at in {0, length // 3, length // 2, length - 1}:
            os.pwrite(file.fileno(), b"b", at)
            ends = at < HEAD or at >= length - 256
            assert HASHER.continues(file.fileno(), length, tracked) != ends
            assert HASHER.body_matches(file.fileno(), tracked) != (at < BODY)
            os.pwrite(file.fileno(), b"a", at)
    assert not HASHER.continues(os.open(os.devnull, os.O_RDONLY), 0, tracked)


def test_keys_differ(tmp_path: Path) -> None:
    assert Hasher.derived(b"a").digest(b"x") != Hasher.derived(b"b").digest(b"x")
