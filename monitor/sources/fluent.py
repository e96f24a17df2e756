"""Records of Fluent Bit in its own format, msgpack: [time, record], or [[time, about it], record] since its version 2.

Fluentd sends the records alone. Whatever else is said in msgpack is searched, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgpack

from monitor.sources.lines import described
from monitor.sources.pieces import LIGHT
from monitor.sources.pushed import FormError, Pushed, named, packed_json, text_of

__all__ = ["from_msgpack"]

_ODD = (msgpack.UnpackException, msgpack.ExtraData, FormError, ValueError, TypeError, OverflowError, RecursionError)
_MAP = b"\xdf"  # a map, whose length comes in four bytes


def from_msgpack(body: bytes) -> Iterator[Pushed]:
    """Raises FormError."""
    unpacker = _fed(body)
    start = 0
    while start < len(body):
        try:
            unpacker.skip()
        except (msgpack.UnpackException, ValueError):
            raise FormError("not msgpack, or cut off") from None
        end = unpacker.tell()
        try:
            yield _record(body[start:end])
        except _ODD:
            yield Pushed(body[start:end], "msgpack", bad="record")
        start = end


def _record(data: bytes) -> Pushed:
    more: list[dict[str, Any]] = []
    if len(data) > LIGHT:
        time, item, rest = _split(data, more)
    else:
        time, item, rest = None, _unpacked(data, more), b""
        if isinstance(item, list) and len(item) == 2 and isinstance(item[1], dict):
            time, item = item
    time, *about = time if isinstance(time, list) and time else (time,)
    text = text_of(item, more, *about, rest)
    found = described(item, text, "msgpack") if isinstance(item, dict) else Pushed(text, "msgpack")
    if not isinstance(time, int | float) or time <= 0:
        return found
    seconds = time / 1e9 if time > 1e14 else float(time)  # what `_moment` made is in nanoseconds
    return replace(found, logged_at=seconds, stamp=b"%d" % (seconds * 1e9))


def _split(data: bytes, more: list[dict[str, Any]]) -> tuple[Any, Any, bytes]:
    """Of a record that is too large to be made into objects: its time, the small ones of its members, and the others as
    the bytes they were sent as."""
    unpacker = _fed(data)
    try:
        if unpacker.read_array_header() != 2:
            return None, {}, data
        start = unpacker.tell()
        unpacker.skip()
        before = unpacker.tell()
        time = _unpacked(data[start:before], more) if before - start < LIGHT else None
        small, count, rest = bytearray(), 0, bytearray(b"" if time is not None else data[start:before])
        members = unpacker.read_map_header()
        before = unpacker.tell()
        for _ in range(members):
            unpacker.skip()
            unpacker.skip()
            before, start = unpacker.tell(), before
            if len(small) + before - start <= LIGHT:
                small += data[start:before]
                count += 1
            else:
                rest += data[start:before] + b"\n"
    except (msgpack.UnpackException, ValueError):
        return None, {}, data
    return time, _unpacked(_MAP + count.to_bytes(4, "big") + bytes(small), more), bytes(rest)


def _fed(data: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    return unpacker


def _unpacked(data: bytes, more: list[dict[str, Any]]) -> Any:
    return msgpack.unpackb(
        data,
        strict_map_key=False,
        unicode_errors="replace",
        timestamp=2,  # nanoseconds
        ext_hook=_moment,
        object_pairs_hook=partial(_named, more=more),
    )


def _named(pairs: list[tuple[Any, Any]], more: list[dict[str, Any]]) -> Mapping[str, Any]:
    return named(((name if isinstance(name, str) else packed_json(name).decode(), of) for name, of in pairs), more)


def _moment(kind: int, data: bytes) -> Any:
    """EventTime of Fluent's protocols: seconds and nanoseconds, as nanoseconds."""
    if kind or len(data) != 8:
        return data
    return int.from_bytes(data[:4], "big") * 10**9 + int.from_bytes(data[4:], "big")
