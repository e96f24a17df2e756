"""Bodies read in pieces: JSON value by value, protobuf field by field. What is held as objects is one piece at a time.

A body of 16 MiB can say five million empty objects, which are a gigabyte in memory: only what is small enough is
parsed, and what is not stays the bytes it was sent as.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson

from monitor.sources.pushed import FormError, named

__all__ = ["LIGHT", "Json", "fields", "light", "object_of", "parsed", "split"]

LIGHT = 64 << 10  # bytes of a piece that is made into objects; of JSON more, as its values can be counted before
_LIGHT, _VALUES = 256 << 10, 30_000
_BRACKETS = 3_000_000  # in one value that is passed over: two seconds of work

_SPACE = re.compile(rb"[ \t\r\n]*+")
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_WORD = re.compile(rb'[^\s,:"\[\]{}]++')
_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_OPENING = b"[{"


def light(body: bytes, start: int, end: int) -> bool:
    """Whether JSON may be made into objects."""
    if end - start > _LIGHT:
        return False
    return sum(body.count(mark, start, end) for mark in (b",", b"[", b"{")) <= _VALUES


def object_of(text: bytes) -> dict[str, Any] | None:
    """What an object of JSON says; None: it is none, or not `light`."""
    with contextlib.suppress(orjson.JSONDecodeError):
        item = orjson.loads(text) if light(text, 0, len(text)) else None
        return item if isinstance(item, dict) else None
    return None


def parsed(text: bytes, more: list[dict[str, Any]]) -> Any:
    """What JSON says, also where its texts are not the UTF-8 they have to be. `more`: gets the values of names that
    come again in an object, but the last. Raises ValueError and RecursionError."""
    return json.loads(text.decode("utf-8", "replace"), object_pairs_hook=partial(named, more=more))


class Json:
    """A place in JSON. Whoever is given a value reads it by one of the methods, or leaves it: it is passed over then.

    All raise FormError.
    """

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def more(self) -> bool:
        """Whether anything but space follows."""
        self.at = self._space()
        return self.at < len(self.body)

    def begins(self, mark: bytes) -> bool:
        """Whether this stands here."""
        return self._next() == mark

    def end(self) -> None:
        """Nothing may follow."""
        if self.more():
            raise FormError("JSON with something behind it")

    def items(self) -> Iterator[None]:
        """Once for each item of a list; null is an empty one."""
        yield from self._inside(b"[", b"]")

    def members(self) -> Iterator[str]:
        """The name of each member of an object; null has none."""
        for _ in self._inside(b"{", b"}"):
            name = _TEXT.match(self.body, self.at)
            if not name:
                raise FormError("not JSON")
            self.at = name.end()
            self._take(b":")
            value = self._space()
            self.at = value
            yield name[0][1:-1].decode("utf-8", "replace")
            if self.at == value:
                self.span()

    def span(self) -> tuple[int, int]:
        """Where a value begins and ends."""
        first = self._next()
        start = self.at
        if first in _OPENING:
            depth = 0
            for _ in range(_BRACKETS):
                bracket = _BRACKET.match(self.body, self.at)
                if not bracket:
                    raise FormError("JSON without its end")
                self.at = bracket.end()
                depth += 1 if bracket[1] in _OPENING else -1
                if not depth:
                    return start, self.at
            raise FormError("JSON with too much in one value")
        value = (_TEXT if first == b'"' else _WORD).match(self.body, self.at)
        if not value:
            raise FormError("not JSON")
        self.at = value.end()
        return start, self.at

    def _inside(self, opening: bytes, closing: bytes) -> Iterator[None]:
        if self._next() == b"n":
            self.span()
            return
        self._take(opening)
        if self._next() == closing:
            self.at += 1
            return
        while True:
            before = self.at = self._space()
            yield
            if self.at == before:
                self.span()
            mark = self._next()
            self.at += 1
            if mark == closing:
                return
            if mark != b",":
                raise FormError("not JSON")

    def _take(self, mark: bytes) -> None:
        if self._next() != mark:
            raise FormError("not JSON of this form")
        self.at += 1

    def _next(self) -> bytes:
        self.at = self._space()
        return self.body[self.at : self.at + 1]

    def _space(self) -> int:
        found = _SPACE.match(self.body, self.at)
        return found.end() if found else self.at


def fields(body: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number of each field of a message of protobuf, where the field begins, its content begins, and it ends. Content
    is what has a length, empty for numbers. Raises FormError."""
    at = start
    while at < end:
        begin = at
        tag, at = _number(body, at, end)
        kind, content = tag & 7, at
        if kind == 2:
            size, content = _number(body, at, end)
            at = content + size
        elif kind == 0:
            _, at = _number(body, at, end)
            content = at
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
            content = at
        else:
            raise FormError("not protobuf")
        if at > end:
            raise FormError("protobuf that is cut off")
        yield tag >> 3, begin, content, at


def _number(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise FormError("not protobuf")


def split(body: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Of a message of protobuf what may be made into objects, as a message, and the rest as the text it was sent as.
    Raises FormError."""
    if end - start <= LIGHT:
        return body[start:end], b""
    message, rest = bytearray(), bytearray()
    for _, begin, content, stop in fields(body, start, end):
        if len(message) + stop - begin <= LIGHT:
            message += body[begin:stop]
        elif stop > content:
            rest += body[content:stop] + b"\n"
    return bytes(message), bytes(rest)
