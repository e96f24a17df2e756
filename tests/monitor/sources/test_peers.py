from __future__ import annotations

import pytest

from monitor.sources import peers as module
from monitor.sources.peers import Peers, networks


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_who_may_send() -> None:
    peers = Peers(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"], None)
    for address in ("10.1.2.3", "192.0.2.7", "2001:db8::5", "::ffff:10.0.0.1", "2001:db8::1%eth0"):
        assert peers.allowed(address)
    for address in ("11.0.0.1", "192.0.2.8", "2001:db9::5", "", "nonsense", "::ffff:11.0.0.1"):
        assert not peers.allowed(address)
    assert Peers([], None).allowed("203.0.113.1")


def test_what_is_no_network_is_said() -> None:
    with pytest.raises(ValueError, match="addresses or networks"):
        networks(["10.0.0.0/8", "web-1"])


def test_a_peer_has_its_rate_and_no_part_of_anothers(clock: Clock) -> None:
    peers = Peers([], 10)
    assert [peers.within("a") for _ in range(12)].count(True) == 10
    assert peers.within("b")
    clock.now += 0.5
    assert [peers.within("a") for _ in range(12)].count(True) == 5


def test_who_is_ahead_of_its_rate_waits_so_long(clock: Clock) -> None:
    peers = Peers([], 10)
    assert peers.take("a", 10) == 0
    assert peers.take("a", 20) == pytest.approx(2.0)
    clock.now += 2
    assert peers.take("a", 0) == 0
    assert Peers([], None).take("a", 1 << 30) == 0


def test_many_addresses_take_little_room(clock: Clock) -> None:
    peers = Peers([], 1)
    for number in range(20_000):
        peers.within(str(number))
    assert len(peers._taken) <= 4096
