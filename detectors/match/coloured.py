"""Lines that programs colour for a terminal, as they read there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial

from detectors.compile.codecs import Codec
from detectors.match.cost import DecodeBudget
from detectors.match.region import Buffer, Marks, Region, run_ahead, run_back
from monitor.common.terminal import SEQUENCE

__all__ = ["coloured"]

_NOT_NEWLINE = re.compile(rb"[^\n]*")
_APART_AT_MOST = 512  # bytes between two sequences whose lines are one region
_COLOURED = 1 << 16  # bytes of one region


def coloured(data: Buffer, hits: Sequence[tuple[Codec, int]], budget: DecodeBudget) -> Iterable[Region]:
    """Lines with sequences for a terminal, without them. Those near each other are one region: in a coloured log every
    line has some."""
    ends = sorted({end for _, end in hits})
    done = number = 0
    while number < len(ends):
        first = last = ends[number]
        while number < len(ends) and ends[number] - last <= _APART_AT_MOST and ends[number] - first <= _COLOURED:
            last = ends[number]
            number += 1
        low, high = max(done, run_back(data, first, _NOT_NEWLINE)), run_ahead(data, last, _NOT_NEWLINE)
        done = high
        if last <= low or not budget.take(high - low, low, high):
            continue
        raw = bytes(data[low:high])
        text = SEQUENCE.sub(b"", raw)
        if text != raw:
            yield Region(low, high, text, marks=partial(_left_out, raw, low))


def _left_out(raw: bytes, low: int) -> Marks:
    out: Marks = [(0, low)]
    at = size = 0  # of `raw`, of what is left
    for m in SEQUENCE.finditer(raw):
        size += m.start() - at
        out += [(size, low + m.start()), (size, low + m.end())]
        at = m.end()
    return [*out, (size + len(raw) - at, low + len(raw))]
