from __future__ import annotations

import os
from pathlib import Path

import pytest

from detectors import cache
from detectors.rules import packfile, packs, snapshot
from detectors.rules.load import load_rules
from detectors.rules.rule import Rule
from tests.detectors import texts


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return load_rules(["vcs", "cloud", "generic"])


def shapes(rules: list[Rule]) -> list[object]:
    return [(rule, rule.shape) for rule in rules]


def test_what_is_read_back_is_what_was_saved(rules: list[Rule], tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.rules"
    snapshot.save(path, rules)
    loaded = snapshot.load(cache.read(path))
    assert loaded is not None
    assert shapes(loaded) == shapes(rules)
    assert [rule.confirm for rule in loaded] == [rule.confirm for rule in rules]


def test_its_name_follows_the_packs_and_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "FOLDER", tmp_path)
    pack = tmp_path / "family" / "a.toml"
    pack.parent.mkdir()
    pack.write_text("x = 1")

    def name(*chosen: str) -> str:
        return snapshot.name(snapshot.digest(), chosen or ["default"])

    first = name()
    assert name() == first
    assert name("cloud", "vcs") == name("vcs", "cloud") != first
    os.utime(pack, ns=(1, 1))
    assert name() == first
    pack.write_text("x = 2")
    second = name()
    assert second != first
    (pack.parent / "b.toml").write_text("")
    assert name() != second


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "none")


def kept(chosen: list[str], folder: Path) -> Path:
    return folder / snapshot.name(snapshot.digest(), chosen)


@pytest.mark.usefixtures("nothing_shipped")
def test_rules_come_from_the_cache_and_survive_its_loss(tmp_path: Path) -> None:
    plain = load_rules(["vcs"])
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain  # writes it
    path = kept(["vcs"], tmp_path)
    assert path.exists()
    snapshot.save(path, plain[:1])  # only to see that it is what is read
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain[:1]
    path.write_bytes(b"damaged")
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain


def test_rules_come_from_the_package_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = texts.rules()  # which sees to it that the package has them
    snapshot.save(kept(["vcs/github", "vcs/git"], tmp_path), rules[:1])
    monkeypatch.setattr(packfile, "load_pack", lambda name: pytest.fail(f"{name} read"))
    assert load_rules(cache_dir=tmp_path) == [*rules]
    some = load_rules(["vcs/github", "vcs/git"], cache_dir=tmp_path)
    assert some == [one for one in rules if one.source in ("packs/vcs/github.toml", "packs/vcs/git.toml")]
    assert [path.name for path in tmp_path.glob("*.rules")] == [kept(["vcs/github", "vcs/git"], tmp_path).name]


@pytest.mark.usefixtures("nothing_shipped")
@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[[[], []]]", b'{"a": 1}', b"[[[1], [2]]]", b"null"])
def test_a_whole_file_of_another_content_is_made_anew(tmp_path: Path, body: bytes) -> None:
    plain = load_rules(["vcs"], cache_dir=tmp_path)
    cache.write(kept(["vcs"], tmp_path), body, keep=4)
    assert load_rules(["vcs"], cache_dir=tmp_path) == plain
