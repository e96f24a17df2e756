"""The time of day, without the steps that do not last.

What is due is kept as a time of day, since it outlives the process. Were it taken from a clock that is put forward and
back between two looks at it, whatever was written in between would wait for that hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["SETTLED", "SteadyClock"]

SETTLED = 20.0  # seconds that a step must last before it is believed
_SLEW = 1.0  # seconds; less is no step but a clock that is being adjusted


class SteadyClock:
    """Seconds since the epoch. To be asked every few seconds, from any thread.

    `elapsed`: of a clock that nobody sets and that runs while the machine sleeps.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._lock = threading.Lock()
        self._offset = wall() - elapsed()  # what is believed
        self._step: tuple[float, float] | None = None  # another offset, since when

    def __call__(self) -> float:
        with self._lock:
            elapsed = self._elapsed()
            offset = self._wall() - elapsed
            if abs(offset - self._offset) <= _SLEW:
                self._offset, self._step = offset, None
            elif self._step is None or abs(offset - self._step[0]) > _SLEW:
                self._step = offset, elapsed
            elif elapsed >= self._step[1] + SETTLED:
                self._offset, self._step = offset, None
            return elapsed + self._offset
