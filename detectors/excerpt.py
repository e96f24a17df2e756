"""The line around a secret, with everything hidden that is or may be one: the only text around it that leaves."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from detectors.match.place import PASSWORD
from monitor.common.terminal import SEQUENCE

__all__ = ["LINE", "NEAR", "around", "narrowed"]

Data = bytes | bytearray | memoryview
NEAR = 80  # characters shown on either side
LINE = 4096  # bytes of the line on either side in which names are looked for

_BEFORE = re.compile(r"[\w+%\\-]+$")
_AFTER = re.compile(r"^[\w+%./=\\-]+")
# No rule knows it, yet it looks like nothing that people write: a run of letters and digits.
_RANDOM = re.compile(r"(?=[A-Za-z_]*\d)(?=\d*[A-Za-z_])\w{20,}")
# What a credential is called, up to where it begins, and it: of words no rule tells whether they are one.
_NAME = PASSWORD + (
    rb"|(?i:secret|token|credential|passcode|bearer|authorization|salt|mnemonic|[_-]pass\b|[_-]auth\b|\bpw\b|\bpsk\b|\bpin\b"
    rb"|(?:api|access|account|app|auth|client|deploy|(?:de|en)cryption|hmac|licen[cs]e|master|private|service|session|shared"
    rb"|signing|ssh|storage|webhook)[_ .-]?key)"
)
_ENTITY = rb"&(?:amp;){0,3}(?:"
_QUOTE = (
    rb"(?:\\{0,8}(?:[\"'`]|" + _ENTITY + rb"quot|apos|#0?3[49]|#x2[27]);)"
    rb"|%(?:25){0,3}(?:5[Cc](?:%(?:25){0,3}5[Cc]){0,3}%(?:25){0,3})?2[27]|\\{1,4}u002[27])"
)
_SIGN = (
    rb"(?:=>|:=|[:=>]|\xef\xbc(?:\x9a|\x9d)|%(?:25){0,3}3[AaDd]|\\{1,4}u003[AaDd]|=?"
    + _ENTITY
    + rb"gt|#58|#61|#x3[AaDd]);)"
)
_SAID = re.compile(
    rb"((?:--?[\w-]{0,16}(?:NAME)[\w\x80-\xff-]{0,8}\s{1,3}|(?:NAME)[\w\x80-\xff-]{0,16}(?:[\\\]]|QUOTE){0,3}\s{0,3}SIGN\s{0,3}))"
    rb"(?:(QUOTE)(?:(?!QUOTE).)+(?=QUOTE|\Z)|[^\s\"'`,;&)}\]<]+)".replace(b"NAME", _NAME)
    .replace(b"QUOTE", _QUOTE)
    .replace(b"SIGN", _SIGN)
)
_ESCAPED = re.compile(r"\\{1,4}u((?!00[0-7]|[dD][89a-fA-F])[0-9a-fA-F]{4})")
_PERCENT = re.compile(rb"(?:%(?:25){0,3}[89A-Fa-f][0-9A-Fa-f])+")
_WORD = re.compile(r"\w")
_CUT_BEFORE = re.compile(r"^\w+")
_CUT_AFTER = re.compile(r"\w+$")


def around(
    data: Data, span: tuple[int, int], hidden: Sequence[tuple[int, int]], line_start: int, near: int = NEAR
) -> tuple[str, str]:
    """The text before and after the secret at `span`, from its line, up to `near` characters of either.

    `hidden` are spans of `data`, disjoint and by position (`Found.hidden` of the engine): each, with what is glued
    to it, becomes `…`; so does a long run of letters and digits, what stands behind the name of a password, and a
    word of which only a part would show.
    """
    start, end = span
    low = max(line_start, start - LINE)
    newline = bytes(data[start : end + LINE]).find(b"\n")
    high = start + newline if newline >= 0 else min(len(data), end + LINE)
    first = bisect_right(hidden, low, key=lambda span: span[1])
    spans = hidden[first : bisect_left(hidden, high, key=lambda span: span[0])]
    before = _unsaid(_BEFORE.sub("…", _shown(data, low, start, spans)))
    after = _unsaid(_AFTER.sub("…", _shown(data, end, high, spans)))
    if low > line_start:
        before = _CUT_BEFORE.sub("…", before)
    if newline < 0 and high < len(data):
        after = _CUT_AFTER.sub("…", after)
    # Cut last: a name beyond the edge tells what its value is.
    if len(before) > near:
        before, cut = before[-near:], before[-near - 1]
        before = _CUT_BEFORE.sub("…", before) if _WORD.match(cut) else before
    if len(after) > near:
        after, cut = after[:near], after[near]
        after = _CUT_AFTER.sub("…", after) if _WORD.match(cut) else after
    return before, after


def _unsaid(text: str) -> str:
    """Without what no rule knows and may be a secret all the same, and without what colours it on a terminal."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)  # names in other languages
    plain = SEQUENCE.sub(b"", _PERCENT.sub(_letters, text.encode("utf-8", "replace")))
    return _RANDOM.sub("…", _SAID.sub(lambda found: found[1] + (found[2] or b"") + "…".encode(), plain).decode())


def _letters(found: re.Match[bytes]) -> bytes:
    data = bytes.fromhex(re.sub(rb"%(?:25)*", b"", found[0]).decode())
    try:
        data.decode()
    except UnicodeDecodeError:
        return found[0]
    return data


def narrowed(
    data: Data, span: tuple[int, int], hidden: Sequence[tuple[int, int]], near: int = LINE // 4
) -> tuple[bytes, tuple[int, int], list[tuple[int, int]]]:
    """Text in UTF-16 around `span` as UTF-8, more than `near` bytes of either side, with the places of all in it."""
    start, end = span
    low, high = start - min(4 * near, start & ~1), end + min(4 * near, (len(data) - end) & ~1)  # no half a character
    first = bisect_right(hidden, low, key=lambda span: span[1])
    inside = hidden[first : bisect_left(hidden, high, key=lambda span: span[0])]
    # Whole characters of what was read in the other order.
    whole = [(max(low, b - (b - start) % 2), min(high, e + (e - start) % 2)) for b, e in inside]

    secret = bytes(data[start:end])
    order = "utf-16-be" if secret[::2].count(0) > secret[1::2].count(0) else "utf-16-le"
    text, places = b"", {low: 0}
    for left, right in pairwise(sorted({low, start, end, high, *(place for one in whole for place in one)})):
        text += bytes(data[left:right]).decode(order, "replace").encode()
        places[right] = len(text)
    return text, (places[start], places[end]), [(places[b], places[e]) for b, e in whole]


def _shown(data: Data, low: int, high: int, spans: Iterable[tuple[int, int]]) -> str:
    """data[low:high] with every span, and what is glued to it, as `…`."""
    out = ""
    at = low
    for start, end in sorted(spans):
        if end <= at or start >= high:
            continue
        if start > at:
            out += _glue(_text(data[at:start]), out)
            out = _BEFORE.sub("", out)
        out = out.removesuffix("…") + "…"
        at = min(end, high)
    return out + _glue(_text(data[at:high]), out) if at < high else out


def _text(data: Data) -> str:
    return bytes(data).decode("utf-8", "replace")


def _glue(text: str, out: str) -> str:
    return _AFTER.sub("", text) if out.endswith("…") else text
