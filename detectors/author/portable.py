"""Patterns of other tools (Go's RE2 syntax, Rust's) in the syntax that RE2, Hyperscan and Python's parser share."""

from __future__ import annotations

import re

__all__ = ["captures", "portable"]

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
    "word": r"\w", "space": r"\s", "punct": r"!-/:-@\[-`{-~", "print": " -~", "graph": "!-~", "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f", "ascii": r"\x00-\x7f",
}  # fmt: skip
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NAME = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")


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
    return _Translator(pattern, number).result()


def captures(pattern: str) -> list[str]:
    """Names of the groups that capture, empty for a nameless one. Raises ValueError as `portable` does."""
    translator = _Translator(pattern, 0)
    translator.result()
    return translator.names


class _Translator:
    """One pass over a pattern; the group numbered `wanted` becomes `secret`, or with 0 the whole."""

    def __init__(self, pattern: str, wanted: int) -> None:
        self.pattern = pattern
        self.wanted = wanted
        self.at = 0
        self.verbose = False
        self.names: list[str] = []

    def result(self) -> str:
        head = ""
        # Flags at the very start hold for everything; ours must stand there too.
        while (match := _FLAGS.match(self.pattern, self.at)) and match[3] == ")" and not match[2]:
            head += self._flags(match[1])
            self.at = match.end()
            self._skip_space()
        body = self._alternatives(top=True)
        if not self.wanted:
            body = f"(?P<secret>{body})"
        return f"(?{''.join(sorted(set(head)))}){body}" if head else body

    def _flags(self, letters: str) -> str:
        if "x" in letters:
            self.verbose = True
        for letter in letters:
            if letter not in "ismxuU":
                raise ValueError(f"the flag {letter!r} has no counterpart")
            if letter == "U":
                raise ValueError("the flag 'U' (swapped greediness) has no counterpart")
        return "".join(letter for letter in letters if letter in "ism")

    def _switched(self, match: re.Match[str]) -> tuple[str, str]:
        """Flags that a group switches on, and off; white space in patterns is settled here, so `x` is neither."""
        letters = self._flags(match[1])
        off = self._flags((match[2] or "").replace("x", ""))
        if "x" in (match[2] or ""):
            self.verbose = False
        return letters, off

    def _skip_space(self) -> None:
        while self.verbose and self.at < len(self.pattern):
            if self.pattern[self.at].isspace():
                self.at += 1
            elif self.pattern[self.at] == "#":
                newline = self.pattern.find("\n", self.at)
                self.at = len(self.pattern) if newline < 0 else newline + 1
            else:
                return

    def _alternatives(self, *, top: bool) -> str:
        """Everything up to the end of the group. A flag set on the way holds for the rest of it, `|` included."""
        out, opened = "", ""
        verbose = self.verbose
        while True:
            self._skip_space()
            if self.at >= len(self.pattern):
                if not top:
                    raise ValueError("a group is not closed")
                break
            character = self.pattern[self.at]
            if character == ")":
                if top:
                    raise ValueError("a parenthesis closes no group")
                break
            if character == "|":
                out += f")|{opened}" if opened else "|"
                self.at += 1
                continue
            match = _FLAGS.match(self.pattern, self.at)
            if match and match[3] == ")":
                self.at = match.end()
                letters, off = self._switched(match)
                if letters or off:
                    out += ")" if opened else ""
                    on_before, _, off_before = opened[2:-1].partition("-")
                    opened = _opening(
                        set(letters) | set(on_before) - set(off), set(off) | set(off_before) - set(letters)
                    )
                    out += opened
                continue
            out += self._piece()
        self.verbose = verbose
        return out + (")" if opened else "")

    def _piece(self) -> str:
        character = self.pattern[self.at]
        if character == "(":
            return self._group()
        if character == "[":
            return self._set()
        if character == "\\":
            return self._escape()
        self.at += 1
        return character

    def _group(self) -> str:
        rest = self.pattern[self.at :]
        verbose = self.verbose
        if match := _FLAGS.match(rest):
            self.at += match.end()
            letters, off = self._switched(match)
            opening = _opening(set(letters), set(off))
        elif match := _NAME.match(rest):
            self.at += match.end()
            opening = self._capture(match[1])
        elif rest.startswith("(?"):
            raise ValueError("lookaround, atomic and conditional groups have no counterpart")
        else:
            self.at += 1
            opening = self._capture("")
        inner = self._alternatives(top=False)
        self.at += 1
        self.verbose = verbose
        return f"{opening}{inner})"

    def _capture(self, name: str) -> str:
        self.names.append(name)
        return "(?P<secret>" if len(self.names) == self.wanted else "(?:"

    def _escape(self) -> str:
        pair = self.pattern[self.at : self.at + 2]
        if len(pair) < 2:
            raise ValueError("it ends in a backslash")
        if pair == r"\Q":
            end = self.pattern.find(r"\E", self.at)
            text = self.pattern[self.at + 2 : end if end >= 0 else len(self.pattern)]
            self.at = end + 2 if end >= 0 else len(self.pattern)
            return re.escape(text)
        if match := re.match(r"\\x\{([0-9A-Fa-f]{1,6})\}", self.pattern[self.at :]):
            self.at += match.end()
            return "".join(f"\\x{byte:02x}" for byte in chr(int(match[1], 16)).encode())
        self.at += 2
        if pair in (r"\z", r"\Z"):
            return "$"
        if pair in (r"\A",):
            return "^"
        if pair[1] in "pPCXRKGhHvN":
            raise ValueError(f"{pair} has no counterpart")
        if pair[1].isspace():
            return f"\\x{ord(pair[1]):02x}"
        if not pair[1].isalnum() and not pair[1].isascii():
            return "".join(f"\\x{byte:02x}" for byte in pair[1].encode())
        return pair[1] if pair[1] in "#'\"`:;,%&@!<>~=_/ " else pair

    def _set(self) -> str:
        self.at += 1
        out = "["
        if self.pattern.startswith("^", self.at):
            out += "^"
            self.at += 1
        first = True
        while True:
            if self.at >= len(self.pattern):
                raise ValueError("a character class is not closed")
            character = self.pattern[self.at]
            if match := re.match(r"\[:(\^?)(\w+):\]", self.pattern[self.at :]):
                if match[1] or match[2] not in _POSIX:
                    raise ValueError(f"the class {match[0]} has no counterpart")
                out += _POSIX[match[2]]
                self.at += match.end()
            elif character == "]" and not first:
                self.at += 1
                return out + "]"
            elif character == "\\":
                text = self._escape()
                out += text if text not in ("]", "^", "-", "$") else f"\\{text}"
            elif character == "[":
                # A bare bracket inside a class: a literal to Go, a nested class to Rust.
                if self.verbose or "&&" in self.pattern:
                    raise ValueError("nested character classes have no counterpart")
                out += r"\["
                self.at += 1
            elif self.verbose and character.isspace():
                self.at += 1
            elif self.pattern.startswith(("&&", "--", "~~", "||"), self.at):
                out += f"\\{character}"  # a literal to Go; Python warns of what it may mean one day
                self.at += 1
            else:
                out += character
                self.at += 1
            first = False


def _opening(on: set[str], off: set[str]) -> str:
    return f"(?{''.join(sorted(on))}{'-' if off else ''}{''.join(sorted(off))}:"
