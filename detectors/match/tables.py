"""Tables: rows below a line that names columns. A cell is read as what is assigned to the name of its column.

    user,password
    bob,…                                           →  password="…"
    INSERT INTO t (user, password) VALUES ('bob', '…')   the same

A line with commas in it is no table: the one below it has to have as many cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from detectors.compile.codecs import COLUMN, Codec
from detectors.match.region import Buffer, Marks

__all__ = ["assigned", "between_rows", "cells", "elsewhere", "last_list"]

_SIGNS = (b"\t", b"|", b";", b",")  # what parts cells, the most telling first
_SQL, _OPENS = b"(", ord("(")  # stands for: rows in parentheses
_LONGEST = 4096  # bytes of a line, or a list, that names columns
_MANY = 256  # columns
_AMISS = 8  # lines one after another that have other cells than the table, before it is over
_NAME = re.compile(rb"[\"'`]?[A-Za-z_\x80-\xff#][\w \x80-\xff.@/#-]{0,47}[\"'`]?")
# All that a line of names is made of. Most lines with a hit have something else before it: `12:03 su[7]: check pass;`.
_OF_NAMES = bytes(c for c in range(256) if c > 127 or chr(c).isalnum() or c in b"\"'`_ .@/#-|;,\t\r\n\v\f")
_BEFORE = 96  # bytes before a hit that are asked for that
_CREDENTIAL = re.compile(rb"(?i)%b\d{0,2}\Z" % COLUMN)
_MAYBE = re.compile(  # what else a column may be called whose value is one
    rb"(?i)pas|pw|psk|pin|secret|token|key|cred|auth|phrase|senha|clave|contra|wort|wacht|has|hesl|mot|code|salt|seed|val"
    rb"|data|text|conf|setting|cert|dsn|ur[il]|conn"
)
_OF_PASSWORDS = re.compile(rb"(?i)pas|pw|wort|wacht|senha|contra|heslo|mot")
_DIGEST = re.compile(rb"(?i)[0-9a-f]{32}(?:[0-9a-f]{8}|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{96})?")
_RULER = re.compile(rb"[-+=:| \t]{3,}")
_LINE_END = re.compile(rb"[^\n]*\n?")
_LIST = re.compile(rb"\(([^()]{3,%d})\)\s{0,8}(?i:values)\s{0,8}\(\Z" % _LONGEST)
_IN_ROW = re.compile(rb"\(([^()]{3,%d})\)\s{0,8}(?i:values)\s{0,8}\(([^()]*)\Z" % _LONGEST)
_LISTED = re.compile(rb"\([^()]{3,%d}\)\s{0,8}(?i:values)\Z" % _LONGEST)
# Before the first row, behind a list or without one. No text in a row looks so by chance.
_VALUES = re.compile(rb"(?:\)\s{0,8}|[Ii](?i:nto)\s{1,8}[\w.`\"\[\]$-]{1,200}\s{1,8})[Vv](?:ALUES|alues)(?=\s{0,8}\()")
_TRIES = 4  # a text in a row may look like its end
_LITERAL = re.compile(rb"'(?:[^']|'')*'")
_NEXT_ROW = re.compile(rb"\)\s{0,64},\s{0,64}\(")
_LEAST, _MOST = 4, 4096  # bytes of a cell that is looked at
_QUOTES = b"\"'`[]\\ \t\r\n"


class _Header(NamedTuple):
    """What parts the cells, and what the columns are called."""

    sign: bytes
    names: tuple[bytes, ...]

    def credentials(self) -> list[tuple[int, bytes]]:
        return _credentials(self.names)

    def elsewhere(self, number: int) -> bool:
        """Whether the secrets stand in other columns than this one."""
        return number < len(self.names) and not _MAYBE.search(self.names[number]) and bool(self.credentials())


class _Cell(NamedTuple):
    """The text of a cell: data[start:end], without quotes and blanks."""

    start: int
    end: int
    quote: bytes


@lru_cache(maxsize=256)  # a program writes the same list again and again
def _credentials(names: tuple[bytes, ...]) -> list[tuple[int, bytes]]:
    return [(number, name) for number, name in enumerate(names) if _CREDENTIAL.search(name)]


def cells(data: Buffer, ends: Iterable[int], head: bytes = b"") -> list[tuple[Codec, list[int]]]:
    """For each column of credentials where its cells begin, plus one. `ends`: of hits in lines that may name columns,
    and at the first row behind a list of them. `head`: such a line, or such a list, that stands somewhere before the
    data, which may go on with its rows."""
    out: dict[Codec, list[int]] = {}
    done = 0
    if _LISTED.fullmatch(head):
        _tuples(data, _row_begins(data), _listed(head[1 : head.rindex(b")")]), out)
    elif head and (header := _header(head)) is not None:
        done = _rows(data, 0, header, out, begun=True)
    idle = b"("  # the last list of no credentials, up to its row: a log of statements says it again and again
    for end in sorted(ends):
        if data[end - 1] == _OPENS:
            if len(idle) == 1 or data[end - len(idle) : end] != idle:
                begin, listed = _list_before(data, end)
                idle = b"(" if listed else bytes(data[begin:end])
                if listed:
                    _tuples(data, end, listed, out)
            continue
        at = end - 2  # a hit may end behind the line break
        if at < done:
            continue
        before = bytes(data[max(0, at - _BEFORE) : at])
        if before[before.rfind(b"\n") + 1 :].translate(None, _OF_NAMES):
            continue
        low, line = _line(data, at)
        done = low + len(line) + 1
        if low >= 0 and (header := _header(line)) is not None:
            done = max(done, _rows(data, done, header, out))
    return [(codec, places) for codec, places in out.items() if places]


def _list_before(data: Buffer, end: int) -> tuple[int, _Header | None]:
    """Where the list begins which the row that opens right before `end` belongs to, and the columns that it names, if
    one is of secrets."""
    for size in (256, _LONGEST):
        piece = bytes(data[max(0, end - size) : end])
        # No parenthesis is in a list, so it begins at the last one that opens before the last one that closes.
        closes = piece.rfind(b")")
        opens = piece.rfind(b"(", 0, max(0, closes))
        if opens >= 0:
            listed = _listed(piece[opens + 1 : closes])
            fits = listed.credentials() and _LIST.match(piece, opens)
            return max(0, end - size) + opens, listed if fits else None
    return end - 1, None


def elsewhere(before: bytes, after: bytes) -> bool:
    """Whether what stands between the two is a value of another column than those that are called after a secret."""
    if b"(" in before and (row := _IN_ROW.search(before)):
        return _listed(row[1]).elsewhere(_LITERAL.sub(b"", row[2]).count(b","))
    above, line_break, left = before.rpartition(b"\n")
    names = above[above.rfind(b"\n") + 1 :]
    if not line_break or names.translate(None, _OF_NAMES) or (header := _header(names)) is None:
        return False
    right, line_break, _ = after.partition(b"\n")
    count = left.count(header.sign) + right.count(header.sign) + 1
    fits = count == len(header.names) or (count < len(header.names) and not line_break)
    return fits and header.elsewhere(left.count(header.sign))


def between_rows(data: bytes | bytearray, at: int) -> bool:
    """Whether rows of an INSERT go on over this place: what stands around it is nothing else. A line of a log may hold
    such rows as well, but not as much of them."""
    low = max(0, at - _LONGEST)
    piece = bytes(data[low : at + _LONGEST])
    for first, _ in zip(_NEXT_ROW.finditer(piece), range(_TRIES), strict=False):
        place = begin = first.end()
        while (row := _row(piece, place, _SQL))[0] and (further := _NEXT_ROW.match(piece, row[1])):
            place = further.end()
        if place >= at - low and 2 * (place - begin) >= len(piece) - begin:
            return True
    return False


def last_list(data: bytes | bytearray, end: int) -> bytes | None:
    """The list of columns that rows behind data[:end] belong to, with what follows it; empty: they have none; None: it
    is not there."""
    for found in [*_VALUES.finditer(data, 0, end)][::-1]:
        if not found[0].startswith(b")"):
            return b""
        if listed := _LISTED.search(bytes(data[max(0, found.start() - _LONGEST) : found.end()])):
            return listed[0]
    return None


def _row_begins(data: Buffer) -> int:
    """Behind the first end of one."""
    row = _NEXT_ROW.search(data, 0, 2 * _LONGEST)
    return row.end() if row is not None else len(data)


def _line(data: Buffer, at: int) -> tuple[int, bytes]:
    """The line around `at` and where it begins: -1 if it is too long."""
    before, after = bytes(data[max(0, at - _LONGEST) : at]), bytes(data[at : at + _LONGEST])
    first, last = before.rfind(b"\n") + 1, after.find(b"\n")
    if (not first and at > _LONGEST) or (last < 0 and at + _LONGEST < len(data)):
        return -1, before[first:] + after
    return at - len(before) + first, before[first:] + (after if last < 0 else after[:last])


def _header(line: bytes) -> _Header | None:
    """What a line says of the columns below it, if it names some."""
    line = line.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    for sign in _SIGNS:
        if sign not in line:
            continue
        names = [name.strip() for name in line.split(sign)]
        named = names[1:-1] if sign == b"|" and not names[0] and not names[-1] else names
        if 2 <= len(names) <= _MANY and all(map(_NAME.fullmatch, named)):
            return _Header(sign, tuple(name.strip(_QUOTES) for name in names))
    return None


@lru_cache(maxsize=256)
def _listed(names: bytes) -> _Header:
    return _Header(_SQL, tuple(name.strip(_QUOTES) for name in names.split(b",")))


@cache
def _pattern(sign: bytes) -> re.Pattern[bytes]:
    """A cell with its end: in quotes, where breaks of lines and doubled quotes are part of it, or not."""
    if sign == _SQL:
        call = rb"[^,()'\"]{0,200}(?:\([^()]{0,400}\)[^,()'\"]{0,40})?"
        quoted = rb"\"([^\"]{0,%d})\"|[A-Za-z]?'((?:[^'\\]|''|\\.){0,%d})'(?:::\w{1,40})?|`([^`]*)`" % (_MOST, _MOST)
        return re.compile(rb"\s{0,64}(?:(?:%b)\s{0,64}(?=[,)])|(%b)(?=[,)]))" % (quoted, call), re.DOTALL)
    part = re.escape(sign)
    blank = rb"[ ]{0,64}" if sign == b"\t" else rb"[ \t]{0,64}"
    return re.compile(
        rb"%b(?:\"((?:[^\"]|\"\"){0,%d})\"|'([^'\n]*)'|`([^`\n]*)`)%b(?=%b|\r?\n|\Z)|([^\n%b]*)"
        % (blank, _MOST, blank, part, part)
    )


def _row(data: Buffer, at: int, sign: bytes) -> tuple[list[int], int]:
    """Where the cells of the row that begins at `at` do, and where the row ends; none if it is none."""
    out: list[int] = []
    match, between = _pattern(sign).match, b"," if sign == _SQL else sign
    while cell := match(data, at):
        out.append(at)
        at = cell.end()
        if data[at : at + 1] != between:
            return out, at
        at += 1
    return [], at


def _places(header: _Header, out: dict[Codec, list[int]]) -> list[tuple[int, list[int]]]:
    sign = header.sign.decode()
    return [
        (number, out.setdefault(Codec("table", word=name.decode("latin-1"), sign=sign), []))
        for number, name in header.credentials()
    ]


def _rows(data: Buffer, at: int, header: _Header, out: dict[Codec, list[int]], *, begun: bool = False) -> int:
    """Add the cells of the rows from `at` on; where they end. `begun`: rows have been seen before."""
    columns, amiss = _places(header, out), 0
    if not begun and _frames(data, at, header):
        return at
    while columns and at < len(data):
        row, end = _row(data, at, header.sign)
        line = _LINE_END.match(data, end)
        following = line.end() if line is not None else end
        if len(row) == len(header.names):
            begun, amiss = True, 0
            for number, places in columns:
                places.append(row[number] + 1)
        elif not _RULER.fullmatch(bytes(data[at:following]).rstrip(b"\r\n")):
            amiss += 1
            if not begun or amiss > _AMISS or 0 < at >= following - 2:  # the data may begin with the end of a row
                break
        at = following
    return at


def _frames(data: Buffer, at: int, header: _Header) -> bool:
    """Whether it is rather a record of a log with its service before it: `web-1 | wrong password`."""
    line = _LINE_END.match(data, at)
    first = line[0].rstrip(b"\r\n") if line is not None else b""
    if header.sign == b"|" and any(header.names[:: len(header.names) - 1]):
        return not _RULER.fullmatch(first)
    return any(
        name and name == cell.strip() for name, cell in zip(header.names, first.split(header.sign), strict=False)
    )


def _tuples(data: Buffer, at: int, header: _Header, out: dict[Codec, list[int]]) -> None:
    """The same of rows in parentheses, the first of which is open at `at`."""
    columns = _places(header, out)
    while columns:
        row, end = _row(data, at, _SQL)
        if len(row) != len(header.names):
            break
        for number, places in columns:
            places.append(row[number] + 1)
        further = _NEXT_ROW.match(data, end)
        if further is None:
            break
        at = further.end()


def _text(data: Buffer, place: int, sign: bytes) -> _Cell:
    found = _pattern(sign).match(data, place - 1)
    if found is None:
        return _Cell(place, place, b"")
    for group, quote in ((1, b'"'), (2, b"'"), (3, b"`")):
        if found[group] is not None:
            return _Cell(*found.span(group), quote)
    start, end = found.span(4)
    if sign == _SQL:
        return _Cell(start, start, b"")  # a number, a call, a name
    text = bytes(data[start:end])
    start, text = start + len(text) - len(text.lstrip(b" \t*`")), text.lstrip(b" \t*`")
    return _Cell(start, start + len(text.rstrip(b" \t\r*`")), b"")


def assigned(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> tuple[bytes, Marks]:
    """The cells as assignments, in a line each, and where they stand in the data (see Region)."""
    text, marks = bytearray(), Marks()
    for codec, place in sorted(hits, key=lambda hit: hit[1]):
        cell, name = _text(data, place, codec.sign.encode()), codec.word.encode("latin-1")
        value = bytes(data[cell.start : cell.end])
        if _LEAST <= len(value) <= _MOST and not (_DIGEST.fullmatch(value) and _OF_PASSWORDS.search(name)):
            for part, start, end in _assignment(name, value, cell):
                marks.append((len(text), start))
                text += part
                marks.append((len(text), end))
    return bytes(text), marks


def _assignment(name: bytes, value: bytes, cell: _Cell) -> Iterator[tuple[bytes, int, int]]:
    """Its parts, each with what it stands for."""
    value = value.replace(cell.quote * 2, cell.quote) if cell.quote else value
    quote = b"'" if b'"' in value else b'"'
    yield name.replace(b" ", b"_") + b"=" + quote, cell.start, cell.start
    yield value, cell.start, cell.end
    yield quote + b"\n", cell.end, cell.end
