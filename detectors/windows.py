"""From where a trigger's matches end to the parts of a block that a rule's pattern is tried on."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NEAR", "share", "thinned", "windows"]

NEAR = 16  # bytes between ends that are looked at as one; every window reaches further back
_MANY = 64  # fewer ends are not worth thinning


def share(positions: list[int], rules: Iterable[int], ends: dict[int, list[int]]) -> None:
    """Add to the `ends` of all these rules. Those with no others get the same list, by which they share windows."""
    for rule in rules:
        ends[rule] = ends[rule] + positions if rule in ends else positions


def thinned(ends: list[int]) -> list[int]:
    """Of ends that lie close as many as lead to the same windows: the first, the last and one every few bytes."""
    if len(ends) < _MANY:
        return ends
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
