"""What .gitignore keeps out of a repository, and what is in it, or was once, all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from monitor.audit.git import Git, GitError, command
from monitor.audit.subject import Subject, unread
from monitor.audit.tree import Tree
from monitor.audit.verdict import Evidence, failed, passed, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["covered"]

# A name of each pattern of the policy, such as nobody has by chance.
_NAMES = {
    ".env": ".env",
    ".env.local": ".env.local",
    ".env.*.local": ".env.audit.local",
    "*.pem": "audit-probe.pem",
    "*.key": "audit-probe.key",
}
_KEY_FILE = re.compile(r"(?i)\.(?:pem|key)$")
_PUBLIC = re.compile(rb"-----BEGIN (?:[A-Z0-9 ]*CERTIFICATE|[A-Z0-9 ]*PUBLIC KEY[A-Z ]*|DH PARAMETERS|X509 CRL)-----")
_SPECS = (":(icase,glob)**/*.env", ":(icase,glob)**/*.env.*", ":(icase,glob)**/*.pem", ":(icase,glob)**/*.key")
_LOOKED_AT = 200  # files of keys whose content is asked for


def covered(subject: Subject) -> Iterator[Evidence]:
    """`git check-ignore`, `git ls-files`, and every commit."""
    if not subject.trees:
        yield unknown("no folder was named", "monitor audit PATH")
    for tree in subject.trees:
        git = tree.git
        if isinstance(git, GitError):
            yield unknown(f"{tree.root}: {git}", command(tree.root, "rev-parse", "--git-dir"))
            continue
        try:
            yield from _patterns(tree, git)
            yield from _inside(tree, git)
            yield from _before(tree, git)
        except GitError as error:
            yield unknown(f"{tree.root}: {error}", command(tree.root, "status"))
        yield from unread(tree)


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
    out = git.ask("check-ignore", "--no-index", "-v", "-z", "--stdin", stdin=f"{name}\0".encode(), fine=(0, 1))
    fields = out.decode("utf-8", "replace").split("\0")
    if len(fields) < 4:
        return None
    source, line, pattern = fields[:3]
    if pattern.startswith("!") or source.rpartition("/")[2] != ".gitignore":
        return None
    return f"{source}:{line}"


def _inside(tree: Tree, git: Git) -> Iterator[Evidence]:
    repeat = command(tree.root, "ls-files", "--", *_SPECS)
    wrong = False
    for name in tree.tracked:
        if tree.is_environment(name):
            wrong = True
            yield failed(f"{name} is tracked", repeat, name)
    keys = [name for name in tree.tracked if _KEY_FILE.search(name)]
    for name, piece in _keys(git, [(f":./{name}", name) for name in keys], "is tracked", repeat):
        wrong = wrong or piece.verdict == "fail"
        yield piece
        del name
    if not wrong:
        yield passed(f"{tree.root}: no .env and no private key is tracked", repeat)


def _before(tree: Tree, git: Git) -> Iterator[Evidence]:
    repeat = command(tree.root, "log", "--all", "--diff-filter=A", "--name-only", "--", *_SPECS)
    if git.ask("rev-parse", "--is-shallow-repository").strip() == b"true":
        yield unknown("the clone is shallow: its history is not here", command(tree.root, "fetch", "--unshallow"))
        return
    if not git.ask("rev-list", "--all", "--max-count=1").strip():
        yield passed(f"{tree.root}: there is no commit yet", repeat)
        return
    added = ("log", "--all", "-m", "--no-renames", "--no-ext-diff", "--no-textconv", "--diff-filter=A", "--name-only")
    out = git.names(*added, "--relative", "--format=%x01%H", "-z", "--", *_SPECS)
    commit, seen, wrong = "", dict[str, str](), False
    for field in out:
        text = field.strip("\n")
        if text.startswith("\x01"):
            commit = text[1:41]
            text = text[41:].lstrip("\n")
        if text:
            seen.setdefault(text, commit)
    tracked = set(tree.tracked)
    for name in seen:
        if tree.is_environment(name) and name not in tracked:
            wrong = True
            yield failed(f"{name} was committed in {seen[name][:12]} and is in the history", repeat, name)
    gone = [name for name in seen if _KEY_FILE.search(name) and name not in tracked]
    for _, piece in _keys(git, [(f"{seen[name]}:./{name}", name) for name in gone], "is in the history", repeat):
        wrong = wrong or piece.verdict == "fail"
        yield piece
    if not wrong:
        yield passed(f"{tree.root}: no .env and no private key was ever committed", repeat)


def _keys(git: Git, blobs: Iterable[tuple[str, str]], what: str, repeat: str) -> Iterator[tuple[str, Evidence]]:
    """A certificate may be tracked; a private key may not; of all else nobody but a person can tell."""
    for number, (blob, name) in enumerate(blobs):
        if number == _LOOKED_AT:
            yield name, unknown(f"more than {_LOOKED_AT} .pem and .key files; the rest was not looked at", repeat)
            return
        try:
            data = git.ask("cat-file", "blob", blob)
        except GitError as error:
            yield name, unknown(f"{name} {what}, and cannot be read: {error}", repeat, name)
            continue
        if b"PRIVATE KEY" in data:
            yield name, failed(f"{name} {what}, and holds a private key", repeat, name)
        elif _PUBLIC.search(data) or not data.strip():
            yield name, passed(f"{name} {what}, and holds nothing private", repeat, name)
        else:
            yield name, unknown(f"{name} {what}; what it holds is for a person to tell", repeat, name)
