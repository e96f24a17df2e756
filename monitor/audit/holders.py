"""Who names or holds a key that one service alone may have: files by their path, services and jobs by their name."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import yaml

from detectors.fingerprint import fingerprint
from monitor.audit.check import Evidence, Subject, attempted, failed, passed, unknown, unread
from monitor.audit.formats import COMPOSE, UnreadError, Variable, documents, items, lookup, scalars, variables
from monitor.audit.real import is_real
from monitor.audit.settings import fits
from monitor.audit.tree import Tree
from monitor.domain.model import Finding

__all__ = ["jwt_secret", "service_role"]

_PROSE = re.compile(r"(?i)\.(?:md|rst|adoc|txt)$")
_YAML = re.compile(r"(?i)\.ya?ml$")
_ENVIRONMENT_FILE = re.compile(r"(?m)^[ \t]*EnvironmentFile=-?(\S+)")
_CHUNK = 1 << 20
_OVERLAP = 256  # bytes, more than a name is long


def service_role(subject: Subject) -> AsyncIterator[Evidence]:
    """The service-role key, which bypasses every policy of the database."""

    def is_key(finding: Finding) -> bool:
        return finding.rule == "supabase-secret-key" or finding.labels.get("role") == "service_role"

    return _all(subject, "the service-role key", subject.settings.service_keys, is_key)


def jwt_secret(subject: Subject) -> AsyncIterator[Evidence]:
    """The secret that makes every token."""

    def is_secret(finding: Finding) -> bool:
        return finding.rule.endswith("jwt-secret")

    return _all(subject, "the JWT secret", subject.settings.jwt_secrets, is_secret)


async def _all(
    subject: Subject, what: str, names: tuple[str, ...], is_it: Callable[[Finding], bool]
) -> AsyncIterator[Evidence]:
    for tree in subject.trees:
        found = [name for name, findings in tree.scanned.findings.items() if any(map(is_it, findings))]
        for piece in _holders(_Key(what, names, subject.settings.gateway, tree), found):
            yield piece
    for secret in await subject.store.inventory.secrets() if subject.store is not None else ():
        name = re.split("[:/]", secret.name)[-1]
        others = [one for one in secret.consumers if not fits(subject.settings.gateway, one)]
        if others and secret.gone_at is None and _either(names).fullmatch(name.encode("utf-8", "replace")):
            who = f"{secret.entry}/{secret.name}"
            text = f"inventory {who}: {what} is consumed by {', '.join(others)}"
            yield failed(text, shlex.join(["monitor", "inventory", "show", who]))
    if not subject.trees:
        yield unknown("no folder was named", "monitor audit PATH")


def _either(names: tuple[str, ...]) -> re.Pattern[bytes]:
    # NEXT_PUBLIC_… before it makes it no other key: it is then in the browser, too.
    either = b"|".join(re.escape(name).encode() for name in names)
    return re.compile(rb"(?<![A-Za-z0-9_])[A-Za-z0-9_]{0,64}(?:" + either + rb")(?![A-Za-z0-9_])")


@dataclass
class _Key:
    """`names`: its variables; `allowed`: who may have it, patterns as in .gitignore."""

    what: str
    names: tuple[str, ...]
    allowed: tuple[str, ...]
    tree: Tree

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        return _either(self.names)

    @property
    def repeat(self) -> str:
        return shlex.join(["grep", "-rnE", "|".join(self.names), str(self.tree.base)])

    def named_in(self, node: yaml.Node) -> bool:
        return any(self.pattern.search(one.value.encode("utf-8", "replace")) for one in scalars(node))


def _holders(key: _Key, found: list[str]) -> Iterator[Evidence]:
    """`found`: files in which the rules see the key itself."""
    tree, names, holds = key.tree, list[tuple[str, int]](), {name.partition("!")[0]: name for name in found}
    for name in dict.fromkeys([*tree.code, *tree.environment]):
        if _PROSE.search(name) or name in tree.examples:
            continue  # which speak of it
        try:
            if (line := _first_line(tree, name, key.pattern)) is not None:
                names.append((name, line))
        except OSError as error:
            yield unknown(f"{name}: {error.strerror or 'cannot be read'}", key.repeat, name)
    files = [name for name, _ in names]
    for name in _same_value(key, files):
        holds.setdefault(name, name)
    pieces = [piece for name, line in names for piece in _named(key, name, line, files)]
    for name in tree.named(COMPOSE, tree.code):  # which hand on whole files, without a name in them
        if name not in files:
            pieces += attempted(_through(key, name, files), name, key.repeat, name)
    others = [name for name in sorted(holds.keys() - set(files)) if not fits(key.allowed, name)]
    pieces += [failed(f"{holds[name]} holds {key.what}", key.repeat, name) for name in others]
    yield from pieces
    if not (tree.code or tree.environment):
        yield unknown(f"{tree.root}: no file that could name {key.what}, so there was nothing to look at", key.repeat)
    elif not any(piece.verdict == "fail" for piece in pieces):
        by = sorted({name for name in [*files, *holds] if fits(key.allowed, name)})
        where = f"by {', '.join(by[:6])}{' and others' if len(by) > 6 else ''} alone" if by else "nowhere else"
        yield passed(f"{tree.root}: {key.what} is named {where}", key.repeat)
    yield from unread(tree)


def _named(key: _Key, name: str, line: int, files: list[str]) -> Iterator[Evidence]:
    """A file that names it: allowed by its path, or as services in it are by their names."""
    if fits(key.allowed, name):
        return
    if _YAML.search(name):
        try:
            parts = list(_parts(key, name, files))
        except UnreadError as error:
            yield unknown(f"{name}:{line}: names {key.what}, and cannot be read: {error}", key.repeat, name, line)
            return
        if parts:
            for kind, part, at in parts:
                if not fits(key.allowed, part):
                    yield failed(f"{name}:{at}: {kind} {part} gets {key.what}", key.repeat, name, at)
            return
    yield failed(f"{name}:{line}: names {key.what}", key.repeat, name, line)


def _through(key: _Key, name: str, files: list[str]) -> Iterator[Evidence]:
    """Raises UnreadError."""
    for kind, part, line in _parts(key, name, files):
        if not fits(key.allowed, part) and not fits(key.allowed, name):
            yield failed(f"{name}:{line}: {kind} {part} gets {key.what}", key.repeat, name, line)


def _parts(key: _Key, name: str, files: list[str]) -> Iterator[tuple[str, str, int]]:
    """Kind, name and line of the services, jobs and objects that get the key. Raises UnreadError."""
    folder = posixpath.dirname(name)
    for document in documents(key.tree.text(name)):
        kind = lookup(document, "kind")
        if isinstance(kind, yaml.ScalarNode) and key.named_in(document):
            title = lookup(document, "metadata", "name")
            said = title.value if isinstance(title, yaml.ScalarNode) else "without a name"
            yield kind.value, said, document.start_mark.line + 1
        for what, table in (("service", "services"), ("job", "jobs")):
            for part, node in items(lookup(document, table)):
                listed = lookup(node, "env_file")
                through = [posixpath.normpath(posixpath.join(folder, one.value)) for one in scalars(listed)]
                if key.named_in(node) or any(one in files for one in through):
                    yield what, part, node.start_mark.line + 1


def _same_value(key: _Key, files: list[str]) -> Iterator[str]:
    """.env files that hold the key's value under another name, and units that read a file with it."""
    tree = key.tree
    everything = [(name, one) for name in tree.environment for one in _variables(tree, name)]
    real = [(name, one) for name, one in everything if is_real(one.value, least=16)]
    own = {
        fingerprint(tree.key, one.value.encode("utf-8", "surrogateescape"))
        for _, one in real
        if key.pattern.fullmatch(one.name.encode("utf-8", "surrogateescape"))
    }
    for name, one in real:
        if name not in files and fingerprint(tree.key, one.value.encode("utf-8", "surrogateescape")) in own:
            yield name
    holding = {str(tree.base / name) for name in files}
    for unit in tree.named(re.compile(r"\.service$|\.service\.d/[^/]+\.conf$")):
        try:
            read = _ENVIRONMENT_FILE.findall(tree.text(unit))
        except UnreadError:
            continue  # `_first_line` has told
        if holding & {path.strip("\"'") for path in read}:
            yield unit


def _variables(tree: Tree, name: str) -> Iterator[Variable]:
    try:
        yield from variables(tree.text(name))
    except UnreadError:
        return  # `_first_line` tells of what cannot be read


def _first_line(tree: Tree, name: str, pattern: re.Pattern[bytes]) -> int | None:
    """The first line that it finds, from 1, in a file of any size. Raises OSError."""
    line, tail = 1, b""
    with tree.open(name) as file:
        while chunk := file.read(_CHUNK):
            data = tail + chunk
            if (match := pattern.search(data)) is not None:
                return line + data.count(b"\n", 0, match.start())
            line += data.count(b"\n", 0, max(len(data) - _OVERLAP, 0))
            tail = data[-_OVERLAP:]
    return None
