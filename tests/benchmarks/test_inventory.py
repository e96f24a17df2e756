"""The benchmark of exact values measures what it says."""

from __future__ import annotations

from benchmarks.inventory import exact, measure, ours, recall, values
from detectors.engine import Engine
from detectors.load import load_rules


def test_values_are_found_where_they_are_and_nowhere_else() -> None:
    rules = Engine.build(load_rules(["vcs/github"]))
    engine = rules.beside(exact(50))
    planted = list(values(50))
    assert len(set(planted)) == 50
    assert ours(engine, memoryview(b"x " + b" y ".join(planted))) == 50
    text = memoryview(b"2026-11-02 INFO nothing of ours\n" * 100)
    assert [(count, others) for count, _, _, others in measure(rules, text, (0, 10), 1)] == [(0, 0), (10, 0)]
    assert recall(rules, 20) == (180, 180)
