from __future__ import annotations

from pathlib import Path

import pytest

from monitor.audit.git import Git, GitError, command
from tests.monitor.audit.conftest import git, repository


def test_it_answers_and_says_why_it_does_not(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {"a b": "x", "ü": "y"})
    assert sorted(Git(folder).names("ls-files", "-z")) == ["a b", "ü"]
    with pytest.raises(GitError, match="not a git repository"):
        Git(tmp_path)
    with pytest.raises(GitError):
        Git(tmp_path / "gone")


def test_nothing_that_its_configuration_names_is_run(tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {"a": "x", ".gitattributes": "* diff=evil filter=evil\n"})
    trap = tmp_path / "ran"
    for key in (
        "core.fsmonitor",
        "diff.evil.textconv",
        "diff.external",
        "core.pager",
        "gpg.program",
        "core.sshCommand",
    ):
        git(folder, "config", key, f"touch {trap}; false")
    git(folder, "config", "log.showSignature", "true")
    asked = Git(folder)
    asked.ask("ls-files", "--others", "--exclude-per-directory=.gitignore")
    asked.ask("log", "--all", "--no-ext-diff", "--no-textconv", "--name-only")
    asked.ask("check-ignore", "--no-index", "-v", "a", fine=(0, 1))
    asked.ask("cat-file", "blob", ":./a")
    assert not trap.exists()


def test_variables_of_git_around_us_do_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = repository(tmp_path / "one", {"one": "x"})
    other = repository(tmp_path / "other", {"other": "x"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert Git(one).names("ls-files", "-z") == ["one"]


def test_the_command_can_be_pasted() -> None:
    assert command(Path("/a b"), "ls-files", "--", "*.pem") == "git -C '/a b' ls-files -- '*.pem'"
