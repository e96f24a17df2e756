"""Which characters of an expression Hyperscan's literal matcher looks for.

Of one literal of each expression it takes the last eight characters, and of thousands of such texts it knows only which
pairs of characters stand where: `client.run`, `session_` and `rization` together make it stop at words that are none of
them. So it matters much which characters of a literal are taken. `anchors.json`, which `python -m benchmarks.anchors`
makes, names those that let the fewest words through; the others' last eight do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from re import _constants as _c  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import orjson

from detectors.rules.pattern import REPEATS, children, emit, parse

__all__ = ["LEAST", "SIZE", "LiteralRun", "anchored", "choices", "ways"]

SIZE, LEAST = 8, 5  # characters the matcher looks at, and of the shortest anchor: shorter ones are met too often
_BESIDE = 4  # characters of a literal that is looked for, whatever stands beside it
_NO_TEXT = (_c.RANGE, (0x80, 0xFF))  # bytes that hardly stand next to a literal
# Words that logs are full of: with what stands next to them (`password=`, `token"`) they are met less often.
_COMMON = re.compile("pass|pwd|secret|token|key|auth|login|user|session|credential", re.IGNORECASE)
_NEWLINE = 10  # which `.` is not

Nodes = list[tuple[Any, Any]]


class LiteralRun(NamedTuple):
    """A literal that stands in every match of an expression: `nodes[start:end]`."""

    text: str
    nodes: Nodes
    start: int
    end: int
    caseless: bool


@cache
def table() -> dict[str, str]:
    """Literal → the part of it to look for."""
    lines: list[str] = orjson.loads((Path(__file__).parent / "anchors.json").read_bytes())
    return {text: text[int(at) :][: int(size)] for at, size, text in (line.split(" ", 2) for line in lines)}


def anchored(expression: bytes, filler: str = ".") -> bytes:
    """The expression so that Hyperscan looks for the anchor of its longest literal; it matches at least as much.

    `filler` is what takes the place of other characters. As it was when it has no literal to choose from.
    """
    nodes, flags = _read(expression)
    found = _long(nodes, flags)
    if not found or flags & (re.DOTALL | re.MULTILINE) or b"\\b" in expression:
        return expression
    known = [run for run in found if run.text in table()]
    run = max(known or found, key=lambda run: len(run.text))
    anchor = table().get(run.text, run.text[-SIZE:])
    start = run.start + run.text.rindex(anchor)
    # What stands before an anchor of full size adds nothing to it.
    keep = range(run.start if len(anchor) == SIZE else start, start + len(anchor))
    # Fewer others, with what may come after them, are no better choice for Hyperscan.
    _Breaker(run.nodes, keep, min(len(anchor) - 2, LEAST), parse(filler)[0]).visit(nodes)
    if not _COMMON.search(run.text):
        wide = parse(filler)[0][1] if filler != "." else [_NO_TEXT]
        _wall(nodes, run.nodes, keep.stop, 1, wide)
        if len(anchor) < SIZE:
            _wall(nodes, run.nodes, keep.start - 1, -1, wide)
    return _text(nodes, flags)


def ways(expression: bytes) -> list[bytes]:
    """The expression as one for each long alternative it starts with: in `(?:connect|signing)\\(` no literal stands in
    every match, so none could be chosen from."""
    nodes, flags = _read(expression)
    if flags & (re.DOTALL | re.MULTILINE) or b"\\b" in expression:
        return [expression]
    found = _spread(nodes)
    return [expression] if len(found) == 1 else [_text(way, flags) for way in found]


def _spread(nodes: Nodes) -> list[Nodes]:
    """Each long alternative that these nodes can start with, and the rest of them together."""
    start = next((number for number, (op, _) in enumerate(nodes) if op is not _c.LITERAL), len(nodes))
    if start == len(nodes) or _longest(nodes) >= _BESIDE:
        return [nodes]
    (op, arg), after = nodes[start], nodes[start + 1 :]
    if op is _c.SUBPATTERN:
        return [[*nodes[:start], (op, (*arg[:3], way)), *after] for way in _spread(arg[3])]
    if op is not _c.BRANCH:
        return [nodes]
    long = [way for way in arg[1] if _longest(way) > LEAST]
    short = [way for way in arg[1] if _longest(way) <= LEAST]
    rest = [short[0] if len(short) == 1 else [(op, (arg[0], short))]] if short else []
    return [[*nodes[:start], *way, *after] for way in (*long, *rest)]


def _longest(nodes: Nodes) -> int:
    return max((len(run.text) for run in _runs(nodes, caseless=False)), default=0)


def choices(expression: bytes) -> list[LiteralRun]:
    """The literals of an expression in which an anchor may lie."""
    nodes, flags = _read(expression)
    return _long(nodes, flags)


def _read(expression: bytes) -> tuple[Nodes, int]:
    tree = parse(expression.decode("latin-1"))
    return _flat(tree), tree.state.flags


def _text(nodes: Nodes, flags: int) -> bytes:
    text = emit(nodes, flags & re.IGNORECASE)
    return (f"(?i:{text})" if flags & re.IGNORECASE else text).encode("latin-1")


def _long(nodes: Nodes, flags: int) -> list[LiteralRun]:
    return [run for run in _runs(nodes, bool(flags & re.IGNORECASE)) if len(run.text) > LEAST]


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
        elif op in REPEATS:
            out.append((op, (*arg[:2], _flat(arg[2]))))
        else:
            out.append((op, arg))
    return out


def _runs(nodes: Nodes, caseless: bool) -> Iterator[LiteralRun]:
    start = 0
    for number, (op, arg) in enumerate([*nodes, (None, None)]):
        if op is _c.LITERAL:
            continue
        if number > start:
            yield LiteralRun("".join(chr(code) for _, code in nodes[start:number]), nodes, start, number, caseless)
        start = number + 1
        if op is _c.SUBPATTERN:
            yield from _runs(arg[3], caseless or bool(arg[1] & re.IGNORECASE))


def _wall(nodes: Nodes, chosen: Nodes, at: int, step: int, wide: Nodes) -> bool | None:
    """Widen what comes from `chosen[at]` on, somewhere in `nodes`, in the direction of `step`: Hyperscan would add each
    character of a small class to the anchor, and look for other literals than were chosen. Whether one that must stand
    there was widened; None: `chosen` is not there."""
    if nodes is chosen:
        return _widen(nodes, at, step, wide)
    for number, (op, arg) in enumerate(nodes):
        done = _wall(arg[3], chosen, at, step, wide) if op is _c.SUBPATTERN else None
        if done is not None:
            return done or _widen(nodes, number + step, step, wide)
    return None


def _widen(nodes: Nodes, at: int, step: int, wide: Nodes) -> bool:
    """Whether a text of these nodes must have a character that was widened."""
    while 0 <= at < len(nodes):
        op, arg = nodes[at]
        done = [_widen(each, 0 if step > 0 else len(each) - 1, step, wide) for each in children(op, arg)]
        if op is _c.LITERAL:
            nodes[at] = (_c.IN, [(op, arg), *wide])
        elif op is _c.IN and arg[0][0] is not _c.NEGATE:
            nodes[at] = (op, [*arg, *wide])
        if op is not _c.AT and all(done) and not (op in REPEATS and not arg[0]):
            return True
        at += step
    return False


class _Breaker(NamedTuple):
    """Leaves no literal beside the anchor, `chosen[keep]`, that would be preferred to it: in places anything will do,
    as RE2 has the last word by the rule's pattern."""

    chosen: Nodes
    keep: range
    longest: int  # of what is left
    filler: tuple[Any, Any]

    def visit(self, nodes: Nodes) -> None:
        length = 0
        for number, (op, arg) in enumerate(nodes):
            if nodes is self.chosen and number in self.keep:
                length = 0
                continue
            length = length + 1 if op is _c.LITERAL else 0
            edge = nodes is self.chosen and number in (self.keep.start - 1, self.keep.stop)
            if op is _c.LITERAL and arg != _NEWLINE and (edge or length > self.longest):
                nodes[number] = self.filler
                length = 0
            for inner in children(op, arg):
                self.visit(inner)
