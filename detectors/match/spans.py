"""Where a rule's pattern matches: looked for without the bounds of its repeats, then held against that place alone.

RE2 makes the states of its automaton as it meets them. A value of `{15,998}` characters behind a name of `{0,24}` has
thousands, which took most of the time that rules take of source: they are made in each process, and forgotten when
there are too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectors.rules.pattern import unbounded
from monitor.common.regex import HERE, Search, compile_search

__all__ = ["searcher"]


def searcher(pattern: str, *, at_once: bool = False) -> Search:
    """The spans of the first match of a pattern. `at_once`: compiled whole now, and not at the first place that may be
    one. Raises RegexError when RE2 refuses it."""
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
