"""Google's RE2: patterns that match in linear time. The one place that knows its module.

What it documents wraps each match in objects that cost as much as the match. So what is asked of every candidate calls
the C++ object beneath (`_regexp`), whose anchor (`_Anchor`) the caller hands over: bound to it by `partial`, a short
search took 2 to 5 % longer. Neither name is promised: therefore pyproject.toml bounds the version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import re2

__all__ = ["HERE", "NOWHERE", "UNANCHORED", "RegexError", "Search", "compile_re2", "compile_search", "compile_text"]

# Of (UNANCHORED or HERE, text, from, to) the spans of the first match and of its groups, NOWHERE where there is none.
Search = Callable[[Any, "bytes | bytearray | memoryview", int, int], Sequence[tuple[int, int]]]
NOWHERE = (-1, -1)

try:
    UNANCHORED, HERE = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_START  # HERE: it begins at `from`
    re2.compile(b"a")._regexp.Match  # noqa: B018
except AttributeError as error:
    from importlib.metadata import version

    _lacks = f"google-re2 {version('google-re2')} lacks what monitor/common/regex.py calls ({error})"
    raise ImportError(f"{_lacks}: install the version that pyproject.toml names") from None


class RegexError(Exception):
    """RE2 refuses a pattern; the message is RE2's."""


def compile_re2(pattern: str) -> Any:
    """Over bytes (Latin-1), with the methods of `re`. Raises RegexError."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    # Twice RE2's own: states of the widest generic rules fill that within a block of mixed text, and are forgotten.
    options.max_mem = 16 << 20
    return _compiled(pattern.encode("ascii"), options)


def compile_text(pattern: str) -> Any:
    """Over text, with the methods of `re`. Raises RegexError."""
    return _compiled(pattern, re2.Options())


def compile_search(pattern: str) -> Search:
    """The same, past the wrapper of each match. Raises RegexError."""
    search: Search = compile_re2(pattern)._regexp.Match
    return search


def _compiled(pattern: bytes | str, options: Any) -> Any:
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not accepted"
        raise RegexError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
