from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from detectors.rules.history import compose, read
from tests.detectors.packs import GOOD, write
from tests.rules_history import marks

ROOT = Path(__file__).parents[1]


def git(folder: Path, *arguments: str, day: int = 1) -> str:
    at = f"2026-11-{day:02}T10:00:00+00:00"
    names = {f"GIT_{who}_{what}": "acme@acme.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **names, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at, "GIT_CONFIG_GLOBAL": "/dev/null"}
    answer = subprocess.run(["git", *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_each_commit_that_changes_rules_is_a_mark(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    packs = tmp_path / "detectors/packs"

    def commit(day: int) -> str:
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "x", day=day)
        return git(tmp_path, "rev-parse", "HEAD")[:12]

    file = write(packs / "vcs/acme.toml", GOOD)
    first = commit(1)
    write(file, GOOD.replace('examples = ["k=', 'examples = ["key='))  # decides nothing
    commit(2)
    write(tmp_path / "README.md", "x")
    commit(3)
    git(tmp_path, "tag", "-a", "v1.0.0", "-m", "x")
    git(tmp_path, "mv", "detectors/packs/vcs", "detectors/packs/saas")
    second = commit(4)
    git(tmp_path, "tag", "v1.1.0")
    write(packs / "saas/other.toml", GOOD.replace("acme-key", "other-key"))
    file.unlink(missing_ok=True)
    git(tmp_path, "rm", "-q", "detectors/packs/saas/acme.toml")
    third = commit(5)

    found = list(marks(tmp_path))
    assert [(mark.commit, mark.versions, mark.at.day) for mark in found] == [
        (first, ("1.0.0",), 1),
        (second, ("1.1.0",), 4),
        (third, (), 5),
    ]
    assert [{rule_id: entry.pack for rule_id, entry in mark.rules.items()} for mark in found] == [
        {"acme-key": "vcs/acme"},
        {"acme-key": "saas/acme"},
        {"other-key": "saas/other"},
    ]
    assert read(compose(found)) == found


def test_the_history_that_is_shipped_is_of_this_repository() -> None:
    """Where its commits are at hand: not in a shallow clone or an archive. Mend with make rules-history."""
    try:
        known = subprocess.run(
            ["git", "log", "--format=%H"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no repository")
    commits = [mark.commit for mark in read()]
    if not any(name.startswith(commits[0]) for name in known):
        pytest.skip("a shallow clone")
    assert [commit for commit in commits if not any(name.startswith(commit) for name in known)] == []
