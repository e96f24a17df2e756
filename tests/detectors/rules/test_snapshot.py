from __future__ import annotations

import os
from pathlib import Path

import pytest

from detectors import cache
from detectors.rules import snapshot
from detectors.rules.load import load_rules
from detectors.rules.rule import PACKS, Rule


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return load_rules(["vcs", "cloud", "generic"])


def shapes(rules: list[Rule]) -> list[object]:
    return [(rule, rule.shape) for rule in rules]


def test_what_is_read_back_is_what_was_saved(rules: list[Rule], tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.rules"
    snapshot.save(path, rules)
    loaded = snapshot.load(path)
    assert loaded is not None
    assert shapes(loaded) == shapes(rules)
    assert [rule.confirm for rule in loaded] == [rule.confirm for rule in rules]


def test_its_name_follows_the_packs(tmp_path: Path) -> None:
    pack = tmp_path / "family" / "a.toml"
    pack.parent.mkdir()
    pack.write_text("x = 1")

    def name(*packs: str) -> Path:
        return snapshot.snapshot_path(tmp_path, packs or ["default"], tmp_path / "cache")

    first = name()
    assert name() == first
    assert name("cloud", "vcs") == name("vcs", "cloud") != first
    os.utime(pack, ns=(1, 1))
    assert name() != first
    second = name()
    (pack.parent / "b.toml").write_text("")
    assert name() != second


def test_rules_come_from_the_cache_and_survive_its_loss(tmp_path: Path) -> None:
    plain = load_rules(["vcs"])
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain  # writes it
    path = snapshot.snapshot_path(PACKS, ["vcs"], tmp_path)
    assert path.exists()
    snapshot.save(path, plain[:1])  # only to see that it is what is read
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain[:1]
    path.write_bytes(b"damaged")
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[[[], []]]", b'{"a": 1}', b"[[[1], [2]]]", b"null"])
def test_a_whole_file_of_another_content_is_made_anew(tmp_path: Path, body: bytes) -> None:
    plain = load_rules(["vcs"], cache_dir=tmp_path)
    cache.write(snapshot.snapshot_path(PACKS, ["vcs"], tmp_path), body, keep=4)
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain
