"""Secrets at rest on a production host: `.env` files with values in plain text, whoever reads them."""

from __future__ import annotations

import errno
import glob
import os
import posixpath
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import yaml

from detectors.match.engine import Worker
from monitor.audit.check import Evidence, Subject, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import (
    COMPOSE,
    SAFE,
    UNIT,
    UnreadError,
    Variable,
    documents,
    items,
    lookup,
    settings,
    variables,
)
from monitor.audit.real import is_real, is_secret_name
from monitor.audit.tree import Tree
from monitor.common.environments import environment_of
from monitor.inventory.managers.dotenv import DotenvConfig

__all__ = ["plain"]

_NAMED = 5  # variables of a file
_ENCRYPTED = re.compile(r"ENC\[|encrypted:")  # as sops and dotenvx write a value
_IN_MEMORY = ("/run/", "/dev/shm/")  # noqa: S108 - where managers render what they hand over at run time
_AT_RUN_TIME = re.compile(
    r"\b((?:vault|bao) agent|doppler run|op run|infisical run|sops exec-env|dotenvx run|chamber exec|teller run"
    r"|aws-vault exec|envconsul|berglas exec)\b"
)


@dataclass(slots=True)
class _File:
    """`path`: relative to the folder, or absolute. `readers`: units and services that take it. `needed`: one of them
    does not start without it."""

    path: str
    readers: list[str] = field(default_factory=list)
    needed: bool = False


@dataclass(slots=True)
class _Readers:
    """What of a folder takes files, or secrets by other ways. `units`: their settings, by file; `services`: what a
    compose file hands to each, with its line and whether it has to be there."""

    units: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    services: dict[str, list[tuple[int, str, bool]]] = field(default_factory=dict)
    unread: list[Evidence] = field(default_factory=list)


@each_folder
def plain(subject: Subject, tree: Tree) -> Iterator[Evidence]:
    """Each `.env` of the folder, and each file that its units and compose files hand to a service."""
    readers = _readers(tree)
    pieces = [*readers.unread, *_files(subject, tree, readers), *_ways(tree, readers)]
    yield from pieces
    if not pieces:
        what = "no .env of production, and no unit that takes secrets from elsewhere"
        yield unknown(f"{tree.root}: {what}", shlex.join(["find", str(tree.root), "-name", "*.env*"]))
    yield from unread(tree)


def _readers(tree: Tree) -> _Readers:
    readers = _Readers()
    for name in [*tree.named(UNIT), *tree.named(COMPOSE)]:
        try:
            if UNIT.search(name):
                readers.units[name] = list(settings(tree.text(name)))
            else:
                readers.services[name] = list(_handed(tree, name))
        except UnreadError as error:
            repeat = shlex.join(["ls", "-l", str(tree.base / name)])
            readers.unread.append(unknown(f"{name}: which files it hands over: {error}", repeat, name))
    return readers


def _handed(tree: Tree, name: str) -> Iterator[tuple[int, str, bool]]:
    """By env_file. Raises UnreadError."""
    folder = posixpath.dirname(str(tree.base / name))
    for document in documents(tree.text(name)):
        for _, service in items(lookup(document, "services")):
            for node, needed in _listed(lookup(service, "env_file")):
                path = posixpath.normpath(posixpath.join(folder, node.value))
                yield node.start_mark.line + 1, path, needed


def _files(subject: Subject, tree: Tree, readers: _Readers) -> Iterator[Evidence]:
    worker = subject.engine.worker()
    files = {name: _File(name) for name in tree.environment}
    for name, line, path, needed in _named(readers):
        if re.search(r"[%$]", path) or glob.has_magic(posixpath.dirname(path)):
            repeat = shlex.join(["sed", "-n", f"{line}p", str(tree.base / name)])
            yield unknown(f"{name}:{line}: {path}: which files that are is known when it runs", repeat, name, line)
            continue
        try:
            fitting = _fitting(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            if needed or not isinstance(error, FileNotFoundError):
                repeat = shlex.join(["ls", "-l", posixpath.dirname(path)])
                why = getattr(error, "strerror", None) or "cannot be read"
                yield unknown(f"{name}:{line}: {path}: {why}", repeat, name, line)
            continue
        for one in fitting:
            file = files.setdefault(tree.relative(one), _File(tree.relative(one)))
            file.readers.append(f"{name}:{line}")
            file.needed = file.needed or needed
    for file in files.values():
        yield from _judged(subject, tree, file, worker)
    for name in tree.linked_environment:
        if _environment(subject, tree, name) in ("production", ""):
            repeat = shlex.join(["readlink", "-f", str(tree.base / name)])
            yield unknown(f"{name}: a link, which is not followed: audit where it leads to", repeat, name)


def _fitting(path: str) -> list[str]:
    """The files of a pattern. Raises OSError, and ValueError for a NUL, where there is none or none can be seen."""
    if not glob.has_magic(path):
        return [path]
    os.listdir(posixpath.dirname(path))  # which says why, unlike glob
    found = sorted(glob.glob(path))
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def _named(readers: _Readers) -> Iterator[tuple[str, int, str, bool]]:
    """Unit or compose file, line, the file that it hands over, and whether that has to be there."""
    for name, rows in readers.units.items():
        for line, key, value in rows:
            if key == "EnvironmentFile" and value:
                path = posixpath.normpath(value.removeprefix("-").strip("\"'"))
                yield name, line, path, not value.startswith("-")
    for name, services in readers.services.items():
        for line, path, needed in services:
            yield name, line, path, needed


def _listed(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, bool]]:
    """Of `env_file`: a path, a list of them, or of mappings with `path` and `required`."""
    for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        required = lookup(one, "required")
        path = lookup(one, "path") if isinstance(one, yaml.MappingNode) else one
        if isinstance(path, yaml.ScalarNode):
            yield path, not (isinstance(required, yaml.ScalarNode) and required.value == "false")


def _judged(subject: Subject, tree: Tree, file: _File, worker: Worker) -> Iterator[Evidence]:
    environment = _environment(subject, tree, file.path)
    if environment not in ("production", ""):
        return
    whole = tree.base / file.path
    repeat = shlex.join(["stat", "-c", "%a %U %n", str(whole)])
    by = f", read by {', '.join(dict.fromkeys(file.readers))}" if file.readers else ""
    if str(whole).startswith(_IN_MEMORY):
        yield passed(f"{file.path}: made at run time, in memory{by}", repeat, file.path)
        return
    try:
        mode = whole.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise UnreadError("no ordinary file")
        found = list(variables(tree.text(file.path)))
    except FileNotFoundError:
        if file.needed:
            yield unknown(f"{file.path}: not on this machine{by}", repeat, file.path)
        return
    except (OSError, ValueError, UnreadError) as error:
        yield unknown(f"{file.path}: {getattr(error, 'strerror', None) or error}{by}", repeat, file.path)
        return
    sealed = sum(bool(_ENCRYPTED.match(one.value)) for one in found)
    names = [one.name for one in found if not _ENCRYPTED.match(one.value) and _holds(one, worker)]
    if not names:
        yield passed(
            f"{file.path}: no secret in plain text{f', {sealed} encrypted' if sealed else ''}{by}", repeat, file.path
        )
        return
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    text = f"{file.path}: {', '.join(names[:_NAMED])}{more} in plain text, mode {stat.S_IMODE(mode):04o}{by}"
    unsure = f"{text}; neither its path nor `audit.environment` says whether that is production"
    yield failed(text, repeat, file.path) if environment else unknown(unsure, repeat, file.path)


def _environment(subject: Subject, tree: Tree, path: str) -> str:
    """By the inventory, the configuration, or else its path, as folders on a host are called anything: `production` for
    all that counts as that, empty where nothing tells."""
    whole = str(tree.base / path)
    named = next((entry.environment for entry in subject.config.inventory if _names(entry, whole)), "")
    named = named or subject.settings.environment or environment_of(path.removeprefix("/usr/local/")) or ""
    return "production" if subject.is_production(named) else named


def _names(entry: object, path: str) -> bool:
    """Whether an entry of the inventory reads this file, and says of which environment it is."""
    if not isinstance(entry, DotenvConfig) or not entry.environment:
        return False
    return any(
        path == one or fnmatchcase(path, one) or posixpath.dirname(path) == one.rstrip("/") for one in entry.path
    )


def _holds(one: Variable, worker: Worker) -> bool:
    """By its name, or as the rules find it: a password in an address, say."""
    if is_secret_name(one.name) and is_real(one.value):
        return True
    line = f"{one.name}={one.value}\n".encode("utf-8", "surrogateescape")
    return any(
        match.severity != "info" and match.confidence != "low" and match.rule.labels.get("public") is None
        for match in worker.scan(line)
    )


def _ways(tree: Tree, readers: _Readers) -> Iterator[Evidence]:
    """Units that take secrets as they should."""
    for name, rows in readers.units.items():
        ways = sorted({f"{key}=" for _, key, _ in rows if key in SAFE and key != "EnvironmentFile"})
        starts = " ".join(value for _, key, value in rows if key.startswith("ExecStart"))
        ways += sorted(set(_AT_RUN_TIME.findall(starts)))
        if ways:
            repeat = shlex.join(["grep", "-nE", "Credential|ExecStart", str(tree.base / name)])
            yield passed(f"{name}: takes its secrets by {', '.join(ways)}", repeat, name)
