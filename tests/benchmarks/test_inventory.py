"""The benchmark of exact values measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import inventory
from benchmarks.inventory import FORMS, KEY_FORMS, exact, keys, measure, ours, recall, values
from tests.detectors import texts


def test_values_are_found_where_they_are_and_nowhere_else() -> None:
    rules = texts.engine("vcs/github")
    engine = rules.beside(exact(50))
    planted = list(values(50))
    assert len(set(planted)) == 50
    assert ours(engine, memoryview(b"x " + b" y ".join(planted))) == 50
    text = memoryview(b"2026-11-02 INFO nothing of ours\n" * 100)
    rows = list(measure(rules, text, (0, 10), 1))
    assert [(count, held > 0, others) for count, _, _, held, others in rows] == [(0, False, 0), (10, True, 0)]


def test_every_form_is_planted_and_counted_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = texts.engine("vcs/github")
    own, pems = [value.decode() for value in values(50)], keys(2)
    monkeypatch.setattr(inventory, "EVERY", 1024)
    outcome = recall(rules, own, pems, 80 << 10, 40 << 10)
    assert outcome.planted.keys() == {*FORMS, *KEY_FORMS}
    assert (outcome.found, outcome.others) == (outcome.planted, 0)

    # What it does not know it does not find, and what was not planted is one too many.
    monkeypatch.setattr(inventory, "plant", lambda text, *_: (text + own[0].encode(), []))
    outcome = recall(rules, own, pems, 10 << 10)
    assert (outcome.planted.total(), outcome.found.total(), outcome.others) == (0, 0, 1)
