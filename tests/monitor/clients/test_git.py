from __future__ import annotations

from pathlib import Path

import pytest

from monitor.clients import git as git_module
from monitor.clients.git import DIFF, Git, GitError, command
from tests.fakes.repository import Repository, plant


def test_it_answers_and_says_why_it_does_not(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a b": "x", "ü": "y"})
    git = Git(repository.folder)
    assert sorted(git.names("ls-files", "-z")) == ["a b", "ü"]
    git.check_version()
    with pytest.raises(GitError, match="not a git repository"):
        Git(tmp_path)
    with pytest.raises(GitError):
        Git(tmp_path / "gone")
    with pytest.raises(GitError, match="bad revision"):
        list(git.stream("log", "nowhere", "--"))


@pytest.fixture
def hostile(tmp_path: Path) -> Repository:
    """All that a repository can bring along to have a program run. Each one that runs makes the file `ran`."""
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x\n"})
    repository.commit({"a": "y\n"})
    plant(repository, tmp_path / "ran")
    (repository.folder / "a").write_text("changed\n")
    return repository


def test_nothing_that_a_repository_brings_along_is_run(hostile: Repository, tmp_path: Path) -> None:
    git = Git(hostile.folder)
    git.ask("ls-files", "--others", "--exclude-per-directory=.gitignore")
    git.ask("check-ignore", "--no-index", "-v", "a", fine=(0, 1))
    assert b"+y" in git.ask("log", "--all", "-c", "-p", *DIFF)
    git.ask("diff", "--cached", "-p", *DIFF)
    git.ask("rev-list", "--objects", "--missing=print", "--all")
    git.ask("for-each-ref")
    git.ask("ls-tree", "-r", "HEAD")
    with git.blobs() as blobs:
        assert (blob := blobs.get(git.line("rev-parse", "HEAD:a"))) is not None
        assert blob.whole() == b"y\n"
        assert blobs.get("1" * 40) is None  # of a promisor: it would be fetched
    assert not (tmp_path / "ran").exists()


def test_what_is_missing_is_fetched_by_no_program_of_the_repository_where_git_knows_no_other_way(
    hostile: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git before 2.45 does not know GIT_NO_LAZY_FETCH."""
    monkeypatch.delitem(git_module._FIXED, "GIT_NO_LAZY_FETCH")
    with Git(hostile.folder).blobs() as blobs:
        assert blobs.get("1" * 40) is None
    assert not (tmp_path / "ran").exists()


def test_the_trap_is_one(hostile: Repository, tmp_path: Path) -> None:
    hostile.git("log", "-p", "--ext-diff", fine=False)
    assert (tmp_path / "ran").exists()


def test_what_is_asked_and_what_is_answered_may_both_be_more_than_pipes_hold(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    name = repository.commit({"a": "a line\n" * 20})
    asked = f"{name}\n".encode() * 3000
    answer = Git(repository.folder).stream("diff-tree", "--stdin", "--root", "-p", stdin=asked)
    assert b"".join(answer).count(name.encode()) == 3000


def test_contents_by_name_from_one_process(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "one\n", "b": "two" * 1000, "c": ""})
    git = Git(repository.folder)
    names = {path: git.line("rev-parse", f"HEAD:{path}") for path in "abc"}
    with git.blobs() as blobs:
        assert (b := blobs.get(names["b"])) is not None
        assert (b.size, b.read(3)) == (3000, b"two")  # the rest is passed over
        assert (a := blobs.get(names["a"])) is not None
        assert (a.whole(), a.read()) == (b"one\n", b"")
        assert blobs.get("0" * 40) is None
        assert blobs.get("HEAD") is None
        assert (c := blobs.get(names["c"])) is not None
        assert c.whole() == b""
        damaged = repository.folder / ".git/objects" / names["a"][:2] / names["a"][2:]
        damaged.chmod(0o644)
        damaged.write_bytes(b"damaged")
    with git.blobs() as blobs:
        assert blobs.get(names["a"]) is None
        assert blobs.get(names["b"]) is not None


def test_variables_of_git_around_us_do_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Repository(tmp_path / "one"), Repository(tmp_path / "other")
    one.commit({"one": "x"})
    other.commit({"other": "x"})
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert Git(one.folder).names("ls-files", "-z") == ["one"]
    assert Git(one.folder, hook=True).names("ls-files", "-z") == ["other"]  # git says so to its hooks


def test_a_repository_of_another_user_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path / "it's")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr("monitor.clients.git._OF_HOOKS", ("GIT_TEST_ASSUME_DIFFERENT_OWNER",))
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(GitError, match="belongs to another user") as told:
        Git(repository.folder, hook=True)
    assert "git config --global --add safe.directory" in str(told.value)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo git version 1.8.3.1", "git version 1.8.3.1 is too old: 2.26 or newer is needed"),
        ("echo something", "something is too old"),
        ("exit 3", "git ended with 3"),
    ],
)
def test_an_old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ncase $* in *version*) {script};; esac\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(GitError, match=says):
        Git(tmp_path).check_version()


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed"):
        Git(tmp_path)


def test_the_command_can_be_pasted() -> None:
    assert command(Path("/a b"), "ls-files", "--", "*.pem") == "git -C '/a b' ls-files -- '*.pem'"
