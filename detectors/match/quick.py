"""One look for many patterns: RE2 says in half a microsecond that none matches, as is so for most candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from detectors.rules.pattern import unbounded
from monitor.common.regex import HERE, UNANCHORED, Search, compile_search

__all__ = ["first", "found", "quick", "searcher", "span"]


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

    `at_once`: compiled whole now, and not at the first place that may be one. Raises RegexError when RE2 refuses it."""
    text = unbounded(pattern)
    if text is None:
        return compile_search(pattern)
    loose = compile_search(text)
    whole: Search | None = compile_search(pattern) if at_once else None

    def search(anchor: Any, data: bytes | bytearray | memoryview, at: int, high: int) -> Sequence[tuple[int, int]]:
        nonlocal whole
        spans = loose(anchor, data, at, high)
        first = spans[0][0]
        if first < 0:
            return spans
        if whole is None:
            whole = compile_search(pattern)
        # The pattern matches nowhere before this place. Mostly it does here.
        spans = whole(HERE, data, first, high)
        return spans if spans[0][0] >= 0 else whole(anchor, data, first, high)

    return search
