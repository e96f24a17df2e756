"""Files of others as what they say, with its lines: YAML as nodes, units of systemd, variables of a `.env`.

Of YAML nothing is constructed, nothing expands, and each node is met once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from monitor.inventory.managers.dotenv import entries

__all__ = [
    "COMPOSE",
    "SAFE",
    "UNIT",
    "UnreadError",
    "Variable",
    "YamlError",
    "documents",
    "items",
    "lookup",
    "scalars",
    "settings",
    "variables",
    "words",
]

COMPOSE = re.compile(r"(?i)(?:^|/)(?:docker-)?compose[\w.-]*\.ya?ml$")  # files of services
UNIT = re.compile(r"\.(?:service|socket|timer|container|pod|kube)$|\.(?:service|container)\.d/[^/]+\.conf$")
# Settings that hand over a secret which does not stand in the unit.
SAFE = ("LoadCredential", "LoadCredentialEncrypted", "SetCredentialEncrypted", "ImportCredential", "EnvironmentFile")
_LARGEST = 512 << 10  # characters; the parser takes seconds for more


class UnreadError(Exception):
    """Why a file could not be read as what it is."""


class YamlError(UnreadError):
    """Why a text is no YAML that could be read; quotes nothing of it."""


def documents(text: str) -> list[yaml.Node]:
    """Its documents. Raises YamlError."""
    if len(text) > _LARGEST:
        raise YamlError(f"larger than {_LARGEST >> 10} KiB")
    try:
        return [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise YamlError(f"broken YAML{line}") from None
    except RecursionError:
        raise YamlError("YAML that is nested too deeply") from None
    except (yaml.YAMLError, ValueError):
        raise YamlError("broken YAML") from None


def items(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and values of a mapping; nothing of anything else."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield key.value, value


def lookup(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    """What lies below these keys."""
    for key in path:
        node = next((value for name, value in items(node) if name == key), None)
    return node


def scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Every scalar below, keys too. Aliases share their node, so it ends soon however they are woven."""
    pending, seen = [node] if node is not None else [], set[int]()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, yaml.ScalarNode):
            yield one
        elif isinstance(one, yaml.MappingNode):
            pending += [part for pair in reversed(one.value) for part in reversed(pair)]
        elif isinstance(one, yaml.SequenceNode):
            pending += reversed(one.value)


def settings(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and value of a unit file, continued lines joined."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start, whole = number, lines[number].strip()
        number += 1
        if whole.startswith(("#", ";")):
            continue
        parts = [whole]
        while parts[-1].endswith("\\") and number < len(lines):
            parts[-1] = parts[-1][:-1]
            parts.append(lines[number].strip())
            number += 1
        key, mark, value = " ".join(parts).partition("=")
        if mark:
            yield start + 1, key.strip(), value.strip()


def words(value: str) -> list[tuple[str, str]]:
    """`A=1 "B=two words"` as names and values."""
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    return [(name, text) for name, mark, text in (word.partition("=") for word in words) if mark]


class Variable(NamedTuple):
    """One of a file, `line` from 1. Never shown: the value is in here."""

    name: str
    value: str
    line: int


def variables(text: str) -> Iterator[Variable]:
    """The NAME=value lines of a file."""
    raw = text.encode("utf-8", "surrogateescape")
    line, at = 1, 0
    for name, value, begin in entries(raw):
        line, at = line + raw.count(b"\n", at, begin), begin
        if name:
            yield Variable(name, value.decode("utf-8", "surrogateescape"), line)
