"""Bodies as they were sent to the text in them: within what may be taken, however well they were packed."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable

import cramjam
import zstandard

__all__ = ["Budget", "BusyError", "PackedError", "unpack"]

_PIECE = 1 << 20
_GIVEN = 4 << 10  # bytes that are unpacked at once
_WINDOW = 8 << 20  # bytes that a zstd frame may look back on, as RFC 8878 recommends


class PackedError(Exception):
    """A body that is not what it says; the message names the way it is packed, never the content. `large`: it is more
    than may be taken."""

    def __init__(self, message: str, *, large: bool = False) -> None:
        super().__init__(message)
        self.large = large


class BusyError(Exception):
    """So much is under way that this has to wait."""


class Budget:
    """Bytes that all bodies under way may take together. From any thread."""

    def __init__(self, most: int) -> None:
        self.left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Raises BusyError. Give it back with a negative count."""
        with self._lock:
            if count > self.left:
                raise BusyError
            self.left -= count


def unpack(body: bytes, encoding: str, most: int, budget: Budget) -> bytes:
    """At most `most` bytes, which are taken of the budget; whoever gets them gives them back. Blocking.

    `encoding`: of the header Content-Encoding, or "snappy" for the block format that Loki's clients send.
    Raises PackedError and BusyError, and has given back everything then.
    """
    taken = 0

    def grow(count: int) -> None:
        nonlocal taken
        if taken + count > most:
            raise PackedError(f"more than {most} bytes once unpacked", large=True)
        budget.take(count)
        taken += count

    try:
        if encoding in ("", "identity"):
            grow(len(body))
            return body
        if encoding in ("gzip", "x-gzip", "deflate"):
            return _inflated(body, encoding, grow)
        if encoding == "zstd":
            return _zstd(body, grow)
        if encoding == "snappy":
            grow(cramjam.snappy.decompress_raw_len(body))
            return bytes(cramjam.snappy.decompress_raw(body))
        raise PackedError("Content-Encoding must be gzip, deflate, zstd, snappy or identity")
    except (zlib.error, zstandard.ZstdError, cramjam.DecompressionError, EOFError, ValueError):
        failure: Exception = PackedError(f"the body is not {encoding}, or was cut off")
    except (PackedError, BusyError) as error:
        failure = error
    budget.take(-taken)
    raise failure


def _inflated(body: bytes, encoding: str, grow: Callable[[int], None]) -> bytes:
    # What is called deflate is zlib's format, by the book; some send it bare.
    bits = 31 if encoding != "deflate" else 15 if body[:1] == b"\x78" else -15
    parts, whole, at = [], memoryview(body), 0
    while at < len(body):  # a gzip file may have several members
        decoder = zlib.decompressobj(bits)
        while not decoder.eof:
            # In small pieces, as what was not used of one is copied: a body of nothing but tiny members is no trap.
            given = whole[at : at + _GIVEN]
            part = decoder.decompress(given, _PIECE)
            if not part and not given and not decoder.eof:
                raise EOFError
            at += len(given) - len(decoder.unused_data if decoder.eof else decoder.unconsumed_tail)
            grow(len(part))
            parts.append(part)
        if encoding == "deflate":
            break
    return b"".join(parts)


def _zstd(body: bytes, grow: Callable[[int], None]) -> bytes:
    parts = []
    decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with decoder.stream_reader(body, read_across_frames=True) as stream:
        while part := stream.read(_PIECE):
            grow(len(part))
            parts.append(part)
    return b"".join(parts)
