"""The history of the shipped rules, made from git: `python -m tests.rules_history`, or `make rules-history`.

Each commit of this branch that changed what a pack file says of its rules is a mark. Run it where commits are final: a
rebase gives them other names.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from detectors.rules.history import FILE, Mark, RuleEntry, compose, entries

__all__ = ["marks"]

_PACKS = "detectors/packs"


class _Commit(NamedTuple):
    name: str
    at: datetime
    files: dict[str, str]  # path → blob; empty where it went


def marks(root: Path) -> Iterator[Mark]:
    """The oldest first. Raises CalledProcessError where git does not know the place."""
    commits = list(_commits(root))
    packs = _parsed(root, commits)
    versions = _versions(root)
    files: dict[str, tuple[tuple[str, RuleEntry], ...]] = {}
    last: Mark | None = None
    for commit in commits:
        for path, blob in commit.files.items():
            files[path] = packs(path, blob) if blob else ()
        rules = {rule_id: entry for path in sorted(files) for rule_id, entry in files[path]}
        if last is None or rules != last.rules:
            if last is not None:
                yield last._replace(versions=_until(versions, commit.at))
            last = Mark(commit.at, commit.name[:12], (), rules)
    if last is not None:
        yield last._replace(versions=_until(versions, datetime.max.replace(tzinfo=UTC)))


def _commits(root: Path) -> Iterator[_Commit]:
    form = ["--reverse", "--first-parent", "--format==%H %cI", "--raw", "--no-abbrev", "--no-renames"]
    commit: _Commit | None = None
    for line in _git(root, "log", *form, "--", f"{_PACKS}/*/*.toml").decode().splitlines():
        if line.startswith("="):
            if commit is not None:
                yield commit
            name, at = line[1:].split()
            commit = _Commit(name, datetime.fromisoformat(at).astimezone(UTC), {})
        elif line and commit is not None:
            about, path = line.split("\t")
            commit.files[path] = "" if about.endswith(" D") else about.split()[3]
    if commit is not None:
        yield commit


class _Packs(NamedTuple):
    texts: dict[str, bytes]

    def __call__(self, path: str, blob: str) -> tuple[tuple[str, RuleEntry], ...]:
        pack = path.removeprefix(f"{_PACKS}/").removesuffix(".toml")
        return tuple(entries(pack, tomllib.loads(self.texts[blob].decode()).get("rule", [])))


def _parsed(root: Path, commits: list[_Commit]) -> _Packs:
    """All blobs in one call of git."""
    blobs = sorted({blob for commit in commits for blob in commit.files.values() if blob})
    data = _git(root, "cat-file", "--batch", feed="\n".join(blobs).encode())
    texts, at = {}, 0
    for blob in blobs:
        begin = data.index(b"\n", at) + 1
        at = begin + int(data[at:begin].split()[2]) + 1
        texts[blob] = data[begin : at - 1]
    return _Packs(texts)


def _versions(root: Path) -> list[tuple[datetime, str]]:
    """What was released, and when: tags such as v1.2.0 of commits of this branch."""
    form = "--format=%(refname:strip=2) %(*committerdate:iso-strict) %(committerdate:iso-strict)"
    found = []
    for line in _git(root, "tag", "--merged", "HEAD", "--list", "v[0-9]*", form).decode().splitlines():
        name, at = line.split()[:2]
        found.append((datetime.fromisoformat(at).astimezone(UTC), name.removeprefix("v")))
    return sorted(found)


def _until(versions: list[tuple[datetime, str]], end: datetime) -> tuple[str, ...]:
    """Takes out those from before it: they were released with the mark that ends there."""
    taken = [name for at, name in versions if at < end]
    versions[:] = [one for one in versions if one[0] >= end]
    return tuple(taken)


def _git(root: Path, *arguments: str, feed: bytes | None = None) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, input=feed, check=True, capture_output=True).stdout


if __name__ == "__main__":
    FILE.write_text(compose(marks(Path.cwd())), encoding="utf-8")
