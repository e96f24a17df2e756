"""How far an encoded value goes: a rule that reads text as it stands ends it at the first escape in it.

What a value says decoded is the decoders' to tell. Where none of them read it, nobody knows where it ends, so that what
must not be shown goes to the end of its run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from detectors.match.outcome import Cover, Match

__all__ = ["covers"]

# Characters as percent-encoding, entities, JSON and quoted-printable write them, but for those that end a value: white
# space, quotes, angle brackets, and an ampersand before the name of another parameter.
_PARAMETER = rb"[\w.-]{1,40}(?:=|%3[Dd])"
_ESCAPE = re.compile(
    rb"%%(?:25)?(?!(?:2[0267]|3[CcEe])|[01])[0-9A-Fa-f]{2}"
    rb"|%%(?:25)?26(?!%b)"
    rb"|&(?!quot|apos|nbsp|[lg]t;|amp;|#0{0,4}(?:3[2489]|6[02]);|#[xX]0{0,4}(?:2[0267]|3[CcEe]);)#?\w{2,8};"
    rb"|&(?:amp|#38|#[xX]26);(?!%b)"
    rb"|\\{1,4}(?:/|u00(?!2[0267]|3[CcEe]|[01])[0-9A-Fa-f]{2})"
    rb"|\\{1,4}u0026(?!%b)"
    rb"|=(?!2[027]|3[CE]|[01])[0-9A-F]{2}(?=[A-Za-z0-9+/=_])" % (_PARAMETER, _PARAMETER, _PARAMETER)
)
_VALUE = re.compile(rb"[\w+/.~!*$^-]*(?::[\w+/.~!*$^-]+)*={0,2}")
_BEGINS = frozenset(b"%&\\=")
_READ = {"percent": b"%", "html": b"&", "escape": b"\\", "quoted": b"="}  # decoder → with what begins what it reads
_LONGEST = 1 << 14  # bytes that a value may go on


def covers(data: bytes | bytearray | memoryview, matches: Sequence[Match]) -> list[Cover]:
    """What must not be shown of each: its span, to the end of its run if it ends at an escape that nobody read."""
    read: dict[tuple[int, bytes], int] = {}
    for match in matches:
        if match.decode and (begin := _READ.get(match.decode[0])):
            read[match.start, begin] = max(match.end, read.get((match.start, begin), 0))
    out = []
    for match in matches:
        sign = bytes(data[match.end : match.end + 1]).replace(b";", b"&")  # the end of an entity
        known = read.get((match.start, sign), 0) >= match.end
        out.append(Cover(match.start, match.end if known else _end(data, match.end), match))
    return sorted(out, key=lambda cover: cover[:2])


def _end(data: bytes | bytearray | memoryview, end: int) -> int:
    last = min(len(data), end + _LONGEST)
    if data[end : end + 1] == b";":  # of an entity that a rule took for a part of the value
        begin = bytes(data[max(0, end - 8) : end]).rfind(b"&")
        escape = _ESCAPE.match(data, max(0, end - 8) + begin, last) if begin >= 0 else None
        value = _VALUE.match(data, escape.end(), last) if escape is not None else None
        end = value.end() if value is not None else end
    while end < last and data[end] in _BEGINS and (escape := _ESCAPE.match(data, end, last)):
        value = _VALUE.match(data, escape.end(), last)
        end = value.end() if value else escape.end()
    return end
