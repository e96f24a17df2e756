"""Where a text that is searched piece by piece may be cut, and what of it is seen again: one rule for all."""

from __future__ import annotations

__all__ = ["CONTEXT", "LOOKAHEAD", "carried", "last_word", "settled"]

CONTEXT = 24 << 10  # bytes before the fresh ones: the longest secret, in the midst of which text is cut
_ENDS = b" \t\r\n\"'"  # after one of these what stands before it is whole
LOOKAHEAD = 64  # bytes of a long line that stay unsettled, so that a match at the cut is seen whole


def settled(data: bytes | bytearray, fresh: int, end: int, *, full: bool) -> int:
    """Where to cut `data[fresh:end]`, of which more is to come: behind its last whole line. `fresh`: nowhere yet.

    Within a line only when it is `full`, and then so far before the end that a match at the cut is seen whole.
    """
    line = data.rfind(b"\n", fresh, end) + 1
    if line:
        return line
    return max(fresh, end - LOOKAHEAD) if full else fresh


def last_word(text: bytes) -> int:
    """Where the last word begins of a line that is not over: perhaps half of a value."""
    return max(text.rfind(end) for end in _ENDS) + 1


def carried(limit: int) -> int:
    """From where on what is settled up to `limit` is kept as context."""
    return max(0, limit - CONTEXT)
