from __future__ import annotations

from monitor.domain.model import Position
from monitor.store.memory import Memory
from monitor.store.records import Commit
from tests.monitor.store.helpers import finding


def found(name: str) -> Commit:
    return Commit([finding(name)], [Position("services", "key", {})])


def test_it_holds_the_last() -> None:
    memory = Memory(2)
    for number, name in enumerate("abc", start=5):
        memory.add(number, [found(name)], ())
    [b, c, last], whole = memory.since(5)
    assert (b.findings, c.findings, whole) == ([finding("b")], [finding("c")], True)
    assert (b.positions, last.findings, len(last.positions)) == ((), (), 1)
    assert memory.since(5) == ([], True)


def test_what_is_older_is_not_all_there() -> None:
    memory = Memory(2)
    assert memory.since(0) == ([], False)
    for number, name in enumerate("abc", start=5):
        memory.add(number, [found(name)], ())
    assert memory.since(4)[1] is False
    memory = Memory(2)
    memory.add(5, [], [Position("services", "key", {})])
    assert memory.since(3) == ([], False)


def test_of_positions_the_last_of_each_key_is_written_again() -> None:
    memory = Memory(2)
    for number, (key, offset) in enumerate([("a", 1), ("b", 2), ("b", 3)], start=5):
        memory.add(number, [], [Position("services", key, {"offset": offset})])
    [again], whole = memory.since(5)
    assert whole
    assert [(position.key, position.state) for position in again.positions] == [("b", {"offset": 3})]
