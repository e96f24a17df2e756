"""What a source has lost, by reason and place: entered when it is met, kept with the positions that pass over it.

Its rows lie beside the source's own positions, under a name that no source can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monitor.common.grouping import grouped
from monitor.domain.model import Position

__all__ = ["STATE", "Ledger", "Loss", "losses", "place", "total"]

STATE = "@state"  # key of the row that says how the source was when the daemon last looked
_PLACES = 100  # of a reason, beyond which losses are entered without their place


@dataclass(frozen=True, slots=True)
class Loss:
    """`count` of `unit` for one reason at one place (empty: at several). `unknown`: how often nobody could know how
    much it was. Times are seconds since the epoch. `untold`: how much of it nobody was told of; None: all was told."""

    reason: str
    place: str
    unit: str
    count: int
    unknown: int
    first: float
    last: float
    untold: int | None = None


def place(source: str) -> str:
    """The name under which the ledger of a source is kept."""
    return f"@{source}"


def losses(rows: Mapping[str, Mapping[str, Any]]) -> list[Loss]:
    """What the kept rows of one source say, the newest first."""
    found = [loss for state in rows.values() if (loss := _loss(state)) is not None]
    return sorted(found, key=lambda loss: -loss.last)


class Ledger:
    """Of one source. What was kept before is added by `restore`; until then nothing is given out to be kept."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._entries: dict[tuple[str, str], Loss] = {}
        self._changed: set[tuple[str, str]] = set()
        self.restored = False
        self._paused = False

    def enter(self, reason: str, count: int, where: str, unit: str, now: float) -> None:
        """`count` 0: nobody can know how much."""
        key = (reason, where)
        if key not in self._entries and sum(known == reason for known, _ in self._entries) >= _PLACES:
            key = (reason, "")
        fresh = Loss(*key, unit, count, int(count == 0), now, now, untold=count)
        self._entries[key] = _sum(self._entries.get(key), fresh)
        self._changed.add(key)

    def restore(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        for loss in losses(rows):
            key = (loss.reason, loss.place)
            self._entries[key] = _sum(loss, self._entries.get(key))
        self.restored = True

    def pause(self) -> None:
        """Nothing is given out until `resume`: its rows are about to get another name."""
        self._paused = True

    def resume(self, source: str) -> None:
        """Go on under this name."""
        self._source, self._paused = source, False

    def untold(self) -> dict[str, tuple[Loss, ...]]:
        """Of what nobody was told yet, by reason."""
        losses = grouped((loss.reason, loss) for loss in self._entries.values() if loss.untold is not None)
        return {reason: tuple(several) for reason, several in losses.items()}

    def told(self, heard: Iterable[Loss]) -> None:
        """Somebody has heard of these, as `untold` gave them. What was lost since is as untold as before."""
        for loss in heard:
            now = self._entries[loss.reason, loss.place]
            if now.untold is not None and loss.untold is not None:
                left = now.untold - loss.untold
                self._entries[loss.reason, loss.place] = replace(now, untold=left if left > 0 else None)
                self._changed.add((loss.reason, loss.place))

    def again(self) -> None:
        """What was kept of it is not there any more."""
        self._changed.update(self._entries)

    def changed(self) -> list[Position]:
        """Rows to keep, since the last call."""
        if not self.restored or self._paused:
            return []
        found = [self._row(self._entries[key]) for key in sorted(self._changed)]
        self._changed.clear()
        return found

    def _row(self, loss: Loss) -> Position:
        state = {name: getattr(loss, name) for name in Loss.__slots__}
        return Position(place(self._source), f"{loss.reason}:{loss.place}", state)


def _sum(one: Loss | None, other: Loss | None) -> Loss:
    both = [loss for loss in (one, other) if loss is not None]
    first = min(loss.first for loss in both)
    last = max(loss.last for loss in both)
    count, unknown = sum(loss.count for loss in both), sum(loss.unknown for loss in both)
    silent = [loss.untold for loss in both if loss.untold is not None]
    untold = sum(silent) if silent else None
    return replace(both[-1], count=count, unknown=unknown, first=first, last=last, untold=untold)


def _loss(state: Mapping[str, Any]) -> Loss | None:
    try:
        texts = (str(state["reason"]), str(state["place"]), str(state["unit"]))
        count, unknown, untold = int(state["count"]), int(state["unknown"]), state["untold"]
        untold = None if untold is None else int(untold)
        return Loss(*texts, count, unknown, float(state["first"]), float(state["last"]), untold)
    except (KeyError, TypeError, ValueError):
        return None


def total(found: Iterable[Loss]) -> Mapping[tuple[str, str], Loss]:
    """Of all places together, by reason and unit."""
    sums: dict[tuple[str, str], Loss] = {}
    for loss in found:
        key = (loss.reason, loss.unit)
        sums[key] = replace(_sum(sums.get(key), loss), place="")
    return sums
