"""Since when each source is read without a gap: only then does it say anything that a secret is not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from monitor.snapshot import Snapshot

__all__ = ["Watched"]

_BEHIND = 60.0  # seconds that something written may wait to be read


class Watched:
    """Asked again and again: what happened to a source since the last time begins its time anew."""

    def __init__(
        self,
        sources: Callable[[], Iterable[str]],
        snapshot: Snapshot,
        *,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sources`: those that run. `steady`: a clock that nobody sets, by which the time is measured."""
        self._sources, self._snapshot, self._now, self._steady = sources, snapshot, now, steady
        self._since: dict[str, tuple[float, int]] = {}  # source → by the steady clock, and what had gone wrong by then

    def __call__(self) -> Mapping[str, float]:
        """By the clock of the wall."""
        now, steady = self._now(), self._steady()
        well = {name: self._trouble(name) for name in self._sources() if not self._late(name)}
        self._since = {
            name: since if (since := self._since.get(name)) and since[1] == trouble else (steady, trouble)
            for name, trouble in well.items()
        }
        return {name: now - (steady - since) for name, (since, _) in self._since.items()}

    def _late(self, name: str) -> bool:
        """Whether it does not work, or is behind what is written."""
        if any(source == name for source, _ in self._snapshot.degraded):
            return True
        tell = self._snapshot.backlog.get(name)
        unread = max((one.seconds for one in tell()), default=0.0) if tell is not None else 0.0
        return max(unread, self._snapshot.lag.get(name, 0.0)) > _BEHIND

    def _trouble(self, name: str) -> int:
        """Grows with each loss and each restart."""
        lost = sum(count for (source, _), count in self._snapshot.losses.items() if source == name)
        return lost + self._snapshot.restarts[name]
