"""One look for many patterns: RE2 says in half a microsecond that none matches, as is so for most candidates."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from itertools import accumulate
from typing import Any

from detectors.rules.pattern import Limit, unbounded
from monitor.common.regex import HERE, UNANCHORED, Search, compile_search

__all__ = ["among", "first", "found", "quick", "searcher", "span"]


_PATIENCE = 64  # times that the bounds of a pattern are told apart in vain, after which it is tried as rarely
_LONGEST = 1024  # bytes of a match without bounds in which the value is looked for


def quick(inside: Sequence[bytes], whole: Sequence[bytes] = ()) -> Callable[[bytes], bool]:
    """Whether one of `inside` may match in a text, or one of `whole` all of it: never False where one does.

    Patterns of syntax that RE2 shares; compiled at the first question.
    """

    search: Search | None = None

    def asked(text: bytes) -> bool:
        nonlocal search
        if search is None:
            parts = [f"(?:{pattern.decode('latin-1')})" for pattern in inside]
            parts += [rf"\A(?:{pattern.decode('latin-1')})\z" for pattern in whole]
            search = compile_search("|".join(parts))
        # `$` stands before a last newline, too, in Python, and not in RE2.
        return text[-1:] == b"\n" or search(UNANCHORED, text, 0, len(text))[0][0] >= 0

    return asked


def found(pattern: bytes) -> Callable[[bytes], bool]:
    """Whether an expression of RE2 matches in a text, in linear time; compiled at the first question."""
    search: Search | None = None

    def asked(text: bytes) -> bool:  # asked dozens of times of a value, so by nothing else
        nonlocal search
        if search is None:
            search = compile_search(pattern.decode("latin-1"))
        return search(UNANCHORED, text, 0, len(text))[0][0] >= 0

    return asked


def among(inside: Sequence[bytes], whole: Sequence[bytes] = ()) -> Callable[[Sequence[bytes]], set[int]]:
    """The same of many texts at once, which are numbered: one look passes over all in which nothing may match. They
    stand a line each, so that patterns that may go on behind a line's end match more often."""
    text = "|".join(
        [*(f"(?:{one.decode('latin-1')})" for one in inside), *(f"^(?:{one.decode('latin-1')})$" for one in whole)]
    )
    search: Search | None = None

    def asked(texts: Sequence[bytes]) -> set[int]:
        nonlocal search
        if search is None:
            search = compile_search("(?m)" + text.replace(r"\A", "^").replace(r"\z", "$"))
        out: set[int] = set()
        joined, at = b"\n".join(texts), 0
        starts = [*accumulate((len(one) + 1 for one in texts), initial=0)]
        while at < len(joined) and (found := search(UNANCHORED, joined, at, len(joined))[0])[0] >= 0:
            first = bisect_right(starts, found[0]) - 1
            out.update(range(first, bisect_right(starts, found[1])))
            at = starts[first + 1]
        return out

    return asked


def first(pattern: bytes) -> Callable[[bytes], bytes]:
    """What an expression of RE2 matches first in a text; nothing where it does not."""
    spans = span(pattern)

    def matched(text: bytes) -> bytes:
        start, end = spans(text)
        return text[start:end] if start >= 0 else b""

    return matched


def span(pattern: bytes) -> Callable[..., tuple[int, int]]:
    """Where it matches first in a text, or in what of it begins at a place; NOWHERE where it does not."""
    search: Search | None = None

    def asked(text: bytes | memoryview, at: int = 0) -> tuple[int, int]:
        nonlocal search
        if search is None:
            search = compile_search(pattern.decode("latin-1"))
        return search(UNANCHORED, text, at, len(text))[0]

    return asked


def searcher(pattern: str, *, at_once: bool = False) -> Search:
    """The spans of the first match of a pattern: looked for without the bounds of its repeats, then held against that
    place alone. RE2 makes the states of its automaton as it meets them, in each process, and forgets them when there
    are too many: a value of `{15,998}` characters behind a name of `{0,24}` has thousands, which took most of the time
    that rules take of source.

    What is found so is what the pattern finds as well where no repeat came to more than it may: of all ways in which
    the pattern matches there, as of all without bounds, it is the first.

    `at_once`: compiled whole now, and not at the first place that needs it. Raises RegexError when RE2 refuses it."""
    loosened = unbounded(pattern)
    if loosened is None:
        return compile_search(pattern)
    head, named, tail = loosened[0].partition("(?P<")
    loose = compile_search(f"{head}(?:{tail.partition('>')[2]}" if named else head)
    within = _within(loosened[1])
    parted: Search | None = None
    whole: Search | None = compile_search(pattern) if at_once else None
    misses = 0  # one after another

    def search(anchor: Any, data: bytes | bytearray | memoryview, at: int, high: int) -> Sequence[tuple[int, int]]:
        nonlocal parted, whole, misses
        ((first, last),) = spans = loose(anchor, data, at, high)
        if first < 0:
            return spans
        # What goes on and on is too long, and to look for the value in it would take as long as it is.
        if last - first < _LONGEST and (misses < _PATIENCE or not misses % _PATIENCE):
            parted = parted or compile_search(loosened[0])
            spans = parted(HERE, data, first, high)
            if within(data, spans):
                misses = 0
                return spans
        misses += 1
        if whole is None:
            whole = compile_search(pattern)
        # The pattern matches nowhere before this place. Mostly it does here.
        spans = whole(HERE, data, first, high)
        return spans if spans[0][0] >= 0 else whole(anchor, data, first, high)

    return search


def _within(limits: Sequence[Limit]) -> Callable[[bytes | bytearray | memoryview, Sequence[tuple[int, int]]], bool]:
    """Whether in what was found no repeat came to more than it may: never True where one did."""
    groups, classes = ([limit for limit in limits if limit.what.startswith("(") is held] for held in (True, False))

    def fits(where: int, text: bytes) -> bool:
        if any(len(text) > limit.most * limit.width for limit in groups if limit.where == where):
            return False
        return all(
            len(text) <= limit.most or len(text) - len(text.translate(None, _characters(limit.what))) <= limit.most
            for limit in classes
            if limit.where == where
        )

    headed = lru_cache(maxsize=256)(partial(fits, 0))  # before the values of dense text it is the same
    longest = [
        min((limit.most * limit.width for limit in limits if limit.where == where), default=sys.maxsize)
        for where in (1, 2)
    ]

    def within(data: bytes | bytearray | memoryview, spans: Sequence[tuple[int, int]]) -> bool:
        (first, last), (start, end) = spans[0], spans[1] if len(spans) > 1 else spans[0]
        return (
            first <= start
            and (end - start <= longest[0] or fits(1, bytes(data[start:end])))
            and (last - end <= longest[1] or fits(2, bytes(data[end:last])))
            and headed(bytes(data[first:start]))
        )

    return within


@cache
def _characters(what: str) -> bytes:
    """Those that are repeated, and perhaps others."""
    search = compile_search(what if what.startswith("[^") else f"(?is:{what})")  # case may be ignored
    every = (bytes((code,)) for code in range(256))
    return b"".join(one for one in every if search(UNANCHORED, one, 0, 1)[0][0] >= 0)
