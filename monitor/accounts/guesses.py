"""Limits on guesses that lock nobody out: who guesses waits, by where they come from; a right password from elsewhere
is taken at once.

Memory is bounded: of more addresses and names than `_MOST` those that were heard of longest ago are forgotten.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Guesses"]

_K = TypeVar("_K")

_MOST = 10_000
_MEMORY = 3600.0  # seconds after which a mistake is forgotten
_LONGEST = 900.0  # seconds to wait at most
_FREE = 4  # mistakes of one address about one name
_OF_ADDRESS = 20  # about any names: an office has one address
_OF_NAME = 30  # from anywhere: from then on each address has one mistake about it


@dataclass(slots=True)
class _Mistakes:
    count: int = 0
    last: float = 0.0


class Guesses:
    """Mistakes so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = _MOST) -> None:
        self._clock, self._most = clock, most
        self._pairs: OrderedDict[tuple[str, str], _Mistakes] = OrderedDict()
        self._addresses: OrderedDict[str, _Mistakes] = OrderedDict()
        self._names: OrderedDict[str, _Mistakes] = OrderedDict()
        self._right: OrderedDict[str, _Mistakes] = OrderedDict()

    def wait(self, address: str, name: str) -> float:
        """Seconds until a password is looked at; 0: now."""
        now = self._clock()
        pair = self._fresh(self._pairs.get((address, name)), now)
        place = self._fresh(self._addresses.get(address), now)
        attacked = self._fresh(self._names.get(name), now).count >= _OF_NAME
        return max(
            _until(pair, 1 if attacked else _FREE, now),
            _until(place, _OF_ADDRESS, now),
        )

    def wrong(self, address: str, name: str) -> None:
        """A mistake, by a password that was looked at."""
        now = self._clock()
        self._count(self._pairs, (address, name), now)
        self._count(self._addresses, address, now)
        self._count(self._names, name, now)

    def right(self, address: str, name: str) -> None:
        """They know it: what they mistyped before is forgiven, but not what the address did about others."""
        self._pairs.pop((address, name), None)
        self._count(self._right, address, self._clock())

    def familiar(self, address: str) -> bool:
        """Whether somebody has signed in from there: where many guess at once, they need not wait behind strangers."""
        return address in self._right

    def _count(self, among: OrderedDict[_K, _Mistakes], key: _K, now: float) -> None:
        known = self._fresh(among.pop(key, None), now)
        among[key] = _Mistakes(known.count + 1, now)
        while len(among) > self._most:
            among.popitem(last=False)

    @staticmethod
    def _fresh(known: _Mistakes | None, now: float) -> _Mistakes:
        return known if known is not None and now - known.last < _MEMORY else _Mistakes()


def _until(known: _Mistakes, free: int, now: float) -> float:
    """It doubles with each mistake beyond what is free."""
    if known.count < free:
        return 0.0
    pause = min(2.0 ** min(known.count - free, 20), _LONGEST)
    return max(known.last + pause - now, 0.0)
