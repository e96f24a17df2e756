"""What others push, whatever its form: the records in it, each with what it says of itself."""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from monitor.common.outside import taken
from monitor.domain.model import Block
from monitor.sources.pem import Joiner

__all__ = [
    "MOST",
    "NOTHING",
    "BodyCounter",
    "BodyError",
    "FormError",
    "Pushed",
    "TooManyError",
    "blocks",
    "bounded",
    "identity",
    "named",
    "packed_json",
    "text_of",
]

MOST = 200_000  # records of one body: senders batch thousands
_AGAIN = 600  # seconds within which the same text without a time of its own is taken for one that was sent again
_NO_TEXT = "(withheld: half a character in it)"
_EARLIEST, _AHEAD = 631152000, 300  # 1990; seconds by which another clock may be ahead of ours


class BodyError(Exception):
    """A body that is not taken: `kind`, as it is counted, and `status` of the answer. The message shows no content."""

    kind, status = "form", 400


class FormError(BodyError):
    """It is not of the form it claims to have; the message names the form."""


class TooManyError(BodyError):
    """More records in one body than are taken."""

    kind, status = "too_many", 413


@dataclass(frozen=True, slots=True)
class Pushed:
    """One record. `path`: where it comes from, as alerts show it. `stamp`: what tells it from others with the same
    text, its time above all; empty when it has none. `bad`: what it is not; `text` is as it was sent then."""

    text: bytes
    path: str
    about: Mapping[str, str] = field(default_factory=dict)
    logged_at: float | None = None
    stamp: bytes = b""
    bad: str = ""


NOTHING = Pushed(b"", "")  # what holds records, and is counted with them


@dataclass(slots=True)
class BodyCounter:
    """Of one body: records, also empty ones; the places of bad ones among them, and what the first of those is not."""

    records: int = 0
    why: str = ""
    bad: array[int] = field(default_factory=lambda: array("L"))


def blocks(source: str, key: bytes, records: Iterable[Pushed], counter: BodyCounter | None = None) -> Iterator[Block]:
    """Records that are sent again, in the same request or in others, have the same identity: whoever gets no answer
    sends again. The same text twice in one request is there twice. Raises TooManyError, and what `records` raises."""
    now = time.time()
    seen: Counter[bytes] = Counter()
    joiner = Joiner()
    counter = counter or BodyCounter()
    for record in records:
        if record.bad:
            counter.bad.append(counter.records)
            counter.why = counter.why or record.bad
        counter.records += 1
        if counter.records > MOST:
            raise TooManyError(f"more than {MOST} records: send fewer at once")
        if not record.text.strip():
            continue
        stamp = record.stamp or b"%d" % (now // _AGAIN)
        print_ = identity(key, record.path.encode("utf-8", "replace"), stamp, record.text)
        seen[print_] += 1
        block = Block(
            source=source,
            path=_whole(record.path),
            generation=f"{print_.hex()}-{seen[print_]}",
            offset=0,
            data=record.text,
            time=now,
            attributes=record.about,
            logged_at=record.logged_at if _EARLIEST <= (record.logged_at or 0) <= now + _AHEAD else None,
        )
        yield block
        if joiner.wants(block) and (whole := joiner.feed(f"{record.path} {sorted(record.about.items())}", block)):
            yield whole


def identity(key: bytes, *parts: bytes) -> bytes:
    """The same of the same parts, and of no others."""
    digest = blake2b(key=key[:64], digest_size=12)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()


def named(pairs: Iterable[tuple[str, Any]], more: list[dict[str, Any]]) -> dict[str, Any]:
    """The last value of each name; the others go to `more`, each by itself: none may be passed over."""
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) < len(pairs):
        last = {name: place for place, (name, _) in enumerate(pairs)}
        more += ({name: value} for place, (name, value) in enumerate(pairs) if last[name] != place)
    return found


def text_of(*parts: Any) -> bytes:
    """What is said, a line each, as the rules read it: text as it is, anything else as JSON, nothing not at all.
    Raises FormError."""
    return b"\n".join(_bytes_of(part) for part in parts if part not in (None, "", b"", {}, []))


def _bytes_of(part: Any) -> bytes:
    if isinstance(part, bytes):
        return part
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else packed_json(part)


def packed_json(value: Any) -> bytes:
    """As the rules read it. Raises FormError for what no honest record is: a thousand levels deep."""
    try:
        return orjson.dumps(value, default=_decoded)
    except TypeError:  # 254 levels, 64 bits, half a surrogate pair
        pass
    try:
        return json.dumps(value, default=_decoded).encode()
    except (TypeError, ValueError, RecursionError):
        raise FormError("nested too deeply") from None


def _decoded(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError


def bounded(facts: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Facts that are texts or numbers, the first of each name."""
    about: dict[str, str] = {}
    for name, value in facts:
        if name not in about and isinstance(value, str | int) and value != "":
            about[name] = _whole(taken(str(value)))
    return about


def _whole(text: str) -> str:
    """Never a copy: thousands of records may share a text."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _NO_TEXT
    return text
