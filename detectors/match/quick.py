"""One look for many patterns: RE2 says in half a microsecond that none matches, as is so for most candidates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import re2

from detectors.rules.syntax import compile_re2

__all__ = ["UNANCHORED", "found", "quick"]

UNANCHORED = re2._Anchor.UNANCHORED


def quick(inside: Sequence[re.Pattern[bytes]], whole: Sequence[re.Pattern[bytes]] = ()) -> Callable[[bytes], bool]:
    """Whether one of `inside` may match in a text, or one of `whole` all of it: never False where one does.

    Patterns of syntax that RE2 shares; compiled at the first question.
    """

    match: Any = None

    def asked(text: bytes) -> bool:
        nonlocal match
        if match is None:
            parts = [f"(?:{pattern.pattern.decode('latin-1')})" for pattern in inside]
            parts += [rf"\A(?:{pattern.pattern.decode('latin-1')})\z" for pattern in whole]
            match = compile_re2("|".join(parts))._regexp.Match
        # `$` stands before a last newline, too, in Python, and not in RE2.
        return text[-1:] == b"\n" or match(UNANCHORED, text, 0, len(text))[0][0] >= 0

    return asked


def found(pattern: re.Pattern[bytes]) -> Callable[[bytes], bool]:
    """Whether the pattern matches in a text, in linear time. It must not speak of the text's end (`$`)."""

    match: Any = None

    def asked(text: bytes) -> bool:
        nonlocal match
        if match is None:
            match = compile_re2(pattern.pattern.decode("latin-1"))._regexp.Match
        return bool(match(UNANCHORED, text, 0, len(text))[0][0] >= 0)

    return asked
