"""The name that a value stands behind, in code, settings and records."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from monitor.common.regex import UNANCHORED, Search, compile_search

__all__ = ["BACK", "named", "one_of"]

BACK = 96  # bytes left of a value that a name is looked for in
# The last name before a value. By RE2, as the other engine tries every end for every start.
_TYPE = r"(?:\s*(?:[aA]s )?(?:string|str|char|text|String|const|&))?"
_NAME = r"([A-Za-z_$@\x80-\xff][\w$.@\x80-\xff-]*)[\"'`\\\])>]*" + _TYPE + r"[^\w]{0,60}\n?\z"


@cache
def _regex() -> Search:
    return compile_search(_NAME)


def named(before: bytes) -> bytes:
    """The name, dots in it included, or nothing. `before`: up to BACK bytes left of the value."""
    spans = _regex()(UNANCHORED, before, 0, len(before))
    return before[spans[1][0] : spans[1][1]] if spans[0][0] >= 0 else b""


def one_of(before: bytes, names: Collection[str]) -> str:
    """Which of `names`, in lower case, the value stands behind: by its whole name, or by the last part of it."""
    name = named(before[-BACK:]).decode("latin-1").lower()
    return next((one for one in (name, name.rpartition(".")[2]) if one in names), "")
