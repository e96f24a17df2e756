"""Decoders: encoded text that Hyperscan pointed at, decoded once and scanned again.

Nothing is decoded on suspicion. The triggers are what the rules' own literals look like when encoded (base64 in its
three alignments, hex), the head of gzip in base64, and escapes near a word that names a credential. So plain logs cost
nothing, and a region is decoded only where a secret may be.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from detectors.rule import Rule
from detectors.triggers import TRIGGERS

__all__ = ["VALUE", "Codec", "Region", "codecs", "encoded_value"]

Buffer = bytes | bytearray | memoryview
REACH_BACK, REACH_AHEAD = 4096, 16384  # bytes of encoded text taken around a hit
MAX_DECODED = 1 << 20  # bytes of one region: a gzip bomb stops here
MAX_UNPACKED = 16 << 20  # bytes of all gzip regions of a block: so do a thousand bombs

_B64_RUN = re.compile(rb"[A-Za-z0-9+/_-]*(?:(?:\\n|\r?\n(?=[A-Za-z0-9+/]{60}))[A-Za-z0-9+/_-]*)*")
_B64_RUN_BACK = re.compile(rb"[A-Za-z0-9+/_-]*")
_HEX_RUN = re.compile(rb"[0-9A-Fa-f]*")
_HEX_ALONE = re.compile(rb"[0-9a-f]{1,6}")
_URL_PART = re.compile(rb"[^\s&\"<>]*")  # a bare & ends a parameter, so what follows is not part of its value
_NOT_NEWLINE = re.compile(rb"[^\n]*")


@dataclass(frozen=True, slots=True)
class Region:
    """Decoded `text` of data[start:end]; `scale` = encoded bytes per decoded byte, to place a finding."""

    start: int
    end: int
    text: bytes
    scale: float

    def locate(self, offset: int) -> int:
        """Offset in the encoded data of a decoded offset (exact for base64 and hex, near for escapes)."""
        return min(self.end, self.start + int(offset * self.scale))


class Codec(NamedTuple):
    """One trigger of a decoder. `length` and `phase` place the start of the encoded group for base64. `open`: it counts
    only where the value after it holds an escape (see `encoded_value`)."""

    name: str
    trigger: bytes
    length: int = 0
    phase: int = 0
    open: bool = False

    def regions(self, data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
        """Disjoint decoded regions around the hits of this codec's kind."""
        return _REGIONS[self.name](data, hits)


def _run_back(data: Buffer, at: int, pattern: re.Pattern[bytes]) -> int:
    """Start of the run of `pattern` that ends at `at`, at most REACH_BACK before it."""
    piece = bytes(data[max(0, at - REACH_BACK) : at])[::-1]
    m = pattern.match(piece)
    return at - (m.end() if m else 0)


def _run_ahead(data: Buffer, at: int, pattern: re.Pattern[bytes]) -> int:
    m = pattern.match(data, at, min(len(data), at + REACH_AHEAD))
    return m.end() if m else at


def _dealt_with(end: int, high: int) -> int:
    """Up to where the region of a hit at `end`, which goes to `high`, does for later hits as well.

    Where it was cut not for the last ones, as their values may go on behind the cut.
    """
    return high if high < end + REACH_AHEAD else high - REACH_BACK


def _base64(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
    done: dict[int, int] = {}  # phase of the run in the data → end of what is decoded
    for codec, end in sorted(hits, key=lambda h: h[1]):
        group = end - codec.length - codec.phase  # a group of four starts here
        if group < 0 or done.get(group % 4, -1) >= end:
            continue
        low = _run_back(data, group, _B64_RUN_BACK)
        low = group - (group - low) // 4 * 4
        high = _run_ahead(data, end, _B64_RUN)
        done[group % 4] = _dealt_with(end, high)
        raw = bytes(data[low:high]).replace(b"\\n", b"").replace(b"\r", b"").replace(b"\n", b"")
        raw = raw.translate(_URLSAFE)
        raw = raw[: len(raw) - 1] if len(raw) % 4 == 1 else raw
        try:
            text = base64.b64decode(raw + b"=" * (-len(raw) % 4))
        except ValueError:
            continue
        yield Region(low, high, text, (high - low) / max(1, len(text)))


_URLSAFE = bytes.maketrans(b"-_", b"+/")


def _gzip(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
    done = -1
    left = MAX_UNPACKED
    for codec, end in sorted(hits, key=lambda h: h[1]):
        low = end - codec.length
        if low < done:
            continue
        m = _B64_RUN.match(data, low, min(len(data), low + MAX_DECODED))
        done = high = m.end() if m else end
        raw = bytes(data[low:high]).replace(b"\\n", b"").replace(b"\r", b"").replace(b"\n", b"").translate(_URLSAFE)
        packed = base64.b64decode(raw[: len(raw) // 4 * 4])  # what a cut group holds, the trailer, is not needed
        try:
            text = zlib.decompressobj(31).decompress(packed, min(MAX_DECODED, left))
        except zlib.error:
            continue
        yield Region(low, high, text, (high - low) / max(1, len(text)))
        left -= len(text)
        if left <= 0:
            return


def _hex(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
    done = [-1, -1]
    for codec, end in sorted(hits, key=lambda h: h[1]):
        start = end - codec.length
        if done[start % 2] >= end:
            continue
        low = _run_back(data, start, _HEX_RUN)
        low += (start - low) % 2
        high = _run_ahead(data, end, _HEX_RUN)
        done[start % 2] = _dealt_with(end, high)
        high -= (high - low) % 2
        yield Region(low, high, bytes.fromhex(bytes(data[low:high]).decode("ascii")), 2.0)


def _escapes(decode: Callable[[bytes], bytes], run: re.Pattern[bytes]) -> Callable[..., Iterable[Region]]:
    def regions(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
        done = -1
        for _, end in sorted(hits, key=lambda h: h[1]):
            if end <= done:
                continue
            low = max(done, _run_back(data, end, run))
            high = _run_ahead(data, end, run)
            done = _dealt_with(end, high)
            raw = bytes(data[low:high])
            text = decode(raw)
            if text != raw:
                yield Region(low, high, text, (high - low) / max(1, len(text)))

    return regions


# Stands for no trigger: what is assigned, where `encoded_value` says so.
VALUE = Codec("percent", b"", open=True)

# Words near which an escape is worth undoing.
_NAMES = rb"(?i:secret|token|passw|api.?key|access.?key|auth|credential|bearer|private)"

_JSON_ESCAPE = re.compile(rb"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([\"'/\\bfnrt]))")
_JSON_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _unescape(raw: bytes) -> bytes:
    """JSON, JavaScript and shell escapes, with any number of backslashes: JSON inside JSON needs one pass."""

    def replace(m: re.Match[bytes]) -> bytes:
        digits = m[1] or m[2]
        if digits:
            code = int(digits, 16)
            return b"?" if 0xD800 <= code <= 0xDFFF else chr(code).encode()
        return _JSON_SIMPLE.get(m[3], m[3])

    return _JSON_ESCAPE.sub(replace, raw)


def _unescape_html(raw: bytes) -> bytes:
    from html import unescape  # slow to import, and rarely needed

    return unescape(raw.decode("latin-1")).encode("latin-1", "replace")


_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_BREAK = re.compile(rb"(?:\\\\*\\n|\n)")
_CHUNK = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")


def _lines(data: Buffer, hits: Sequence[tuple[Codec, int]]) -> Iterable[Region]:
    """A PEM whose every line stands in a log record of its own (syslog, CRI, Docker): put together again."""
    done = clear = -1
    for _, end in sorted(hits, key=lambda h: h[1]):
        if end <= done:
            continue
        reach = min(len(data), end + REACH_AHEAD)
        last = _PEM_END.search(data, max(end, clear), reach)
        if last is None:
            clear = reach - 80  # no END lies before: a run of BEGINs is searched once
            continue
        done = last.end()
        between = bytes(data[end : last.start()])
        if b"\n" not in between:
            continue  # one record that holds all of it: the rules match it as it is
        begin = bytes(data[max(0, end - 80) : end]).rfind(b"-----BEGIN")
        if begin < 0:
            continue
        low = begin + max(0, end - 80)
        body = []
        framed = False
        for line in _BREAK.split(between):
            chunks = _CHUNK.findall(line)
            if chunks:
                # The record's own time and stream stand left of the text, or right of it in Docker's JSON.
                chunk = max(chunks, key=len)
                framed = framed or len(line.strip()) > len(chunk) + 4
                body.append(chunk)
        if framed:
            text = bytes(data[low:end]) + b"\n" + b"\n".join(body) + b"\n" + last[0]
            yield Region(low, done, text, (done - low) / len(text))


_REGIONS: dict[str, Callable[[Buffer, Sequence[tuple[Codec, int]]], Iterable[Region]]] = {
    "base64": _base64,
    "gzip": _gzip,
    "hex": _hex,
    "percent": _escapes(unquote_to_bytes, _URL_PART),
    "escape": _escapes(_unescape, _NOT_NEWLINE),
    "lines": _lines,
    "html": _escapes(_unescape_html, _NOT_NEWLINE),
}


def _base64_triggers(literal: bytes) -> Iterable[tuple[bytes, int]]:
    """What `literal` looks like inside base64, for the three alignments: (text, characters before it in its group)."""
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + literal).decode()
        first = (lead * 8 + 5) // 6  # the first character that holds no bit of what stands before
        whole = (lead + len(literal)) * 8 // 6  # characters wholly made of known bits
        yield encoded[first:whole].encode(), first


_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|([^\w]))")
_BASE64_CLASS = re.compile(r"\[(?!\^)[^\]]*(?:\+/|/\+)")
_HOST = re.compile(r"[\w.-]*\.[a-z]{2,5}")
_PLAIN_WORD = re.compile(r"[a-z]+|(?i:.*(?:secret|auth|passw|token|sig=).*)")  # of these @assigned takes care


def _percent_triggers(rule: Rule) -> Iterable[Codec]:
    """What the rule's literals look like when percent-encoded, where that hides them (`hooks.slack.com%2Fservices`) or
    what comes after them (a path, or base64 with its `+`, `/` and `=`)."""
    if rule.keywords or rule.trigger in TRIGGERS or "percent" not in (rule.decode or ("percent",)):
        return
    case = b"(?i)" if rule.shape.caseless else b""
    plain = _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], rule.pattern)
    for word in rule.shape.literals:
        if re.search(r"[/+$]", word.replace("://", "")) and len(re.findall(r"\w", word)) > 1:
            text = re.escape(quote(word, safe="").encode())
            text = re.sub(rb"%(\d)([A-F])", lambda m: b"%%%b[%b%b]" % (m[1], m[2], m[2].lower()), text)
            yield Codec("percent", case + text)
        elif "/" in plain and _HOST.fullmatch(word):
            yield Codec("percent", case + re.escape(word).encode() + b"%2[Ff]")
        elif len(word) >= 4 and _BASE64_CLASS.search(plain) and not _PLAIN_WORD.fullmatch(word):
            yield Codec("percent", case + re.escape(word.encode("latin-1")), open=True)


_ENCODED_VALUE = re.compile(rb"[^\s&\"<>]{0,256}?%[0-9A-Fa-f]{2}")


def encoded_value(data: Buffer, end: int) -> bool:
    """Whether a percent sign with two digits stands in the value whose first characters end at `end`."""
    return _ENCODED_VALUE.match(data, end) is not None


def codecs(rules: Sequence[Rule]) -> list[Codec]:
    """The decode triggers for these rules."""
    out: list[Codec] = []
    literals: dict[bytes, bool] = {}  # the start of it → whether losing it is critical
    for rule in rules:
        if rule.keywords or rule.shape.caseless or rule.severity not in ("critical", "high"):
            continue
        if rule.decode is not None and not {"base64", "hex"} & {*rule.decode}:
            continue
        for word in rule.shape.literals:
            if len(word) >= 4:
                raw = word.encode("latin-1")[:6]  # longer tells no more, and many share their start
                literals[raw] = literals.get(raw, False) or rule.severity == "critical"
    seen: set[tuple[bytes, int]] = set()
    for raw, critical in sorted(literals.items()):
        for text, phase in _base64_triggers(raw):
            # `d0b1` stands in digests by chance; the other alignments of that literal are still looked for.
            if len(text) >= 4 and (text, phase) not in seen and not _HEX_ALONE.fullmatch(text):
                seen.add((text, phase))
                trigger = re.sub(rb"[+/]", lambda m: b"[+-]" if m[0] == b"+" else b"[/_]", text)
                out.append(Codec("base64", trigger, len(text), phase))
        if critical:
            digits = raw.hex().encode()
            out.append(Codec("hex", b"(?i)" + digits, len(digits)))
    out.append(Codec("gzip", rb"H4sI[A-Za-z0-9+/_-]{24}", 28))
    # Percent-encoding: what an assignment, a quoted value, an option or a URL with credentials turns into, but not what
    # every redirect has in it (`https%3A%2F%2Fhost%2Fpath`). Of an encoded value alone `encoded_value` takes care.
    out += [
        Codec("percent", trigger)
        for trigger in (
            rb"%3[Dd](?:%2[027]|%3[CEce]|\w)",
            rb"%3[Aa](?:%2[0127]|%5[Cc]|[A-Za-z0-9])",
            rb"%(?:2[278]|3[Ee](?:%7[Bb])?)[A-Za-z0-9]",
            rb"(?:%20|\+)-{1,2}[A-Za-z]",
            # A password, but not the `//` of a URL, between a colon and an at sign.
            rb"(?:%3[Aa]|:)(?:%2[Ff])?(?:[^\s&%/@]|%(?:2[0-9A-Ea-e]|[013-9A-Fa-f]))[^\s&/@]{0,96}%40[A-Za-z0-9]",
            rb"(?i:password|passwd|secret|token|auth%20plain|masterauth|requirepass|bindpw"
            rb"|%20(?:key|login|set|add))%20",
            rb"----(?:-|%20|\+)BEGIN(?:%20|\+)",
            rb"(?i:passw(?:or)?d|pwd|secret)=[^\s&%]{0,60}%(?:2[134ABFabf]|40)",
        )
    ]
    out += dict.fromkeys(codec for rule in rules for codec in _percent_triggers(rule))
    out.append(Codec("lines", rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"))
    # Of unicode escapes those of `=`, `:`, `"`, `'`, `+`, `/`; not of `&<>`, which JSON encoders escape everywhere.
    out.append(Codec("escape", rb"\\u00(?:3[AaDd]|2[27BbFf])"))
    out.append(Codec("escape", rb"\\x(?:3[AaDd]|2[27])[A-Za-z0-9]"))
    out.append(Codec("escape", rb":(?:\\+/){2}[^\s/]{1,96}@"))
    out.append(Codec("html", _NAMES + rb"[^\n&]{0,24}&(?:quot|apos|#3[49]|#x2[27]|#61|#x3[Dd]);"))
    return out
