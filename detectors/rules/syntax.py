"""What is wrong with a pattern, where, and how to write it instead: in terms of the syntax RE2 and Hyperscan share."""

from __future__ import annotations

import re
from dataclasses import dataclass

import hyperscan

from detectors.rules.pattern import groups as parse
from detectors.rules.pattern import matches_empty, shape
from monitor.common.regex import RegexError, compile_re2

__all__ = ["SyntaxProblem", "diagnose", "parse_problem", "re2_problem", "unbounded", "value_problem"]


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """`column` from 0 in `pattern` if known, `message` what, `hint` the rewrite (may be empty), `by` who refuses."""

    pattern: str
    column: int | None
    message: str
    hint: str = ""
    by: str = "syntax"

    def __str__(self) -> str:
        where = f"column {self.column + 1}: " if self.column is not None else ""
        engine = f"{self.by}: " if self.by != "syntax" else ""
        return f"{engine}{where}{self.message}{'; ' + self.hint if self.hint else ''}"


_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|$)|\\(?:x\{[0-9A-Fa-f]+\}|.)|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?<?[=!]|\(\?<[A-Za-z_]|\(\?'|\(\?>|\(\?P=|\(\?\(|\{,\d+\}|\{\d+(?:,\d*)?(?![\d,}])|[*+?}]\+",
    re.DOTALL,
)
_CONTEXT = "match the context as well and put the value in (?P<secret>…): only that group is reported"
_NEITHER = "neither engine supports it"
_BY_FILTER = "match the text loosely and leave the comparison to a filter"
_UTF8 = r"write its UTF-8 bytes as \xNN\xNN"
# What is refused in a token (at its group, if there is one), why, and what to write instead.
_REFUSED: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(asked, re.DOTALL), message, hint)
    for asked, message, hint in (
        (r"\A\(\?<=\Z", f"lookbehind: {_NEITHER}", _CONTEXT),
        (
            r"\A\(\?<!\Z",
            f"negative lookbehind: {_NEITHER}",
            r"start with \b or (?:^|[^A-Za-z0-9_]) and name the value (?P<secret>…)",
        ),
        (r"\A\(\?=\Z", f"lookahead: {_NEITHER}", _CONTEXT),
        (
            r"\A\(\?!\Z",
            f"negative lookahead: {_NEITHER}",
            "move the exception to `stopwords` or `allow`, which are checked after the pattern",
        ),
        (
            r"\A\(\?>\Z",
            f"atomic group: {_NEITHER}",
            "write (?:…): matching is linear here, so there is no backtracking to prevent",
        ),
        (r"\A\(\?P=\Z", f"back-reference: {_NEITHER}", _BY_FILTER),
        (r"\A\(\?\(\Z", f"conditional group: {_NEITHER}", "write two alternatives"),
        (r"\A\(\?(?:<[A-Za-z_]|')\Z", "a group is named in another way here", "write (?P<secret>…)"),
        (r"\A(?!\\Q).*?(?<!\\)(?:\\\\)*\\[uUN]", "a code point: patterns match bytes", _UTF8),
        (r"\A\\[1-9]\Z", f"back-reference: {_NEITHER}", _BY_FILTER),
        (
            r"\A(?=\[).*?(\[:\^?\w+:\])",
            "POSIX class: our parser reads it as single characters",
            "write its ranges, such as A-Za-z",
        ),
        (
            r"\A\{\d",
            "a repeat that is not closed is literal text to the engines",
            r"write {n} or {n,m}; \{ for the sign",
        ),
        (r"\A\{,", "a repeat without a lower bound is literal text to the engines", "write {0,n}"),
        (r"\A[*+?}](\+)\Z", f"possessive quantifier: {_NEITHER}", "drop the second +"),
    )
)


def diagnose(pattern: str, trigger: str | None = None) -> SyntaxProblem | None:
    """The first problem of `pattern` (or of the `trigger` given for it), or None when both engines take it."""
    return value_problem(pattern) or _engines(pattern, shape(pattern, trigger).trigger)


def parse_problem(pattern: str) -> SyntaxProblem | None:
    """What can be said without compiling: quick enough for every rule at every start."""

    def problem(column: int, message: str, hint: str = "") -> SyntaxProblem:
        return SyntaxProblem(pattern, column, message, hint)

    if not pattern:
        return problem(0, "the pattern is empty")
    if "\0" in pattern:
        return problem(pattern.index("\0"), "a NUL would cut the pattern short", r"write \x00")
    if not pattern.isascii():
        column = next(i for i, character in enumerate(pattern) if ord(character) > 127)
        return problem(column, "not ASCII: patterns match bytes", _UTF8)
    for token in _TOKEN.finditer(pattern):
        for asked, message, hint in _REFUSED:
            if found := asked.search(token[0]):
                return problem(token.start() + found.start(found.lastindex or 0), message, hint)
    try:
        groups = parse(pattern)
    except re.error as error:
        return problem(error.pos or 0, error.msg)
    except RecursionError:
        return problem(0, "nested too deeply")
    if groups.get("secret", 1) != 1:
        return problem(pattern.index("(?P<secret>"), "the secret group must be the first", "write the others (?:…)")
    if matches_empty(pattern):
        return problem(0, "matches the empty text", "make at least one part of it required: + for *, {1,} for {0,}")
    return None


_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(\((?!\?)|\(\?P<(?P<name>\w+)>)", re.DOTALL)


def value_problem(pattern: str) -> SyntaxProblem | None:
    """The same, and whether it is certain what of a match the value is: the group `secret`, or all of it."""
    problem = parse_problem(pattern)
    if problem is not None or "secret" in parse(pattern):
        return problem
    group = next((group for group in _GROUP.finditer(pattern) if group[1]), None)
    if group is None:
        return None
    called = f"named {group['name']!r}" if group["name"] else "without a name"
    mend = "name the one around the value (?P<secret>…) and write the others (?:…)"
    return SyntaxProblem(pattern, group.start(), f"a group {called}, and none named 'secret'", mend)


def re2_problem(pattern: str) -> SyntaxProblem | None:
    """What RE2 has against `pattern`, or None."""
    try:
        compile_re2(pattern)
    except UnicodeEncodeError:
        column = next(i for i, character in enumerate(pattern) if ord(character) > 127)
        return SyntaxProblem(pattern, column, "not ASCII: patterns match bytes", _UTF8, "RE2")
    except RegexError as error:
        text = str(error)
        hint = "RE2 counts to 1000 at most: write {n,} and let the window bound it" if "repetition size" in text else ""
        part = text.rpartition(": ")[2]  # RE2 quotes it, and says no column
        certain = part != pattern and pattern.count(part) == 1
        return SyntaxProblem(pattern, pattern.index(part) if certain else None, text, hint, "RE2")
    return None


_ANYTHING = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(\.(?:[*+]|\{\d+,\}))", re.DOTALL)


def unbounded(pattern: str) -> int | None:
    """Where any number of any character is taken (`.*`, `.+`, `.{8,}`): the column from 0, or None."""
    return next((token.start() for token in _ANYTHING.finditer(pattern) if token[1]), None)


def _engines(pattern: str, trigger: str) -> SyntaxProblem | None:
    refusal = re2_problem(pattern)
    if refusal is not None:
        return refusal
    try:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(expressions=[trigger.encode("ascii")], ids=[0], flags=[0])
    except hyperscan.error as error:
        text = str(error)
        if "too large" in text:
            hint = "lower the bounds of its repeats, or write a class for alternatives inside a repeat"
        elif "empty" in text:
            hint = "make at least one part of it required"
        else:
            hint = ""
        return SyntaxProblem(pattern, None, text, hint, "Hyperscan")
    return None
