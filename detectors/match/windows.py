"""From where a trigger's matches end to the parts of a block that a rule's pattern is tried on."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from detectors.rules.rule import LONGEST, bare

__all__ = ["NEAR", "Ends", "named", "share", "thinned", "windows"]

NEAR = 16  # bytes between ends that are looked at as one; every window reaches further back
_BESIDE = 2 * LONGEST  # bytes before and after the end of a part of a keyword that may be of the keyword
_MANY = 64  # fewer ends are not worth thinning


class Ends:
    """Where the matches of expressions end, by id.

    A trigger may match at every byte of a block. Of those that lie close only as many are kept as lead to the same
    windows: two for every NEAR bytes, however many there are. The ends of `whole` ids are all kept, eight bytes each.
    """

    def __init__(self, whole: Container[int] = ()) -> None:
        self._whole = whole
        # By id the last end, up to where the next takes its place, and those before it: what is done for every match
        # looks at no list.
        self._kept: dict[int, list[Any]] = {}

    def handler(self, base: int = 0) -> Callable[[int, int, int, int, object], None]:
        """What Hyperscan is to call for each match in a text that begins at `base`."""
        kept, known, whole = self._kept, self._kept.get, self._whole

        def on_match(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            end += base
            state = known(number)
            if state is None:
                kept[number] = [end, -1, array("Q") if number in whole else []]
                return
            last, reach, ends = state
            if last <= end <= reach:
                state[0] = end
                return
            ends.append(last)
            state[0] = end
            # Hyperscan promises no order, so only those are put together that come in one.
            state[1] = last + NEAR if last <= end and type(ends) is list else -1

        return on_match

    def told(self) -> dict[int, list[int] | array[int]]:
        """All of them, by id. Nothing may be told to them afterwards."""
        for last, _, ends in self._kept.values():
            ends.append(last)
        return {number: ends for number, (_, _, ends) in self._kept.items()}


def share(positions: list[int], rules: Iterable[int], ends: dict[int, list[int]]) -> None:
    """Add to the `ends` of all these rules. Those with no others get the same list, by which they share windows."""
    for rule in rules:
        ends[rule] = ends[rule] + positions if rule in ends else positions


def thinned(ends: Sequence[int]) -> list[int]:
    """Of ends that lie close as many as lead to the same windows: the first, the last and one every few bytes."""
    if len(ends) < _MANY:
        return list(ends)
    ordered = sorted(ends)
    out = ordered[:2]
    for end in ordered[2:]:
        if end - out[-2] <= NEAR:
            out[-1] = end
        else:
            out.append(end)
    return out


def windows(ends: Iterable[int], back: int, ahead: int, size: int) -> list[tuple[int, int]]:
    """Disjoint windows that cover [end - back, end + ahead] of every end."""
    out: list[tuple[int, int]] = []
    low = last = -1
    for end in sorted(ends):
        if last < 0 or end - back > last + ahead:
            if last >= 0:
                out.append((low, min(size, last + ahead)))
            low = max(0, end - back)
        last = end
    return [*out, (low, min(size, last + ahead))] if last >= 0 else out


def named(
    data: bytes | bytearray | memoryview, ends: Iterable[int], names: Mapping[int, Sequence[bytes]]
) -> dict[int, list[int]]:
    """Of the `ends` of a part of a keyword, by rule, those beside which one of its `names` stands whole, however its
    words are parted; all where a rule has none."""
    out: dict[int, list[int]] = {}
    for end in ends:
        text = bare(bytes(data[max(0, end - _BESIDE) : end + _BESIDE]))
        for rule, whole in names.items():
            if not whole or any(name in text for name in whole):
                out.setdefault(rule, []).append(end)
    return out
