"""Which characters of an expression Hyperscan's literal matcher looks for.

Of one literal of each expression it takes the last eight characters, and of thousands of such texts it knows only which
pairs of characters stand where: `client.run`, `session_` and `rization` together make it stop at words that are none of
them. So it matters much which eight characters of a longer literal are taken. `anchors.json`, which `python -m
benchmarks.anchors` makes, names those that let the fewest words through; the others' last eight do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from re import _constants as _c  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import orjson

from detectors.pattern import emit, parse

__all__ = ["SIZE", "Run", "anchored", "choices"]

SIZE = 8  # characters the matcher looks at
_SHORT = 5  # a literal of so many is no better choice than an anchor
_ANY, _NEWLINE = (_c.ANY, None), 10  # which is not any character

Nodes = list[tuple[Any, Any]]


class Run(NamedTuple):
    """A literal that stands in every match of an expression: `nodes[start:end]`."""

    text: str
    nodes: Nodes
    start: int
    end: int
    caseless: bool


@cache
def table() -> dict[str, str]:
    """Literal → the part of it to look for."""
    found: dict[str, str] = orjson.loads((Path(__file__).parent / "anchors.json").read_bytes())
    return found


def anchored(expression: bytes) -> bytes:
    """The expression so that Hyperscan looks for the anchor of its longest literal; it matches at least as much.

    As it was when it has no literal of eight characters.
    """
    nodes, flags = _read(expression)
    found = _long(nodes, bool(flags & re.IGNORECASE))
    if not found or flags & (re.DOTALL | re.MULTILINE) or b"\\b" in expression:
        return expression
    known = [run for run in found if run.text in table()]
    run = max(known or found, key=lambda run: len(run.text))
    anchor = table().get(run.text, run.text[-SIZE:])
    start = run.start + run.text.rindex(anchor)
    # What stands before an anchor of full size adds nothing to it.
    keep = range(run.start if len(anchor) == SIZE else start, start + len(anchor))
    _break_up(nodes, run.nodes, keep)
    text = emit(nodes, flags & re.IGNORECASE)
    return (f"(?i:{text})" if flags & re.IGNORECASE else text).encode("latin-1")


def choices(expression: bytes) -> list[Run]:
    """The literals of an expression in which an anchor may lie."""
    nodes, flags = _read(expression)
    return _long(nodes, bool(flags & re.IGNORECASE))


def _read(expression: bytes) -> tuple[Nodes, int]:
    tree = parse(expression.decode("latin-1"))
    return _flat(tree), tree.state.flags


def _long(nodes: Nodes, caseless: bool) -> list[Run]:
    return [run for run in _runs(nodes, caseless) if len(run.text) >= SIZE]


def _flat(nodes: Any) -> Nodes:
    """The nodes, to be changed, without groups that only group."""
    out: Nodes = []
    for op, arg in nodes:
        if op is _c.SUBPATTERN:
            group, add, remove, inner = arg
            if add or remove:
                out.append((op, (group, add, remove, _flat(inner))))
            else:
                out += _flat(inner)
        elif op is _c.BRANCH:
            out.append((op, (arg[0], [_flat(branch) for branch in arg[1]])))
        elif op in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            out.append((op, (*arg[:2], _flat(arg[2]))))
        else:
            out.append((op, arg))
    return out


def _runs(nodes: Nodes, caseless: bool) -> Iterator[Run]:
    start = 0
    for number, (op, arg) in enumerate([*nodes, (None, None)]):
        if op is _c.LITERAL:
            continue
        if number > start:
            yield Run("".join(chr(code) for _, code in nodes[start:number]), nodes, start, number, caseless)
        start = number + 1
        if op is _c.SUBPATTERN:
            yield from _runs(arg[3], caseless or bool(arg[1] & re.IGNORECASE))


def _break_up(nodes: Nodes, chosen: Nodes, keep: range) -> None:
    """Leave no literal beside the anchor that would be preferred to it: any character will do in places, as RE2 has the
    last word."""
    length = 0
    for number, (op, arg) in enumerate(nodes):
        if nodes is chosen and number in keep:
            length = 0
            continue
        length = length + 1 if op is _c.LITERAL else 0
        edge = nodes is chosen and number in (keep.start - 1, keep.stop)
        if op is _c.LITERAL and arg != _NEWLINE and (edge or length > _SHORT):
            nodes[number] = _ANY
            length = 0
        elif op is _c.SUBPATTERN:
            _break_up(arg[3], chosen, keep)
        elif op is _c.BRANCH:
            for branch in arg[1]:
                _break_up(branch, chosen, keep)
        elif op in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            _break_up(arg[2], chosen, keep)
