"""Text that a pattern matches, as templates: examples for rules that come without any."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from re import _constants as _c  # type: ignore[attr-defined]
from re import _parser as _p  # type: ignore[attr-defined]
from typing import Any

__all__ = ["candidates"]

_CHARSETS = {
    "alnum": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "lownum": "0123456789abcdefghijklmnopqrstuvwxyz",
    "upnum": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "base32": "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
}


def candidates(pattern: str) -> list[str]:
    """Candidates for an example, the plainest first."""
    out = []
    for length, gap in itertools.product((32, 40, 64, 16), ("", " ")):
        try:
            template = _template(pattern, length, gap)
        except (re.error, ValueError, RecursionError, OverflowError):
            continue
        if len(template) < 4000 and template not in out:
            out += [f"value: {template} ", template]
    return out


def _template(pattern: str, length: int, gap: str) -> str:
    """A template whose expansions match `pattern`; open repeats get about `length` characters, gaps get `gap`."""
    return _nodes(_p.parse(pattern), length, gap)


def _nodes(nodes: Any, length: int, gap: str) -> str:
    return "".join(_node(op, argument, length, gap) for op, argument in nodes)


def _node(op: Any, argument: Any, length: int, gap: str) -> str:
    if op is _c.LITERAL:
        return chr(argument)
    if op in (_c.MAX_REPEAT, _c.MIN_REPEAT):
        low, high, inner = argument
        wide = len(inner) == 1 and inner[0][0] in (_c.IN, _c.ANY, _c.CATEGORY, _c.NOT_LITERAL)
        charset = _charset(*inner[0]) if wide else ""
        # What may be there or not is left out, unless it is the long part of a value.
        count = low if low == high or not (charset and high > 15) else min(int(high), max(low, length))
        if not low and gap and high > 1 and _whole(inner, gap):
            return gap
        if wide and not charset and count > 4:
            letters = sorted(c for c in _allowed(*inner[0]) if c.isalnum())
            if letters:  # an alphabet of its own: varied, so that no filter takes it for a placeholder
                return "".join(letters[pow(75, n + 9, 65537) % len(letters)] for n in range(int(count)))
        if charset and count:
            return f"{{{charset}:{count}}}"
        return _nodes(inner, length, gap) * int(count)
    if op is _c.BRANCH:
        return _nodes(argument[1][0], length, gap)
    if op is _c.SUBPATTERN:
        return _nodes(argument[-1], length, gap)
    if op in (_c.IN, _c.ANY, _c.CATEGORY, _c.NOT_LITERAL):
        preferred = " =\"':;,-/.@" + "x"
        allowed = _allowed(op, argument)
        charset = _charset(op, argument)
        if charset:
            return f"{{{charset}:1}}"
        return next((c for c in preferred if c in allowed), min(allowed, default=""))
    return ""  # assertions: the text around an example sees to them


def _compiled(nodes: Sequence[Any]) -> Any:
    parsed = _p.parse("x")
    parsed.data = list(nodes)
    return re._compiler.compile(parsed)  # type: ignore[attr-defined]


def _whole(nodes: Sequence[Any], text: str) -> bool:
    try:
        return bool(_compiled(nodes).fullmatch(text))
    except (re.error, ValueError, IndexError):
        return False  # it refers to a group outside


def _allowed(op: Any, argument: Any) -> set[str]:
    compiled = _compiled([(op, argument)])
    return {chr(n) for n in range(1, 127) if compiled.fullmatch(chr(n))}


def _charset(op: Any, argument: Any) -> str:
    allowed = _allowed(op, argument)
    return next((name for name, characters in _CHARSETS.items() if set(characters) <= allowed), "")
