from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detectors.rules.rule import Rule
from monitor.clients.git import Git
from monitor.scan.cursor import Cursor, rules_digest
from monitor.scan.history import Range
from tests.detectors import texts
from tests.fakes.repository import Repository

ALL = Range(("--all",), whole=True)


def named(repository: Repository, wanted: Range) -> list[str]:
    said = repository.git("log", "--format=%s", "--stdin", *wanted.options, stdin=wanted.stdin)
    return said.split()


def test_what_came_since(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x"}, "one")
    git = Git(repository.folder)
    cursor = Cursor.of(git, tmp_path / "state", "rules")
    assert cursor.since(git, ALL) == (ALL, "this history was not looked at before")
    cursor.save()
    assert named(repository, Cursor.of(git, tmp_path / "state", "rules").since(git, ALL)[0]) == []
    repository.commit({"a": "y"}, "two")
    repository.git("checkout", "-q", "-b", "side", "HEAD~1")
    repository.commit({"b": "y"}, "three")
    repository.git("tag", "-a", "v1", "-m", "tag")
    cursor = Cursor.of(git, tmp_path / "state", "rules")
    wanted, why = cursor.since(git, ALL)
    assert (sorted(named(repository, wanted)), why) == (["three", "two"], "")
    assert wanted.tags == (repository.git("rev-parse", "v1"),)
    cursor.save()
    again = Cursor.of(git, tmp_path / "state", "rules")
    assert again.since(git, ALL)[0].tags == ()
    worktree = tmp_path / "tree"
    repository.git("worktree", "add", "-q", "--detach", str(worktree))
    assert Cursor.of(Git(worktree), tmp_path / "state", "rules").path == again.path
    other = replace(again, rules="others")
    assert other.since(git, ALL) == (ALL, "the rules have changed, so the whole history is looked at again")
    again.path.write_text("{")
    assert "is damaged" in again.since(git, ALL)[1]
    assert len(list(again.path.parent.iterdir())) == 1


def test_names_that_went_since_are_no_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x"}, "one")
    git = Git(repository.folder)
    replace(Cursor.of(git, tmp_path / "state", "r"), tips=frozenset(["1" * 40])).save()
    wanted, _ = Cursor.of(git, tmp_path / "state", "r").since(git, ALL)
    assert named(repository, wanted) == ["one"]


def test_a_digest_is_of_what_would_be_found() -> None:
    one: Rule = texts.rule("x{8}")
    other: Rule = texts.rule("y{8}")
    assert rules_digest([one, other], "1") == rules_digest([other, one], "1")
    assert len({rules_digest([one], "1"), rules_digest([other], "1"), rules_digest([one], "2")}) == 3
