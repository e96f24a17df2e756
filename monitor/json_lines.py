"""Spans in lines of JSON: what may be replaced so that each line stays JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

__all__ = ["pieces"]

_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|-?\d[\d.eE+-]*')
_WIDEST = 1 << 20  # bytes of a line that is looked at as JSON


def pieces(data: bytes, start: int, end: int, label: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The parts of `data[start:end]` to replace, each with its text, in order.

    In text that is the whole span. In a line of JSON it is what the span covers of strings and numbers, never a quote,
    a name before a colon or what stands between; a span over several lines is then taken line by line.
    """
    lines = list(_lines(data, start, end))
    if not any(_is_json(data[first:last]) for first, last in lines):
        yield start, end, label
        return
    for first, last in lines:
        low, high = max(first, start), min(last, end)
        if _is_json(data[first:last]):
            yield from _tokens(data, (first, last), (low, high), label)
        elif low < high:
            yield low, high, label


def _lines(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Begin and end, without its newline, of each line that the span touches."""
    first = data.rfind(b"\n", 0, start) + 1
    while first < end:
        last = data.find(b"\n", first)
        last = len(data) if last < 0 else last
        yield first, last
        first = last + 1


def _is_json(line: bytes) -> bool:
    if line[:1] not in (b"{", b"[") or len(line) > _WIDEST:
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _tokens(
    data: bytes, line: tuple[int, int], span: tuple[int, int], label: bytes
) -> Iterator[tuple[int, int, bytes]]:
    for token in _TOKEN.finditer(data, *line):
        low, high = token.span()
        text = data[low : low + 1] == b'"'
        begin, end = (
            (max(span[0], low + 1), min(span[1], high - 1)) if text else (max(span[0], low), min(span[1], high))
        )
        if begin >= end or (text and data[high : line[1]].lstrip()[:1] == b":"):
            continue
        # A number that is masked is a string from then on, and goes whole.
        yield (begin, end, label) if text else (low, high, b'"' + label + b'"')
