from __future__ import annotations

import os
from pathlib import Path

import pytest

from detectors import snapshot
from detectors.rule import Rule, builtin_packs, load_rules


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return load_rules(["vcs", "cloud"])


def shapes(rules: list[Rule]) -> list[object]:
    return [(rule, rule.shape) for rule in rules]


def test_what_is_read_back_is_what_was_saved(rules: list[Rule], tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.rules"
    snapshot.save(path, rules)
    loaded = snapshot.load(path)
    assert loaded is not None
    assert shapes(loaded) == shapes(rules)
    assert [rule.confirm for rule in loaded] == [rule.confirm for rule in rules]


@pytest.mark.parametrize("damage", ["absent", "empty", "truncated", "flipped", "foreign"])
def test_a_snapshot_that_is_not_whole_is_none(rules: list[Rule], tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.rules"
    snapshot.save(path, rules[:3])
    raw = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "truncated": raw[:-10],
                "flipped": raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:],
                "foreign": b"{}" * 100,
            }[damage]
        )
    assert snapshot.load(path) is None


def test_its_name_follows_the_packs(tmp_path: Path) -> None:
    pack = tmp_path / "a.toml"
    pack.write_text("x = 1")
    first = snapshot.snapshot_path([pack], tmp_path)
    assert snapshot.snapshot_path([pack], tmp_path) == first
    os.utime(pack, ns=(1, 1))
    assert snapshot.snapshot_path([pack], tmp_path) != first


def test_rules_come_from_the_cache_and_survive_its_loss(tmp_path: Path) -> None:
    plain = load_rules(["vcs"])
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain  # writes it
    path = snapshot.snapshot_path(builtin_packs(["vcs"]), tmp_path)
    assert path.exists()
    snapshot.save(path, plain[:1])  # only to see that it is what is read
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain[:1]
    path.write_bytes(b"damaged")
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain


def test_a_folder_that_cannot_be_written_is_no_error(rules: list[Rule], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    snapshot.save(blocked / "cache" / "x.rules", rules[:1])
    assert snapshot.load(blocked / "cache" / "x.rules") is None


def test_old_snapshots_are_swept(rules: list[Rule], tmp_path: Path) -> None:
    for number in range(9):
        snapshot.save(tmp_path / f"{number}.rules", rules[:1])
    assert len(list(tmp_path.glob("*.rules"))) <= 5
