"""What .gitignore keeps out of a repository, and what is in it, or was once, all the same."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from monitor.audit.check import Evidence, Subject, attempted, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import variables
from monitor.audit.real import assigned
from monitor.audit.tree import EXAMPLE, Tree
from monitor.clients.git import Git, GitError, command

__all__ = ["covered"]

# A name of each pattern of the policy, such as nobody has by chance.
_NAMES = {
    ".env": ".env",
    ".env.local": ".env.local",
    ".env.*.local": ".env.audit.local",
    "*.pem": "audit-probe.pem",
    "*.key": "audit-probe.key",
}
_NEVER = re.compile(r"(?i)(?:^|/)\.env(?:(?:\.[\w-]+)?\.local)?$")
_COMMIT = re.compile(r"\x01([0-9a-f]{40}(?:[0-9a-f]{24})?)(?:\n+|$)")
_KEY_FILE = re.compile(r"(?i)\.(?:pem|key)$")
_PUBLIC = re.compile(rb"-----BEGIN (?:[A-Z0-9 ]*CERTIFICATE|[A-Z0-9 ]*PUBLIC KEY[A-Z ]*|DH PARAMETERS|X509 CRL)-----")
_SPECS = (":(icase,glob)**/*.env", ":(icase,glob)**/*.env.*", ":(icase,glob)**/*.pem", ":(icase,glob)**/*.key")
_LOOKED_AT = 200  # files of keys whose content is asked for


@each_folder
def covered(_: Subject, tree: Tree) -> Iterator[Evidence]:
    """`git check-ignore`, `git ls-files`, and every commit."""
    yield from attempted(_covered(tree), str(tree.root), command(tree.root, "status"))
    yield from unread(tree)


def _covered(tree: Tree) -> Iterator[Evidence]:
    """Raises GitError."""
    yield from _patterns(tree, tree.git)
    yield from _inside(tree, tree.git)
    yield from _before(tree, tree.git)


def _patterns(tree: Tree, git: Git) -> Iterator[Evidence]:
    """At the top, and in each folder that has such a file."""
    folders = {""}
    for name in tree.sizes:
        if tree.is_environment(name) or _KEY_FILE.search(name):
            folders.add(name.rpartition("/")[0])
    for folder in sorted(folders)[:_LOOKED_AT]:
        for pattern, last in _NAMES.items():
            name = f"{folder}/{last}" if folder else last
            repeat = command(tree.root, "check-ignore", "--no-index", "-v", name)
            if (by := _ignored(git, name)) is None:
                where = f" in {folder}/" if folder else ""
                yield failed(f"{pattern} is not ignored{where}", repeat, name)
            else:
                yield passed(f"{name} is ignored by {by}", repeat, name)


def _ignored(git: Git, name: str) -> str | None:
    """File and line of the .gitignore that ignores it. What only this clone ignores does not count."""
    out = git.ask("check-ignore", "--no-index", "-v", "-z", "--stdin", stdin=os.fsencode(name) + b"\0", fine=(0, 1))
    fields = out.decode("utf-8", "replace").split("\0")
    if len(fields) < 4:
        return None
    source, line, pattern = fields[:3]
    ignored = not pattern.startswith("!") and source.rpartition("/")[2] == ".gitignore"
    return f"{source}:{line}" if ignored else None


def _inside(tree: Tree, git: Git) -> Iterator[Evidence]:
    repeat = command(tree.root, "ls-files", "--", *_SPECS)
    blobs = [(f":./{name}", name) for name in tree.tracked]
    yield from _each(git, blobs, "is tracked", repeat)


def _before(tree: Tree, git: Git) -> Iterator[Evidence]:
    repeat = command(tree.root, "log", "--all", "--diff-filter=A", "--name-only", "--", *_SPECS)
    if git.ask("rev-parse", "--is-shallow-repository").strip() == b"true":
        yield unknown("the clone is shallow: its history is not here", command(tree.root, "fetch", "--unshallow"))
        return
    seen = _added(git) if git.ask("rev-list", "--all", "--max-count=1").strip() else {}
    tracked = set(tree.tracked)
    blobs = [(f"{commit}:./{name}", name) for name, commit in seen.items() if name not in tracked]
    yield from _each(git, blobs, "is in the history", repeat)


def _added(git: Git) -> dict[str, str]:
    """Every such file that was ever committed, with the last commit that added it."""
    how = ("log", "--all", "-m", "--no-renames", "--no-ext-diff", "--no-textconv", "--diff-filter=A", "--name-only")
    out = git.names(*how, "--relative", "--format=%x01%H", "-z", "--", *_SPECS)
    commit, seen = "", dict[str, str]()
    for field in out:
        text = field.strip("\n")
        if (match := _COMMIT.match(text)) is not None:
            commit, text = match[1], text[match.end() :]
        if text:
            seen.setdefault(text, commit)
    return seen


def _each(git: Git, blobs: Iterable[tuple[str, str]], what: str, repeat: str) -> Iterator[Evidence]:
    """What each of these files in git's store is worth."""
    wrong = False
    number = 0
    for blob, name in blobs:
        if _NEVER.search(name) and not EXAMPLE.search(name.rpartition("/")[2]):
            wrong = True
            yield failed(f"{name} {what}", repeat, name)
        elif _KEY_FILE.search(name) or Tree.is_environment(name):
            number += 1
            if number > _LOOKED_AT:
                yield unknown(f"more than {_LOOKED_AT} such files; the rest was not looked at", repeat)
                return
            piece = _worth(git, blob, name, what, repeat)
            wrong = wrong or piece.verdict == "fail"
            yield piece
    if not wrong:
        yield passed(f"{git.folder}: no .env and no private key {what}", repeat)


def _worth(git: Git, blob: str, name: str, what: str, repeat: str) -> Evidence:
    """A certificate may be tracked, and settings that are no secret; a private key and a secret may not. Of all else
    nobody but a person can tell."""
    try:
        data = git.ask("cat-file", "blob", blob)
    except GitError as error:
        return unknown(f"{name} {what}, and cannot be read: {error}", repeat, name)
    if not _KEY_FILE.search(name):
        held = ", ".join(assigned((one.name, one.value) for one in variables(data.decode("utf-8", "replace"))))
        if held:
            return failed(f"{name} {what}, and holds {held}", repeat, name)
        return passed(f"{name} {what}, and holds no secret by its names", repeat, name)
    if b"PRIVATE KEY" in data:
        return failed(f"{name} {what}, and holds a private key", repeat, name)
    if _PUBLIC.search(data) or not data.strip():
        return passed(f"{name} {what}, and holds nothing private", repeat, name)
    return unknown(f"{name} {what}; what it holds is for a person to tell", repeat, name)
