"""Records of a log around a place, and what they say one after another: without the time, the host, the stream of each.

What a program prints in lines stands in records of their own once it is logged: a name in one, its value in the next.
Of each record there may be several readings; the one that a neighbour shares is taken, and others' records between are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from detectors.match.region import Buffer

__all__ = ["RecordText", "around", "text_of", "unescaped"]

_LONGEST = 8192  # bytes of a record that are looked at

_ZONE = rb"(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_TIME = (
    rb"\[?(?:\d{4}[-/]\d\d[-/]\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?" + _ZONE + rb"\]?"
    rb"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
    rb"|[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w./-]{1,80}:\d+\]"
)
# Whose record it is (`docker compose`, `kubectl --prefix`, `gh run view`), the priority of syslog, the time.
_HEAD = re.compile(
    rb"([\w.-]{1,64} {1,32}\| |\[[\w./-]{3,160}\] |[^\t\n]{1,80}\t[^\t\n]{1,80}\t(?=\d{4}-))?(<\d{1,3}>1? ?)?(%b)?"
    % _TIME
)
_LEVEL = rb"(?i:trace|debug|info(?:rmation)?|notice|warn(?:ing)?|error|err|fatal|crit(?:ical)?|severe)"
_STREAM = re.compile(rb" (?:stdout|stderr) ([FP])(?::\S{0,40})? ")
# What may stand between the time and the text, the most telling first.
_TAILS = (
    re.compile(rb" \S{1,255} \S{1,48} \S{1,128} \S{1,32} (?:-|(?:\[[^\]\n]{0,400}\]){1,8}) ?"),  # RFC 5424
    re.compile(rb" [\w.-]{1,64} [\w./()@-]{1,64}(?:\[\d{1,10}\])?: ?"),  # host and program
    re.compile(
        rb"[ \t]+(?:(?:\[[^\]\n]{1,60}\]|\(?%b\)?:?|\d{1,7}(?: ---)?)[ \t]+){1,5}"
        rb"(?:-[ \t]|[\w.$/@-]{2,80}(?:\[\d+\])?[ \t]*(?:: |- ))?" % _LEVEL
    ),
    re.compile(rb"[ \t]"),
)
_NUMBER = re.compile(rb"\d+")
_FIELDS = rb"log|msg|message|MESSAGE|@message|_msg|event|line|text|textPayload|body|content"
_JSON = re.compile(rb"\"(%b)\"\s?:\s?\"((?:[^\"\\\n]|\\.)*)" % _FIELDS)
_JSON_STREAM = re.compile(rb"\"stream\"\s?:\s?\"\w{1,16}\"")
_PAIRS = re.compile(rb"(?:^|\s)(%b)=\"((?:[^\"\\\n]|\\.)*)" % _FIELDS)
_PAIR = re.compile(rb"[\w.@-]{1,40}=")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}


class RecordText(NamedTuple):
    """What one record says: data[start:end]. `frame`: what is alike in the records of one writer. `escaped`: it is a
    string of JSON. `more`: the next record goes on with the same line."""

    start: int
    end: int
    frame: bytes
    escaped: bool = False
    more: bool = False


def _readings(data: Buffer, low: int, high: int) -> list[RecordText]:
    """Of the record data[low:high], the most telling first."""
    line = bytes(data[low : min(high, low + _LONGEST)]).rstrip(b"\r")
    end = low + len(line)
    held = _JSON.search(line) if line[:1] == b"{" else _PAIRS.search(line) if _PAIR.match(line) else None
    if held is not None:
        stream = _JSON_STREAM.search(line, held.end()) if line[:1] == b"{" else None
        frame = line[:1] + held[1] + (stream[0] if stream else b"")
        # Docker writes the end of a line as one; where there is none, the line goes on.
        more = held[1] == b"log" and not held[2].endswith(b"\\n")
        return [RecordText(low + held.start(2), low + held.end(2), frame, True, more)]
    head = _HEAD.match(line)
    if head is None or not (head[1] or head[3]):
        return []
    who = _NUMBER.sub(b"0", head[1] or b"") + (b"<" if head[2] else b"")
    if head[3] is None:
        return [RecordText(low + head.end(), end, who)]
    if stream := _STREAM.match(line, head.end()):
        return [RecordText(low + stream.end(), end, who + stream[0][:8], False, stream[1] == b"P")]
    out = []
    for number, tail in enumerate(_TAILS):
        if found := tail.match(line, head.end()):
            out.append(RecordText(low + found.end(), end, b"%b%d%b" % (who, number, _NUMBER.sub(b"0", found[0]))))
    return out


def _ahead(data: Buffer, at: int, limit: int) -> Iterator[tuple[int, int]]:
    """Lines from the one that begins at `at`; none but that one is cut at `limit`, as half a value may be another."""
    whole = bytes(data[at:limit])
    low = 0
    while low < len(whole):
        high = whole.find(b"\n", low)
        if high < 0:
            if low and limit < len(data):
                return
            high = len(whole)
        yield at + low, at + high
        low = high + 1


def _back(data: Buffer, at: int, limit: int) -> Iterator[tuple[int, int]]:
    """Lines before the one that begins at `at`, the last one first; none that begins before `limit`."""
    whole = bytes(data[limit:at])
    high = len(whole) - 1
    while high > 0:
        low = whole.rfind(b"\n", 0, high) + 1
        if not low and limit:
            return  # it may begin before
        yield limit + low, limit + high
        high = low - 1


def around(
    data: Buffer,
    at: int,
    known: dict[tuple[int, int], list[RecordText]],
    *,
    before: int,
    after: int,
    back: int,
    ahead: int,
) -> list[RecordText]:
    """What the record at `at` says with those of its kind among so many lines and bytes before and after it.

    Empty where nothing tells what of it is text: no other record is framed as it is. `known`: readings of this data,
    so that a line is read once, however many records there are that it stands beside.
    """

    def readings(line: tuple[int, int]) -> list[RecordText]:
        if line not in known:
            known[line] = _readings(data, *line)
        return known[line]

    low = bytes(data[max(0, at - _LONGEST) : at]).rfind(b"\n") + 1
    low += max(0, at - _LONGEST)
    following = _ahead(data, low, min(len(data), at + ahead))
    own = readings(next(following, (low, low)))
    if not own:
        return []
    lines = [line for line, _ in zip(following, range(after), strict=False)]
    earlier = [line for line, _ in zip(_back(data, low, max(0, low - back)), range(before), strict=False)]
    for beside in (*lines[:3], *earlier[:1]):
        frames = {other.frame for other in readings(beside)}
        if said := next((one for one in own if one.frame in frames), None):
            break
    else:
        said = own[0]
        if not said.escaped:
            return []
    out = [one for line in reversed(earlier) for one in readings(line) if one.frame == said.frame]
    return [*out, said, *(one for line in lines for one in readings(line) if one.frame == said.frame)]


def unescaped(digits: bytes | None, sign: bytes) -> bytes:
    """What an escape of JSON stands for, by the digits of its character or by its sign."""
    if digits:
        code = int(digits, 16)
        return b"?" if 0xD800 <= code <= 0xDFFF else chr(code).encode()
    return _SIMPLE.get(sign, sign)


def text_of(data: Buffer, said: list[RecordText]) -> tuple[bytes, list[tuple[int, int]]]:
    """What they say as one text, and where its pieces stand in the data (see Region)."""
    out = bytearray()
    marks: list[tuple[int, int]] = []
    for record in said:
        raw = bytes(data[record.start : record.end])
        at, begin = 0, len(out)
        marks.append((begin, record.start))
        for escape in _ESCAPE.finditer(raw) if record.escaped else ():
            out += raw[at : escape.start()]
            marks.append((len(out), record.start + escape.start()))
            out += unescaped(escape[1], escape[2])
            at = escape.end()
            marks.append((len(out), record.start + at))
        out += raw[at:]
        marks.append((len(out), record.end))
        if not record.more and not out.endswith(b"\n", begin):
            out += b"\n"
            # It is of this record, not of the head of the next one.
            marks.append((len(out), min(record.end + 1, len(data))))
    marks.append((len(out), marks[-1][1]))
    return bytes(out), marks
