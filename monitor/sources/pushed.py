"""What others push, whatever its form: the records in it, each with what it says of itself."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from monitor.common.outside import taken
from monitor.model import Block
from monitor.sources.pem import Joiner

__all__ = ["FormError", "Pushed", "blocks", "bounded", "json_of", "packed_json"]

_AGAIN = 600  # seconds within which the same text without a time of its own is taken for one that was sent again
_EARLIEST, _AHEAD = 631152000, 300  # 1990; seconds by which another clock may be ahead of ours


class FormError(Exception):
    """A body that is not of the form it claims to have; the message names the form, never the content."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """One record. `path`: where it comes from, as alerts show it. `stamp`: what tells it from others with the same
    text, its time above all; empty when it has none."""

    text: bytes
    path: str
    about: Mapping[str, str] = field(default_factory=dict)
    logged_at: float | None = None
    stamp: bytes = b""


def blocks(source: str, key: bytes, records: Iterable[Pushed]) -> Iterator[Block]:
    """Records that are sent again, in the same request or in others, have the same identity: whoever gets no answer
    sends again. The same text twice in one request is there twice."""
    now = time.time()
    seen: Counter[bytes] = Counter()
    joiner = Joiner()
    for record in records:
        if not record.text.strip():
            continue
        stamp = record.stamp or b"%d" % (now // _AGAIN)
        digest = blake2b(key=key[:64], digest_size=12)
        for part in (record.path.encode("utf-8", "replace"), stamp, record.text):
            digest.update(b"%d:" % len(part) + part)
        print_ = digest.digest()
        seen[print_] += 1
        block = Block(
            source=source,
            path=record.path,
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


def json_of(body: bytes) -> Any:
    """What JSON says, also where its texts are not the UTF-8 they have to be: one line of a log would cost a whole
    request. Raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(body.decode("utf-8", "replace"))


def packed_json(value: Any) -> bytes:
    """As the rules read it. Raises FormError for what no honest record is: a thousand levels deep."""
    try:
        return orjson.dumps(value)
    except TypeError:  # 254 levels, 64 bits, half a surrogate pair
        pass
    try:
        return json.dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        raise FormError("nested too deeply") from None


def bounded(facts: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Facts that are texts or numbers, the first of each name."""
    about: dict[str, str] = {}
    for name, value in facts:
        if name not in about and isinstance(value, str | int) and value != "":
            about[name] = taken(str(value))
    return about
