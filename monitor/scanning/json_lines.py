"""Spans in lines of JSON: what may be replaced so that each line stays JSON."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

__all__ = ["Piece", "pieces"]

_TOKEN = re.compile(rb'"((?:[^"\\\n]|\\.)*)"(?P<name>\s*:)?|-?\d[\d.eE+-]*')
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)")
_WIDEST = 1 << 20  # bytes of a line that is looked at as JSON

Piece = tuple[int, int, bytes]  # from, to, and what stands there instead


class _Line(NamedTuple):
    """A line without its newline. `tokens` of JSON: strings and numbers, by position; None: it is text."""

    start: int
    end: int
    tokens: list[re.Match[bytes]] | None


def pieces(data: bytes, spans: Iterable[Piece]) -> Iterator[Piece]:
    """The parts of `data` to replace for `spans`, which are disjoint and by position; each with its text, in order.

    In text that is the whole span. In a line of JSON it is what the span covers of strings, the names of fields among
    them, and of numbers, never a quote or what stands between; a span over several lines is then taken line by line.
    """
    done = 0  # a number goes whole with the first of its spans, and so does an escape
    for start, end, label in _pieces(data, spans):
        if max(start, done) < end:
            yield max(start, done), end, label
            done = end


def _pieces(data: bytes, spans: Iterable[Piece]) -> Iterator[Piece]:
    line = _Line(0, -1, None)
    for start, end, label in spans:
        lines = []
        at = start
        while at < end:
            if not line.start <= at <= line.end:
                line = _line(data, at)
            lines.append(line)
            at = line.end + 1
        if all(one.tokens is None for one in lines):
            yield start, end, label
            continue
        for one in lines:
            low, high = max(one.start, start), min(one.end, end)
            if one.tokens is not None:
                yield from _strings(one.tokens, low, high, label)
            elif low < high:
                yield low, high, label


def _line(data: bytes, at: int) -> _Line:
    first = data.rfind(b"\n", 0, at) + 1
    last = data.find(b"\n", at)
    last = len(data) if last < 0 else last
    tokens = [*_TOKEN.finditer(data, first, last)] if _is_json(data[first : min(last, first + _WIDEST + 1)]) else None
    return _Line(first, last, tokens)


def _is_json(line: bytes) -> bool:
    if line[:1] not in (b"{", b"[") or len(line) > _WIDEST:
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _strings(tokens: list[re.Match[bytes]], start: int, end: int, label: bytes) -> Iterator[Piece]:
    first = bisect_right(tokens, start, key=lambda token: token.end())
    for token in tokens[first : bisect_right(tokens, end - 1, key=lambda token: token.start())]:
        low, high = token.span(1)
        if low < 0:
            # A number that is masked is a string from then on, and goes whole.
            yield *token.span(), b'"' + label + b'"'
        elif token["name"] and start < low and high < end:
            continue  # it stands between parts of a secret, as in records of a log; one that is a secret is found alone
        elif max(start, low) < min(end, high):
            yield *_whole(token, max(start, low), min(end, high)), label


def _whole(token: re.Match[bytes], start: int, end: int) -> tuple[int, int]:
    """The span, with all of an escape that it cuts: half of one is no JSON."""
    if b"\\" in token[1]:
        for escape in _ESCAPE.finditer(token.string, *token.span(1)):
            if escape.start() < start < escape.end():
                start = escape.start()
            if escape.start() < end < escape.end():
                end = escape.end()
    return start, end
