"""Counting newlines, which the line number of a finding at the end of a large file waits for."""

from __future__ import annotations

__all__ = ["newlines"]

_PIECE = 1 << 16  # bytes, which stay in the processor's cache
_LOOK = 1 << 10  # bytes of a piece that tell how long its lines are
_SHORT = 48  # bytes of a line, below which counting is faster


def newlines(text: bytes) -> int:
    """How many there are. `count` looks at one byte after the other; `replace` jumps to the next newline, which
    is nearly twice as fast where lines are as long as in logs."""
    total = 0
    for start in range(0, len(text), _PIECE):
        end = min(start + _PIECE, len(text))
        if text.count(b"\n", start, start + _LOOK) * _SHORT > _LOOK:
            total += text.count(b"\n", start, end)
        else:
            total += end - start - len(text[start:end].replace(b"\n", b""))
    return total
