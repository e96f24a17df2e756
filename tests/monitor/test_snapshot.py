from __future__ import annotations

from monitor.snapshot import Snapshot


def test_each_has_counters_of_its_own() -> None:
    one, other = Snapshot(), Snapshot()
    one.read["a"] += 1
    assert not other.read
