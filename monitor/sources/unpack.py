"""Bodies as they were sent to the text in them: within what may be taken, however well they were packed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import zstandard

from monitor.sources.pushed import BodyError

__all__ = ["OversizeError", "PackedError", "unpack"]

_GIVEN = 4 << 10  # bytes that are unpacked at once: to 4 MiB at most
_BLOCKS = 64  # of zstd, in which four bytes may be a block of 128 KiB
_WINDOW = 8 << 20  # bytes that a zstd frame may look back on, as RFC 8878 recommends
_MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}  # how a body begins


class PackedError(BodyError):
    """A body that is not what it says; the message names the way it is packed."""

    kind = "packed"


class OversizeError(BodyError):
    """A body that is more than may be taken."""

    kind, status = "too_large", 413


def unpack(body: bytes | bytearray, encoding: str, most: int) -> bytes:
    """At most `most` bytes. Blocking. Raises PackedError and OversizeError.

    `encoding`: of the header Content-Encoding, or "snappy" for the block format that Loki's clients send. What says
    nothing of itself but begins as gzip or zstd does is unpacked as that.
    """
    if encoding in ("", "identity"):
        encoding = next((name for mark, name in _MARKS.items() if body.startswith(mark)), "")
    try:
        if not encoding:
            _grown(len(body), most)
            return bytes(body)
        if encoding == "deflate":
            # What is called so is zlib's format, by the book; some send it bare.
            bits = 15 if body[:1] == b"\x78" else -15
            return _unpacked(body, lambda: zlib.decompressobj(bits), _GIVEN, most, several=False)
        if encoding in ("gzip", "x-gzip"):
            return _unpacked(body, lambda: zlib.decompressobj(31), _GIVEN, most)
        if encoding == "zstd":
            return _unpacked(body, zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj, _BLOCKS, most)
        if encoding == "snappy":
            _grown(cramjam.snappy.decompress_raw_len(body), most)
            return bytes(cramjam.snappy.decompress_raw(body))
        raise PackedError("Content-Encoding must be gzip, deflate, zstd, snappy or identity")
    except (zlib.error, zstandard.ZstdError, cramjam.DecompressionError, EOFError, ValueError):
        raise PackedError(f"the body is not {encoding}, or was cut off") from None


def _grown(size: int, most: int) -> int:
    """Raises OversizeError."""
    if size > most:
        raise OversizeError(f"more than {most} bytes once unpacked")
    return size


def _unpacked(
    body: bytes | bytearray, make: Callable[[], Any], piece: int, most: int, *, several: bool = True
) -> bytes:
    """By one decoder after another, each of `several` members or frames by its own. Raises EOFError where one is cut
    off."""
    parts, whole, at, size = [], memoryview(body), 0, 0
    while at < len(body) and (several or not at):
        decoder = make()
        while not decoder.eof:
            # In small pieces, as what was not used of one is copied: a body of nothing but tiny members is no trap.
            given = whole[at : at + piece]
            if not given:
                raise EOFError
            parts.append(decoder.decompress(given))
            at += len(given) - len(decoder.unused_data)
            size = _grown(size + len(parts[-1]), most)
    return b"".join(parts)
