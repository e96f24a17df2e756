"""A rule's pattern in two: where its value begins, and how far it goes.

What a value may consist of, a hundred times over, makes an automaton so large that RE2 tells the place of a long value
by following all of its states, a sixth of a microsecond for each byte. The pattern up to the least of a value is small,
and where the value ends an anchored look tells that has no groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from monitor.common.regex import HERE, Search, compile_search

__all__ = ["halves", "searcher"]

_LONG = 64  # characters that a value may have beyond its least: of fewer the whole pattern is as fast
_VALUE = "(?P<secret>"
_CLASS = r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]"
_TOKEN = re.compile(rf"\\(?:x\{{[0-9A-Fa-f]+\}}|.)|{_CLASS}|\{{(?P<least>\d+)(?:,(?P<most>\d*))?\}}|.", re.DOTALL)
_ONE = re.compile(rf"{_CLASS}|[\w@\"']")
_ONE_OR_END = re.compile(rf"\(\?:{_CLASS}\|\$\)")
_OPTIONAL = re.compile(rf"(?:{_CLASS}|.)(?:\?|\{{0,\d+\}})")
_GROUP = re.compile(r"\(\?(?:P<secret>|[a-z-]*:)")  # that of the value, or one without a number


def halves(pattern: str) -> tuple[str, str, int] | None:
    """Up to the least of the value, the value with what follows it, and how long that is: -1 for one character or the
    end of the text. None if the pattern is of another form, or of no long value."""
    if pattern.count(_VALUE) != 1:
        return None
    depth, begin, cut = 0, pattern.index(_VALUE), None
    inside = begin + len(_VALUE)
    for token in _TOKEN.finditer(pattern):
        at, text = token.start(), token[0]
        if text == "(":
            if not _GROUP.match(pattern, at) or (at == begin and depth):
                return None  # flags for all that follows, another group, or the value in something else
            depth += 1
        elif text == ")":
            depth -= 1
            if depth == 0 and at > begin:
                break
        elif (text == "|" and depth == (at > begin)) or text == r"\Q":
            return None  # there are other ways, or it is a quotation
        elif cut is None and depth == 1 and at > inside:
            if text in "*+?":
                return None
            if token["least"] and token["most"] is not None:
                least, most = int(token["least"]), int(token["most"] or 1 << 20)
                if not least or most - least < _LONG:
                    return None
                cut = at, f"{pattern[:at]}{{{least}}}", token.end()
    if cut is None:
        return None
    head, rest, after = cut[1], pattern[at + 1 :], pattern[cut[2] : at]
    if after and not _OPTIONAL.fullmatch(after):
        # One more character stands in every value: of those before, or what comes after them.
        more = re.search(rf"{_CLASS}$", pattern[: cut[0]])
        if more is None or not _ONE.fullmatch(after):
            return None
        head += f"(?:{more[0]}|{after})"
    width = 0 if rest in ("", r"\b") else 1 if _ONE.fullmatch(rest) else -1 if _ONE_OR_END.fullmatch(rest) else None
    if width is None:
        return None
    return f"{head})", f"(?:{pattern[inside:at]}){rest}", width


def searcher(pattern: str) -> Search:
    """The first match of the pattern: of its spans the whole's and the value's. Raises RegexError."""
    whole = compile_search(pattern)
    two = halves(pattern)
    if two is None:
        return whole
    head, tail, width = compile_search(two[0]), compile_search(two[1]), two[2]

    def search(anchor: Any, data: bytes | bytearray | memoryview, at: int, high: int) -> Sequence[tuple[int, int]]:
        spans = head(anchor, data, at, high)
        first = spans[0][0]
        if first < 0:
            return spans  # no value, as none has its least
        start = spans[1][0]
        last = tail(HERE, data, start, high)[0][1]
        # Of all ways up to a value that may have its least the first leads here. If it leads on, it is the whole's.
        if last < 0 or (width < 0 and last == len(data)):
            return whole(anchor, data, at, high)
        return (first, last), (start, last - abs(width))

    return search
