"""Who may send to a source, and how much of it."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["Peers", "networks"]

_KNOWN = 4096  # peers whose rate is remembered

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError that says what is expected."""
    try:
        return tuple(ipaddress.ip_network(name, strict=False) for name in names)
    except ValueError:
        raise ValueError('must be addresses or networks, such as "10.0.0.0/8"') from None


class Peers:
    """`allow`: networks; empty: everybody. `rate`: messages a second of one peer; None: as many as come."""

    def __init__(self, allow: Iterable[str], rate: int | None) -> None:
        self._allow = networks(allow)
        self._rate = rate
        self._taken: OrderedDict[str, tuple[float, float]] = OrderedDict()  # messages within the last second, when

    def allowed(self, address: str) -> bool:
        """Whether an IP address may send."""
        if not self._allow:
            return True
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._allow)

    def within(self, address: str) -> bool:
        """Whether one more message is within the rate; counts it then."""
        if self._rate is None:
            return True
        if self._level(address) + 1 > self._rate:
            return False
        self.take(address, 1)
        return True

    def take(self, address: str, count: int) -> float:
        """Count messages that were taken; seconds to wait before the next ones."""
        if self._rate is None:
            return 0.0
        level = self._level(address) + count
        self._taken[address] = (level, time.monotonic())
        self._taken.move_to_end(address)
        if len(self._taken) > _KNOWN:
            self._taken.popitem(last=False)
        return max(0.0, (level - self._rate) / self._rate)

    def _level(self, address: str) -> float:
        level, at = self._taken.get(address, (0.0, 0.0))
        return max(0.0, level - (time.monotonic() - at) * (self._rate or 0))
