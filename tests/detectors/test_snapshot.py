from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors import snapshot
from detectors.rule import builtin_packs, load_rules

PACK = ["vcs"]


def test_a_snapshot_gives_the_same_rules(tmp_path: Path) -> None:
    plain = load_rules(PACK)
    first = load_rules(PACK, cache_dir=tmp_path)
    assert list(tmp_path.glob("*.rules"))
    again = load_rules(PACK, cache_dir=tmp_path)
    assert plain == first == again
    assert [rule.shape for rule in again] == [rule.shape for rule in plain]
    assert [rule.confirm for rule in again] == [rule.confirm for rule in plain]


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw[:40],
        lambda raw: raw[:-5] + b"xxxxx",
        lambda raw: b"\0" * len(raw),
    ],
)
def test_a_damaged_snapshot_is_made_anew(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    rules = load_rules(PACK, cache_dir=tmp_path)
    (path,) = tmp_path.glob("*.rules")
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    assert snapshot.load(path) is None
    assert load_rules(PACK, cache_dir=tmp_path) == rules
    assert path.read_bytes() == whole


def test_other_files_have_another_snapshot(tmp_path: Path) -> None:
    assert snapshot.snapshot_path(builtin_packs(["vcs"]), tmp_path) != snapshot.snapshot_path(
        builtin_packs(["ai"]), tmp_path
    )
    pack = tmp_path / "own.toml"
    pack.write_text("")
    before = snapshot.snapshot_path([pack], tmp_path)
    os.utime(pack, (1, 1))
    assert snapshot.snapshot_path([pack], tmp_path) != before


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_rules(PACK, cache_dir=tmp_path / "file") == load_rules(PACK)
