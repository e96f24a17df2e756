from __future__ import annotations

from pathlib import Path

import pytest

from detectors.rules import packs, snapshot
from detectors.rules.load import load_rules, rule_families, shipped_rules
from monitor.runbook import runbook_store
from tests.detectors import texts


@pytest.fixture
def in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As packages have them."""
    (tmp_path / "packs.txt").write_bytes(packs.joined(packs.texts()))
    monkeypatch.setattr(packs, "FOLDER", tmp_path / "packs")
    packs._parts.cache_clear()
    return tmp_path / "packs.txt"


def test_one_file_says_the_same_as_a_file_each(in_one_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = packs.families(), packs.names(), packs.texts(), snapshot.digest()
    with pytest.raises(FileNotFoundError, match="no pack is called cloud/none"):
        packs.text("cloud/none")
    github = packs.text("vcs/github")
    monkeypatch.undo()
    assert joined == (packs.families(), packs.names(), packs.texts(), snapshot.digest())
    assert github == packs.text("vcs/github") == (packs.FOLDER / "vcs" / "github.toml").read_text(encoding="utf-8")
    assert len(in_one_file.read_bytes().split(b"#### packs/")) == len(packs.names()) + 1  # no pack has such a line


@pytest.mark.usefixtures("in_one_file")
def test_rules_and_runbooks_come_from_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    texts.rules()  # which sees to it that they have been read
    assert shipped_rules(["default"]) == [*texts.rules()]
    monkeypatch.setattr("detectors.cache.SHIPPED", Path("/nonexistent"))
    rules = load_rules(["vcs/github"])  # from the text
    assert {rule.source for rule in rules} == {"packs/vcs/github.toml"}
    assert rule_families()[rules[0].id] == "vcs"
    runbook_store._pack.cache_clear()
    assert (runbook_store._issuer("vcs/github") or {})["name"] == "GitHub"


@pytest.mark.usefixtures("in_one_file")
def test_what_was_opened_stays_what_it_is_when_an_upgrade_puts_another_in_its_place(tmp_path: Path) -> None:
    before = packs.text("vcs/github")
    (tmp_path / "new").write_text("#### packs/a/b\nx = 1\n")
    (tmp_path / "new").replace(tmp_path / "packs.txt")
    assert packs.text("vcs/github") == before
