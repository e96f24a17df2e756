"""Exact values, found without their being known here: by an anchor, a short piece of each, and a keyed fingerprint.

    text ─Hyperscan, anchors as literals→ where one may stand ─its length, decoded→ candidate ─fingerprint→ decision

An anchor is looked for as it is and as it looks inside base64 (three alignments) and hex; what else a text may be
written in leaves letters and digits as they are, and an anchor that has others is looked for as it is written then,
too. All anchors of a value are made of the same few bytes of it, so together they tell no more than one. They live in
memory only: neither they nor the database is ever cached.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote_to_bytes

import hyperscan
import orjson

from detectors.fingerprint import b64decode, fingerprint, normalise
from detectors.match.cost import BlockCost
from detectors.match.outcome import CandidateDecision, Match, Placed, resolve
from detectors.match.region import Buffer
from detectors.rules.rule import Rule

__all__ = ["OWN", "Anchor", "Exact", "ExactMatch", "ExactWorker", "anchor", "settled"]

# What findings of values that no rule has found name. Where it overlaps with a rule's match of another value it wins.
OWN = Rule("own-secret", "secret of our own", pattern="", severity="high", priority=1 << 16)
SHORTEST, LONGEST = 4, 8  # bytes of an anchor
_ALTERNATIVES = 256  # places of a value that are weighed for its anchor
_FILLED = (0, 2, 3)  # characters of a base64 group that the bytes before the anchor's have a part in, by their number
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_DIGITS, _LOWER, _UPPER = b"0123456789", b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PLAIN = frozenset(_DIGITS + _LOWER + _UPPER)
_BEYOND_LOWER, _BEYOND_UPPER = frozenset(_LOWER[6:]), frozenset(_UPPER[6:])  # letters that are no hex digits
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_ESCAPE = re.compile(rb"%[0-9A-F]{2}")
_ENTITIES = [(b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b'"', b"&quot;"), (b"'", b"&#39;")]
_OFTEN = 256  # candidates after which the clock is looked at


class ValueShape(NamedTuple):
    """A way in which a value may be written: so many bytes before the anchor, so many in all."""

    how: str
    before: int
    size: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is held in memory of one value. `piece`: its bytes at `at`; `shapes`: how the value is written where some
    of its bytes are escaped."""

    fingerprint: str
    piece: bytes = field(repr=False)
    at: int
    size: int
    shapes: tuple[ValueShape, ...] = ()


class ExactMatch(NamedTuple):
    """A value that was found: its span in the text, the value, and what it was decoded from."""

    start: int
    end: int
    value: bytes
    fingerprint: str
    decode: tuple[str, ...]


def anchor(value: bytes, print_: str, width: int, key: bytes) -> Anchor:
    """Of a value, where it is least like other text; of places as good as each other the `key` chooses."""
    pieces = ((at, value[at : at + width]) for at in _places(value, width))
    at, piece = max(pieces, key=lambda place: (_oddity(place[1]), _lot(key, print_, place[0])))
    shapes = dict.fromkeys(
        ValueShape(how, len(write(value[:at])), len(whole))
        for how, write in _WRITTEN.items()
        if (whole := write(value)) != value
    )
    return Anchor(print_, piece, at, len(value), tuple(shapes))


def _places(value: bytes, width: int) -> Iterable[int]:
    """Not in the first quarter, as kinds of tokens begin alike, nor before a JWT's signature. Hex has no kinds, and of
    its few pairs of digits the highest, which is to be the last, comes the higher the more places there are."""
    last = len(value) - width
    kind = 0 if _HEX.fullmatch(value) else len(value) // 4
    first = min(last, max(kind, value.rfind(b".") + 1 if value.startswith(b"eyJ") else 0))
    step = max(1, (last - first) // _ALTERNATIVES)
    return range(first, last + 1, step)


def _oddity(piece: bytes) -> tuple[int, ...]:
    """Whether all writings leave it as it is, and how seldom text ends like it.

    Hyperscan knows of many literals only which pairs of characters stand at which place. So those of one kind are to
    end alike: with letters that are no hex digits, in a change of case that words do not have; else with what is
    highest, as numbers in logs mostly are not.
    """
    *_, third, second, last = piece
    cased = last in _BEYOND_LOWER, second in _BEYOND_UPPER, third in _BEYOND_LOWER
    return _plain(piece), *cased, last, second


def _plain(piece: bytes) -> bool:
    """Whether no way of writing changes it."""
    return all(c in _PLAIN for c in piece)


def _lot(key: bytes, print_: str, at: int) -> bytes:
    return hmac.digest(key, f"anchor {print_} {at}".encode(), hashlib.sha256)


def _escaped(value: bytes, *, slash: bool = False, ascii_: bool = True) -> bytes:
    text = json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=ascii_)[1:-1]
    text = text.replace("/", "\\/") if slash else text
    return text.encode("utf-8", "surrogateescape")


def _percent(value: bytes) -> bytes:
    return quote(value, safe="").encode()


def _replaced(text: bytes, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


# Ways of writing that are told apart by how they are read: `how` before the dot.
_WRITTEN: Mapping[str, Callable[[bytes], bytes]] = {
    "percent": _percent,
    "percent.uri": lambda value: quote(value, safe="!~*'()").encode(),
    "percent.path": lambda value: quote(value, safe="/:!~*'()$&+,;=@").encode(),
    "percent.lower": lambda value: _ESCAPE.sub(lambda found: found[0].lower(), _percent(value)),
    "form": lambda value: quote_plus(value).encode(),
    "percent2": lambda value: _percent(_percent(value)),
    "escape": _escaped,
    "escape.slash": lambda value: _escaped(value, slash=True),
    "escape.utf8": lambda value: _escaped(value, ascii_=False),
    "escape2": lambda value: _escaped(_escaped(value)),
    "lines": lambda value: value.replace(b"\r\n", b"\n").replace(b"\n", b"\\r\\n"),
    "html": lambda value: _replaced(value, _ENTITIES),
}


def _unescaped(text: bytes) -> bytes:
    return orjson.loads(b'"' + text + b'"').encode()  # type: ignore[no-any-return]


_READ: Mapping[str, Callable[[bytes], bytes]] = {
    "percent": unquote_to_bytes,
    "percent2": lambda text: unquote_to_bytes(unquote_to_bytes(text)),
    "form": lambda text: unquote_to_bytes(text.replace(b"+", b" ")),
    "escape": _unescaped,
    "escape2": lambda text: _unescaped(_unescaped(text)),
    "lines": lambda text: text.replace(b"\\r\\n", b"\n"),
    "html": lambda text: _replaced(text, [(entity, char) for char, entity in reversed(_ENTITIES)]),
}
_CHAIN = {"form": "percent", "percent2": "percent", "escape2": "escape", "lines": "escape"}  # as findings name it


class _Look(NamedTuple):
    """What a literal stands for: an anchor, written so. `phase`: bytes of its base64 group before the piece, `first`:
    characters of that group before the literal; `shapes`: those in which the piece is written like the literal."""

    anchor: Anchor
    how: str
    phase: int = 0
    first: int = 0
    shapes: tuple[ValueShape, ...] = ()


def _literals(sought: Anchor) -> Iterator[tuple[bytes, _Look]]:
    piece = sought.piece
    written: dict[bytes, tuple[ValueShape, ...]] = {piece: sought.shapes}
    if not _plain(piece):
        written[piece] = ()
        for shape in sought.shapes:
            text = _WRITTEN[shape.how](piece)
            written[text] = (*written.get(text, ()), shape)
    for text, shapes in written.items():
        if b"\0" not in text:
            yield text[: max(LONGEST, len(piece))], _Look(sought, "raw" if text == piece else "written", shapes=shapes)
    for phase in range(3):
        text = base64.b64encode(b"\0" * phase + piece)
        known = (phase + len(piece)) * 8 // 6  # characters that no later byte has a part in
        # From the next whole group on if that is long enough: two such groups of text look like few others.
        first = 4 if phase and known - 4 >= LONGEST else _FILLED[phase]
        text = text[first:known][:LONGEST]
        yield text, _Look(sought, "base64", phase, first)
        if (safe := text.translate(_URLSAFE)) != text:
            yield safe, _Look(sought, "base64", phase, first)
    yield piece.hex().encode()[:LONGEST], _Look(sought, "hex")
    if (upper := piece.hex().upper().encode()[:LONGEST]) != piece.hex().encode()[:LONGEST]:
        yield upper, _Look(sought, "hex")


class Exact:
    """Values to be found. Immutable and shared by threads; each scans through its own `worker()`."""

    def __init__(self, anchors: Iterable[Anchor], key: bytes) -> None:
        """Compile the anchors. Blocking: a hundred thousand take many seconds."""
        self.key = key
        looks: dict[bytes, list[_Look]] = {}
        self.size = 0
        for one in anchors:
            self.size += 1
            for literal, look in _literals(one):
                looks.setdefault(literal, []).append(look)
        self.literals = list(looks)
        self.looks = list(looks.values())
        self.database: Any = None
        if looks:
            self.database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            ids = list(range(len(looks)))
            self.database.compile(expressions=self.literals, ids=ids, flags=[0] * len(ids), literal=True)

    def worker(self) -> ExactWorker:
        return ExactWorker(self)


class ExactWorker:
    """Scans on behalf of one thread."""

    def __init__(self, exact: Exact) -> None:
        self._exact = exact
        self._scratch = hyperscan.Scratch(exact.database) if exact.database is not None else None

    def decide(self, data: Buffer, work: BlockCost) -> list[Placed]:
        out = []
        for one in self.search(data, work.check):
            masked = f"…[{len(one.value)}]"  # its name says more than its beginning
            match = Match(OWN, one.start, one.end, one.value, masked, OWN.severity, "high", one.decode)
            decision = CandidateDecision(
                OWN, one.start, one.end, True, "accepted", "a secret of our own", match, one.decode
            )
            out.append((decision, one.end))
        return out

    def search(self, data: Buffer, check: Callable[[], None] = lambda: None) -> list[ExactMatch]:
        """What stands in `data`, by position, each span once. `check` is called now and then, and may raise."""
        if self._scratch is None:
            return []
        hits: list[tuple[int, int]] = []
        self._exact.database.scan(
            data, match_event_handler=lambda number, _start, end, *_: hits.append((number, end)), scratch=self._scratch
        )
        found: dict[tuple[int, int], ExactMatch] = {}
        asked = 0
        for number, end in hits:
            start = end - len(self._exact.literals[number])
            for look in self._exact.looks[number]:
                if (asked := asked + 1) % _OFTEN == 0:
                    check()
                if (owned := self._owned(data, start, look)) is not None:
                    found.setdefault((owned.start, owned.end), owned)
        return sorted(found.values())

    def _owned(self, data: Buffer, start: int, look: _Look) -> ExactMatch | None:
        sought = look.anchor
        if look.how == "base64":
            return self._base64(data, start, look)
        if look.how == "hex":
            return self._decoded(data, ValueShape("hex", 2 * sought.at, 2 * sought.size), start, sought)
        raw = (ValueShape("raw", sought.at, sought.size),) if look.how == "raw" else ()
        for shape in (*raw, *look.shapes):
            if (owned := self._decoded(data, shape, start, sought)) is not None:
                return owned
        return None

    def _decoded(self, data: Buffer, shape: ValueShape, start: int, sought: Anchor) -> ExactMatch | None:
        """The value, if it stands around an anchor at `start`, written so."""
        low, high = start - shape.before, start - shape.before + shape.size
        if low < 0 or high > len(data):
            return None
        text, how = bytes(data[low:high]), shape.how.partition(".")[0]
        chain: tuple[str, ...] = ()
        if how == "raw":
            value = text
        else:
            try:
                value = bytes.fromhex(text.decode("ascii")) if how == "hex" else _READ[how](text)
            except ValueError:
                return None
            chain = (_CHAIN.get(how, how),)
        return self._verified(low, high, value, sought, chain)

    def _base64(self, data: Buffer, start: int, look: _Look) -> ExactMatch | None:
        sought = look.anchor
        groups, skip = divmod(look.phase - sought.at, 3)  # groups, and bytes of the first, before the value
        low = start - look.first + 4 * groups
        high = min(low + -(-(skip + sought.size) // 3) * 4, len(data))
        if low < 0:
            return None
        text = bytes(data[low:high])
        decoded = b64decode(text)
        if decoded is None:  # it ends in the midst of a group, and something else follows
            decoded = b64decode(text[: -(-(skip + sought.size) * 4 // 3)])
        if decoded is None:
            return None
        return self._verified(low, high, decoded[skip : skip + sought.size], sought, ("base64",))

    def _verified(self, low: int, high: int, value: bytes, sought: Anchor, chain: tuple[str, ...]) -> ExactMatch | None:
        if len(value) != sought.size and chain != ("escape",):
            return None
        if fingerprint(self._exact.key, value) != sought.fingerprint:
            return None
        return ExactMatch(low, high, value, sought.fingerprint, chain)


def settled(decided: Sequence[Placed]) -> Sequence[Placed]:
    """Without those on our own values that a rule tells as well, at the same place: it knows the issuer."""
    ours = [one for one in decided if one[0].rule is OWN]
    if not ours or len(ours) == len(decided):
        return decided
    others = [one for one in decided if one[0].rule is not OWN]
    told: dict[bytes, list[Match]] = {}  # disjoint and by position
    for match, _ in resolve(others):
        told.setdefault(normalise(match.secret), []).append(match)
    starts = {value: [match.start for match in matches] for value, matches in told.items()}
    for decision, end in ours:
        value = normalise(decision.match.secret) if decision.match is not None else b""
        before = bisect_right(starts.get(value, ()), decision.end - 1)
        if not before or told[value][before - 1].end <= decision.start:
            others.append((decision, end))
    return others
