"""What is alike comes together, in order."""

from __future__ import annotations

from monitor.common.grouping import grouped


def test_keys_and_values_keep_their_order() -> None:
    pairs = [("b", 2), ("a", 1), ("b", 0), ("b", 2)]
    assert list(grouped(pair for pair in pairs).items()) == [("b", [2, 0, 2]), ("a", [1])]


def test_nothing_is_no_group() -> None:
    assert grouped([]) == {}
