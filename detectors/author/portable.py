"""Patterns of other tools (Go's RE2 syntax, Rust's) in the syntax that RE2, Hyperscan and Python's parser share."""

from __future__ import annotations

import re

__all__ = ["captures", "portable"]

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
    "word": r"\w", "space": r"\s", "punct": r"!-/:-@\[-`{-~", "print": " -~", "graph": "!-~", "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f", "ascii": r"\x00-\x7f",
}  # fmt: skip
_ESCAPE = r"(?P<escape>\\Q.*?(?:\\E|\Z)|\\x\{[0-9A-Fa-f]{1,6}\}|\\.?)"
_TOKEN = re.compile(
    _ESCAPE + r"|(?P<set>\[\^?\]?+(?:\[:\^?\w+:\]|\\Q.*?(?:\\E|\Z)|\\.|[^\]\\])*\])"
    r"|\(\?(?P<on>[a-zA-Z]*)(?:-(?P<off>[a-zA-Z]+))?(?P<flags>[:)])"
    r"|(?P<group>\()(?:\?P?<(?P<name>[A-Za-z_]\w*)>|(?P<odd>\?))?|(?P<text>.)",
    re.DOTALL,
)
_ITEM = re.compile(
    r"\[:(?P<posix>\^?\w+):\]|" + _ESCAPE + r"|(?P<twice>&(?=&)|-(?=-)|~(?=~)|\|(?=\|))|(?P<text>.)", re.DOTALL
)
_ANCHORS = {r"\z": "$", r"\Z": "$", r"\A": "^"}


def portable(pattern: str, secret: int | str = 0) -> str:
    """`pattern` in the syntax of ours, its value in the group `secret` and no other group.

    `secret` is the number or name of the group that holds the value; 0: the first group, or the whole match.
    Raises ValueError that says what has no counterpart.
    """
    names = captures(pattern)
    if isinstance(secret, str):
        number = names.index(secret) + 1 if secret in names else min(1, len(names))
    else:
        number = secret or min(1, len(names))
    if number > len(names):
        raise ValueError(f"it has no group {secret}")
    return _Translator(number).translated(pattern)


def captures(pattern: str) -> list[str]:
    """Names of the groups that capture, empty for a nameless one. Raises ValueError as `portable` does."""
    translator = _Translator(0)
    translator.translated(pattern)
    return translator.names


class _Translator:
    """One pass over the tokens of a pattern; the group numbered `wanted` becomes `secret`, or with 0 the whole.

    A flag set on the way holds for the rest of its group, `|` included: `opened` is the group that it became.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.names: list[str] = []
        self._out: list[str] = []
        self._head = self._opened = ""
        self._verbose = False
        self._outer: list[tuple[str, bool]] = []  # what was opened and verbose before each group that is open

    def translated(self, pattern: str) -> str:
        at, self._nests = 0, "&&" in pattern  # as only where classes nest does it mean something
        while token := _TOKEN.match(pattern, at):
            at = token.end()
            if self._verbose and token[0] == "#":
                at = pattern.find("\n", at) + 1 or len(pattern)
            elif not (self._verbose and token[0].isspace()):
                self._take(token)
        if self._outer:
            raise ValueError("a group is not closed")
        body = "".join(self._out) + (")" if self._opened else "")
        if not self.wanted:
            body = f"(?P<secret>{body})"
        return f"(?{''.join(sorted(set(self._head)))}){body}" if self._head else body

    def _take(self, token: re.Match[str]) -> None:
        if token["flags"]:
            self._switch(token["on"], token["off"] or "", whole=token["flags"] == ":")
        elif token["odd"]:
            raise ValueError("lookaround, atomic and conditional groups have no counterpart")
        elif token["group"]:
            self.names.append(token["name"] or "")
            self._open("(?P<secret>" if len(self.names) == self.wanted else "(?:", self._verbose)
        elif token[0] == ")":
            if not self._outer:
                raise ValueError("a parenthesis closes no group")
            self._out.append("))" if self._opened else ")")
            self._opened, self._verbose = self._outer.pop()
        elif token[0] == "|":
            self._out.append(f")|{self._opened}" if self._opened else "|")
        elif token[0] == "[":
            raise ValueError("a character class is not closed")
        elif token["set"]:
            self._out.append(_set(token[0], self._verbose, nested=self._verbose or self._nests))
        else:
            self._out.append(_escaped(token[0]) if token["escape"] else token[0])

    def _open(self, text: str, verbose: bool) -> None:
        self._out.append(text)
        self._outer.append((self._opened, verbose))
        self._opened = ""

    def _switch(self, on: str, off: str, *, whole: bool) -> None:
        """`(?i-s:` of a `whole` group, or `(?i-s)` up to the end of the one it stands in."""
        verbose, self._verbose = self._verbose, (self._verbose or "x" in on) and "x" not in off
        letters, without = set(_known(on)), set(_known(off))
        if whole:
            self._open(_opening(letters, without), verbose)
        elif not (self._out or off):  # at the very start it holds for everything; ours must stand there too
            self._head += "".join(letters)
        elif letters or without:
            on_before, _, off_before = self._opened[2:-1].partition("-")
            self._out.append(")" if self._opened else "")
            self._opened = _opening(letters | set(on_before) - without, without | set(off_before) - letters)
            self._out.append(self._opened)


def _known(letters: str) -> str:
    """Flags without those that say nothing here: white space in patterns is settled by the translator."""
    for letter in letters:
        if letter not in "ismxu":
            meaning = " (swapped greediness)" if letter == "U" else ""
            raise ValueError(f"the flag {letter!r}{meaning} has no counterpart")
    return "".join(letter for letter in letters if letter in "ism")


def _opening(on: set[str], off: set[str]) -> str:
    return f"(?{''.join(sorted(on))}{'-' if off else ''}{''.join(sorted(off))}:"


def _escaped(text: str) -> str:
    if text.startswith(r"\Q"):
        return re.escape(text[2:].removesuffix(r"\E"))
    if text.startswith(r"\x{"):
        return "".join(f"\\x{byte:02x}" for byte in chr(int(text[3:-1], 16)).encode())
    character = text[1:]
    if not character:
        raise ValueError("it ends in a backslash")
    if character in "pPCXRKGhHvN":
        raise ValueError(f"{text} has no counterpart")
    if character.isspace():
        return f"\\x{ord(character):02x}"
    if not character.isascii() and not character.isalnum():
        return "".join(f"\\x{byte:02x}" for byte in character.encode())
    return _ANCHORS.get(text) or (character if character in "#'\"`:;,%&@!<>~=_/ " else text)


def _set(text: str, verbose: bool, *, nested: bool) -> str:
    start = len(text) - len(text[1:].removeprefix("^"))
    out = [text[:start]]
    if text[start] == "]":
        out.append("]")
        start += 1
    for item in _ITEM.finditer(text, start, len(text) - 1):
        if posix := item["posix"]:
            if posix not in _POSIX:
                raise ValueError(f"the class {item[0]} has no counterpart")
            out.append(_POSIX[posix])
        elif item["escape"]:
            plain = _escaped(item[0])
            out.append(f"\\{plain}" if plain in ("]", "^", "-", "$") else plain)
        elif item[0] == "[":
            # A bare bracket inside a class: a literal to Go, a nested class to Rust.
            if nested:
                raise ValueError("nested character classes have no counterpart")
            out.append(r"\[")
        elif not (verbose and item[0].isspace()):
            # Twice the same sign: a literal to Go; Python warns of what it may mean one day.
            out.append(f"\\{item[0]}" if item["twice"] else item[0])
    return "".join(out) + "]"
