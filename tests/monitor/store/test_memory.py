from __future__ import annotations

from monitor.model import Position
from monitor.store.memory import Memory
from monitor.store.records import Commit
from tests.monitor.store.helpers import finding


def found(name: str) -> Commit:
    return Commit([finding(name)], [Position("services", "key", {})])


def test_it_holds_the_last_without_their_positions() -> None:
    memory = Memory(2)
    for number, name in enumerate("abc", start=5):
        memory.add(number, [found(name)])
    [b, c], whole = memory.since(5)
    assert (b.findings, c.findings, whole) == ([finding("b")], [finding("c")], True)
    assert not b.positions
    assert memory.since(5) == ([], True)


def test_what_is_older_is_not_all_there() -> None:
    memory = Memory(2)
    assert memory.since(0) == ([], False)
    for number, name in enumerate("abc", start=5):
        memory.add(number, [found(name)])
    assert memory.since(4)[1] is False
    memory = Memory(2)
    memory.add(5, [Commit([], [Position("services", "key", {})])])
    assert memory.since(4) == ([], True)
    assert memory.since(3) == ([], False)
