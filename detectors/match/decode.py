"""Decoders: encoded text that Hyperscan pointed at, decoded once and scanned again."""

from __future__ import annotations

import base64
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from urllib.parse import unquote_to_bytes

from detectors.compile.codecs import Codec, ends_here
from detectors.match.chance import by_chance
from detectors.match.coloured import coloured
from detectors.match.cost import DecodeBudget
from detectors.match.quick import span
from detectors.match.records import RecordText, around, text_of, unescaped
from detectors.match.region import REACH_AHEAD, REACH_BACK, Buffer, Marks, Region, run_ahead, run_back
from detectors.match.tables import assigned

__all__ = ["Region", "encoded_values", "regions"]

MAX_DECODED = 1 << 20  # bytes of one region: a gzip bomb stops here

_B64_RUN = re.compile(rb"[A-Za-z0-9+/_-]*(?:\\n[A-Za-z0-9+/_-]*)*")
# The next of the lines that base64 is written in (MIME, PEM, YAML, strings of JSON), with nothing else in it; only the
# last is shorter than those before.
_B64_NEXT = re.compile(rb"(?:(?:\\r)?\\n|\r?\n)[ \t]{0,24}([A-Za-z0-9+/_-]+)(?:={0,2}[ \t]*(?=[\r\n\"'\\]|\Z)|(?=\\r))")
_B64_WIDTH = 40  # characters that such a line has at least
_B64_RUN_BACK = re.compile(rb"[A-Za-z0-9+/_-]*")
_HEX_RUN = re.compile(rb"[0-9A-Fa-f]*")
_URL_PART = re.compile(rb"[^\s&\"<>]*")  # a bare & ends a parameter, so what follows is not part of its value
_NOT_NEWLINE = re.compile(rb"[^\n]*")
# A parameter that holds a text: its value is one by itself, whose first line begins there.
_HOLDS = (
    rb"q|s|text|msg|message|body|data|content|comment|description|title|subject|payload|query|input|line|log|cmd|note"
)
_HOLDER = re.compile(rb"(?:[^\s=%%]*[?;/#])?(?i:%b)=" % _HOLDS)


def _b64_ahead(data: Buffer, low: int, at: int, most: int = REACH_AHEAD) -> int:
    """End of the base64 that begins at `low`, in whatever lines it is written, at most so far behind `at`."""
    reach = min(len(data), at + most)
    run = _B64_RUN.match(data, at, reach)
    end = run.end() if run else at
    width, first = end - low, True
    while width >= _B64_WIDTH and (line := _B64_NEXT.match(data, end, reach)):
        size = len(line[1])
        if size > width and not first:  # before the first there may be something else
            break
        end = line.end(1)
        if size < width:
            break
        width, first = size, False
    return end


def _dealt_with(end: int, high: int) -> int:
    """Up to where the region of a hit at `end`, which goes to `high`, does for later hits as well.

    Where it was cut not for the last ones, as their values may go on behind the cut.
    """
    return high if high < end + REACH_AHEAD else high - REACH_BACK


def _compact(data: Buffer, low: int, high: int) -> tuple[bytes, Callable[[], Marks]]:
    """data[low:high] without line breaks, as base64 is decoded, and how to find back."""
    raw = bytes(data[low:high])
    text = _B64_BREAK.sub(b"", raw) if b"\n" in raw or b"\\" in raw else raw

    def marks() -> Marks:
        out, at = [(0, low)], 0
        for m in _B64_BREAK.finditer(raw):
            out += [(out[-1][0] + m.start() - at, low + m.start()), (out[-1][0] + m.start() - at, low + m.end())]
            at = m.end()
        return [*out, (len(text), high)]

    return text.translate(_URLSAFE), marks


_B64_BREAK = re.compile(rb"(?:(?:\\r)?\\n|\r?\n)[ \t]*")
_URLSAFE = bytes.maketrans(b"-_", b"+/")


def _base64(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    done: dict[int, int] = {}  # phase of the run in the data → end of what is decoded
    for codec, end in sorted(hits, key=lambda h: h[1]):
        group = end - codec.length - codec.phase  # a group of four starts here
        if group < 0 or done.get(group % 4, -1) >= end or by_chance(data, group, end):
            continue
        low = run_back(data, group, _B64_RUN_BACK)
        low = group - (group - low) // 4 * 4
        high = _b64_ahead(data, low, end)
        done[group % 4] = _dealt_with(end, high)
        if not budget.take((high - low) * 3 // 4, low, high):
            continue
        raw, marks = _compact(data, low, high)
        raw = raw[: len(raw) - 1] if len(raw) % 4 == 1 else raw
        try:
            text = base64.b64decode(raw + b"=" * (-len(raw) % 4))
        except ValueError:
            continue
        yield Region(low, high, text, (4, 3), marks)


def _gzip(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    done = -1
    known: dict[bytes, bytes] = {}  # packed → text, so that a bomb repeated is unpacked once
    for codec, end in sorted(hits, key=lambda h: h[1]):
        low = end - codec.length
        if low < done:
            continue
        done = high = _b64_ahead(data, low, low, MAX_DECODED)
        raw, _ = _compact(data, low, high)
        text = known.get(raw)
        if text is None:
            packed = base64.b64decode(raw[: len(raw) // 4 * 4])  # what a cut group holds, the trailer, is not needed
            if not budget.take(len(packed), low, high):
                continue
            stream = zlib.decompressobj(31)
            try:
                text = stream.decompress(packed, max(1, min(MAX_DECODED, budget.left)))
            except zlib.error:
                continue
            if budget.take(len(text), low, high) and stream.unconsumed_tail:
                budget.skipped.append((low, high))  # there is more in it
            known[raw] = text
        yield Region(low, high, text)


def _hex(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    done = [-1, -1]
    for codec, end in sorted(hits, key=lambda h: h[1]):
        start = end - codec.length
        if done[start % 2] >= end:
            continue
        low = run_back(data, start, _HEX_RUN)
        low += (start - low) % 2
        high = run_ahead(data, end, _HEX_RUN)
        done[start % 2] = _dealt_with(end, high)
        high -= (high - low) % 2
        if budget.take((high - low) // 2, low, high):
            text = bytes.fromhex(bytes(data[low:high]).decode("ascii"))
            yield Region(low, high, text, (2, 1), partial(_straight, low, high))


def _straight(low: int, high: int) -> Marks:
    return [(0, low), (high - low, high)]


def _escapes(
    run: re.Pattern[bytes],
    escape: re.Pattern[bytes],
    decode: Callable[[re.Match[bytes]], bytes],
    *,
    readings: Callable[[bytes], Iterable[bytes]] | None = None,
    stays: Callable[[re.Match[bytes]], int] = lambda m: 0,
    holder: re.Pattern[bytes] | None = None,
    back: re.Pattern[bytes] | None = None,
) -> Callable[..., Iterable[Region]]:
    """Regions in which each match of `escape` becomes what `decode` makes of it; its last `stays` bytes stay.

    `readings` does the same to a whole text, in each way that it may be meant. What `holder` matches at its beginning
    is no part of a region.
    `back`: `run` as it is read backwards, where that makes a difference.
    """

    def regions(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
        done = -1
        for _, end in sorted(hits, key=lambda h: h[1]):
            if end <= done:
                continue
            low = max(done, run_back(data, end, back or run))
            high = run_ahead(data, end, run)
            done = _dealt_with(end, high)
            if not budget.take(high - low, low, high):
                continue
            raw = bytes(data[low:high])
            if holder is not None and (held := holder.match(raw)):
                low, raw = low + held.end(), raw[held.end() :]
            for text in (escape.sub(decode, raw),) if readings is None else readings(raw):
                if text != raw:
                    yield Region(low, high, text, marks=partial(marks, raw, low))

    def marks(raw: bytes, low: int) -> Marks:
        out: Marks = [(0, low)]
        at = size = 0  # of `raw`, of what it decodes to
        for m in escape.finditer(raw):
            size += m.start() - at
            out.append((size, low + m.start()))
            at = m.end() - stays(m)
            size += len(decode(m)) - stays(m)
            out.append((size, low + at))
        return [*out, (size + len(raw) - at, low + len(raw))]

    return regions


_JSON_ESCAPE = re.compile(rb"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([\"'/\\bfnrt]))")


def _unescape(m: re.Match[bytes]) -> bytes:
    """JSON, JavaScript and shell escapes, with any number of backslashes: JSON inside JSON needs one pass."""
    return unescaped(m[1] or m[2], m[3])


_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")


def _unquote(m: re.Match[bytes]) -> bytes:
    return _BYTES[int(m[0][1:], 16)]


def _unquoted(raw: bytes) -> Iterable[bytes]:
    """As a URL has it, and as a form, where a plus sign is a blank: both, unless an encoded one of them tells."""
    form = b"+" in raw and b"%20" not in raw
    if not (form and (b"%2B" in raw or b"%2b" in raw)):
        yield unquote_to_bytes(raw)
    if form:
        yield unquote_to_bytes(raw.replace(b"+", b" "))


_BYTES = [bytes([code]) for code in range(256)]
_ENTITY = re.compile(rb"&(?:#[0-9]{1,9};?|#[xX][0-9a-fA-F]{1,8};?|[A-Za-z][A-Za-z0-9]{1,31};?)")


@lru_cache(maxsize=1024)
def _entity(text: bytes) -> tuple[bytes, int]:
    """What an entity stands for, and how many bytes behind it are text (`&quotabc`)."""
    from html import unescape  # slow to import, and rarely needed

    plain = unescape(text.decode("latin-1"))
    kept = 0
    while plain != text.decode("latin-1") and kept < len(plain) - 1 and plain[-1 - kept] == chr(text[-1 - kept]):
        kept += 1
    return plain.encode("latin-1", "replace"), kept


_QUOTED = re.compile(rb"=(?:\r?\n|[0-9A-Fa-f]{2})")
_QUOTED_RUN = re.compile(rb"(?:[^=\n]|=(?:\r?\n)?)*")
_QUOTED_BACK = re.compile(rb"[^\n]*(?:\n\r?=[^\n]*)*")
_QUOTED_WIDTHS = range(72, 78)  # of a line that goes on in the next one, with the sign for it
_quoted_text = _escapes(_QUOTED_RUN, _QUOTED, lambda m: b"" if m[0][-1:] == b"\n" else _unquote(m), back=_QUOTED_BACK)


def _quoted(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    """Lines of quoted-printable with those that they go on in."""
    return _quoted_text(data, [hit for hit in hits if _goes_on(data, hit[1])], budget)


def _goes_on(data: Buffer, end: int) -> bool:
    """Whether a hit that ends behind a line break stands behind a full line: others may end in such a sign as well."""
    line = bytes(data[max(0, end - 2 - max(_QUOTED_WIDTHS) - 1) : end - 1])
    return line[-1:] != b"\n" or len(line[:-1].rpartition(b"\n")[2].rstrip(b"\r")) in _QUOTED_WIDTHS


_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_BREAK = re.compile(rb"(?:\\\\*\\n|\n)")
_CHUNK = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")
_BEFORE, _AFTER = 5, 16  # records around one that ends in a name
_SEEN_BACK, _SEEN_AHEAD = 4096, 8192  # bytes of them
_TO_THE_END = 16  # bytes behind what a record says up to where a hit may end in it
_OF_A_KEY = 600  # records that a key may take


def _lines(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    """What is printed line by line and stands in a log record each (syslog, CRI, Docker), put together again: what
    follows a name that ends its line, and a PEM."""
    last = {end: bytes(data[end - 2 : end]) for _, end in hits}
    yield from _keys(data, (end for end in last if last[end] == b"--"), budget)
    done = -1
    known: dict[tuple[int, int], list[RecordText]] = {}
    for end in sorted(end for end in last if last[end] != b"--"):
        # In the record that asks for a value: where it is not the one that the hit ends in, its line break.
        at = end - 1 if ends_here(last[end]) or last[end][-1:] == b"\n" else end - 2
        if at <= done:
            continue
        said = around(data, at, known, before=_BEFORE, after=_AFTER, back=_SEEN_BACK, ahead=_SEEN_AHEAD)
        here = next((number for number, one in enumerate(said) if one.start <= at <= one.end + _TO_THE_END), None)
        if here is None:
            continue
        # Of a record with half as many behind it the region shows all there is to see.
        done = max(at, said[max(here, len(said) - 1 - _AFTER // 2)].end)
        low, high = said[0].start, said[-1].end
        if budget.take(high - low, low, high):
            text, places = text_of(data, said)
            yield Region(low, high, text, marks=places.copy)


def _keys(data: Buffer, ends: Iterable[int], budget: DecodeBudget) -> Iterable[Region]:
    done = clear = -1
    for end in sorted(ends):
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
        if not budget.take(done - low, low, done):
            continue
        stop = bytes(data[done : done + 512]).find(b"\n")
        said = around(data, end, {}, before=0, after=_OF_A_KEY, back=0, ahead=done - end + (stop + 1 or 512))
        if said and said[-1].start <= last.start() < said[-1].end:
            plain, places = text_of(data, said)
            plain = plain[: plain.rindex(b"-----END") + done - last.start()]
            yield Region(said[0].start, done, plain, marks=places.copy)
            continue
        text = bytes(data[low:end])
        marks: Marks = [(0, low), (len(text), end)]
        framed, at = False, 0
        for line_break in (*_BREAK.finditer(between), None):
            stop = line_break.start() if line_break else len(between)
            chunk = max(_CHUNK.finditer(between, at, stop), key=lambda m: len(m[0]), default=None)
            if chunk:
                # The record's own time and stream stand left of the text, or right of it in Docker's JSON.
                framed = framed or len(between[at:stop].strip()) > len(chunk[0]) + 4
                marks += [(len(text) + 1, end + chunk.start()), (len(text) + 1 + len(chunk[0]), end + chunk.end())]
                text += b"\n" + chunk[0]
            at = line_break.end() if line_break else stop
        if framed:
            marks += [(len(text) + 1, last.start()), (len(text) + 1 + len(last[0]), done)]
            yield Region(low, done, text + b"\n" + last[0], marks=marks.copy)


_PAIRS = span(rb"(?:[^\x00]\x00){7,}[^\x00](?:\x00|\z)")  # the last one's zero may come yet
_BESIDE = 64  # characters on either side of a run of Latin-1 that are decoded with it, whatever they are
_APART = 256  # bytes of text that each of many short runs is counted as besides
# Characters of as many bytes in UTF-8, by the number of these.
_ALIKE = re.compile("([\0-\x7f]+)|([\x80-\u07ff]+)|([\u0800-\uffff]+)|([\U00010000-\U0010ffff]+)")
_COMMON = b" \nabcdefghijklmnopqrstuvwxyz"


def _utf16(
    data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget, within: tuple[int, int] | None = None
) -> Iterable[Region]:
    """Every run of characters of one byte with a zero beside each, in either order and at any offset, with what stands
    around it: hits say only that there are some."""
    first, last = (0, len(data)) if within is None else (max(0, within[0] - REACH_AHEAD), within[1] + REACH_AHEAD)
    raw = memoryview(data)[first:last]
    for low, high in sorted(_wide(raw), key=lambda run: run[0] % 2):
        for start, text in _readings(raw, low, high):
            plain = text.replace("\0", "\n").encode("utf-8", "surrogatepass")
            place = first + start, first + high
            if budget.take(len(plain) + _APART, *place):
                yield Region(*place, plain, find=partial(_characters, text, *place))


def _wide(raw: memoryview) -> Iterable[tuple[int, int]]:
    """Where runs are with what is decoded beside them, by their ends; those that lie close together as one."""
    open_: dict[int, tuple[int, int]] = {}  # by the offset of the characters, even or odd
    begin, end = _PAIRS(raw, 0)
    while begin >= 0:
        phase, low, high = begin % 2, begin - 2 * _BESIDE, end + 2 * _BESIDE
        before = open_.get(phase)
        if before is not None and low > before[1]:
            yield before
            before = None
        open_[phase] = max(phase, low) if before is None else before[0], min(high, len(raw))
        begin, end = _PAIRS(raw, end)
    yield from open_.values()


def _readings(raw: memoryview, low: int, high: int) -> list[tuple[int, str]]:
    """The text of raw[low:high] with the low bytes first, or with the high ones first from the byte before; and from
    where. Both where nothing tells.

    Within a run they are the same. Where other characters border on it, the wrong order makes other ones of both."""
    little = low, (bytes(raw[low:high]) + b"\0" * ((high - low) % 2)).decode("utf-16-le", "surrogatepass")
    if _latin(little[1]):
        return [little]
    before = low - 1 if low else 1
    big = before, bytes(raw[before : high - (high - before) % 2]).decode("utf-16-be", "surrogatepass")
    if big[1][:1] == "\ufeff":
        return [big]
    more = _common(little[1]) - _common(big[1])
    return [little] if more > 0 else [big] if more < 0 else [little, big]


def _latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _common(text: str) -> int:
    plain = text.encode("utf-8", "surrogatepass")
    return len(plain) - len(plain.translate(None, _COMMON))


def _characters(text: str, start: int, end: int) -> Callable[[int, int], tuple[int, int]]:
    """From a span of a text in UTF-8 to that of its characters in UTF-16, which begins at `start`."""
    plain, wide, sizes = [0], [start], []  # where runs of characters alike begin
    for run in _ALIKE.finditer(text):
        width = run.lastindex or 1
        other = 4 if width == 4 else 2
        count = run.end() - run.start()
        plain.append(plain[-1] + count * width)
        wide.append(wide[-1] + count * other)
        sizes.append((width, other))

    def place(low: int, high: int) -> tuple[int, int]:
        first = min(bisect_right(plain, low), len(sizes)) - 1
        last = max(first, bisect_left(plain, high) - 1)
        (width, other), (size, units) = sizes[first], sizes[min(last, len(sizes) - 1)]
        begin = wide[first] + (low - plain[first]) // width * other
        upto = wide[last] - (plain[last] - high) // size * units
        return begin, min(max(upto, begin + 1), end)

    return place


def _table(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    """The cells that begin right before the hits, as one text."""
    text, marks = assigned(data, hits)
    if text and budget.take(len(text), marks[0][1], marks[-1][1]):
        yield Region(marks[0][1], marks[-1][1], text, marks=marks.copy)


_REGIONS: dict[str, Callable[[Buffer, Sequence[tuple[Codec, int]], DecodeBudget], Iterable[Region]]] = {
    "base64": _base64,
    "gzip": _gzip,
    "hex": _hex,
    "quoted": _quoted,
    "percent": _escapes(_URL_PART, _PERCENT, _unquote, readings=_unquoted, holder=_HOLDER),
    "escape": _escapes(_NOT_NEWLINE, _JSON_ESCAPE, _unescape),
    "lines": _lines,
    "table": _table,
    "terminal": coloured,
    "utf16": _utf16,
    "html": _escapes(_NOT_NEWLINE, _ENTITY, lambda m: _entity(m[0])[0], stays=lambda m: _entity(m[0])[1]),
}


def regions(
    codec: Codec,
    data: Buffer,
    hits: Sequence[tuple[Codec, int]],
    budget: DecodeBudget | None = None,
    within: tuple[int, int] | None = None,
) -> Iterable[Region]:
    """Decoded regions around the hits of codecs of this one's kind. `within`: of a codec that is hit `once`, wherever
    there is something to decode, what to look at; None: all."""
    budget = budget or DecodeBudget(len(data))
    return _utf16(data, hits, budget, within) if codec.once else _REGIONS[codec.name](data, hits, budget)


_VALUE_ENDS = re.compile(rb"[\s&\"<>]")
_VALUE_SEEN = 256  # bytes of a value in which an escape is looked for


def encoded_values(data: Buffer, ends: Iterable[int]) -> list[int]:
    """Those of `ends` where the value whose first characters end there goes on to a percent sign with two digits."""
    out = []
    ordered = sorted(ends)
    # Looked for in a value, not to the end of a block of plain text; in long strides where values are many.
    stride = 0 if len(ordered) < 64 else 1 << 14
    escape = stop = clear = -1  # the next ones, and up to where there is none: each byte is looked at once
    for end in ordered:
        if escape < end:
            if end + _VALUE_SEEN < clear:
                continue
            begin = max(end, clear)
            upto = max(end + _VALUE_SEEN, begin + stride)
            m = _PERCENT.search(data, begin, upto + 3)
            if m is None:
                clear = upto + 1
                continue
            escape = m.start()
        if escape - end > _VALUE_SEEN:
            continue
        if stop < end:
            m = _VALUE_ENDS.search(data, end)
            stop = m.start() if m else len(data)
        if escape < stop:
            out.append(end)
    return out
