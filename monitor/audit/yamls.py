"""YAML of others, as nodes with their lines: nothing is constructed, nothing expands, and each node is met once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from monitor.audit.verdict import UnreadError

__all__ = ["COMPOSE", "YamlError", "documents", "items", "lookup", "scalars"]

COMPOSE = re.compile(r"(?i)(?:^|/)(?:docker-)?compose[\w.-]*\.ya?ml$")  # files of services
_LARGEST = 512 << 10  # characters; the parser takes seconds for more


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
