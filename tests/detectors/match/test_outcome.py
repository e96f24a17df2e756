from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from detectors.match.outcome import Decision, Match, resolve
from tests.detectors.texts import rule


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(0, 3)), max_size=30))
def test_resolving_keeps_disjoint_spans_and_the_best_of_every_clash(raw: list[tuple[int, int, int]]) -> None:
    made = [
        Match(rule("x", id=f"r{n}", priority=priority), start, start + size, b"x", "…", "high", "high")
        for n, (start, size, priority) in enumerate(raw)
    ]
    decided = [(Decision(m.rule, m.start, m.end, True, "accepted", "", m), m.end) for m in made]
    kept = [m for m, _ in resolve(decided)]
    assert [m.start for m in kept] == sorted(m.start for m in kept)
    for a, b in pairwise(kept):
        assert a.end <= b.start
    for lost in made:
        if all(lost is not k for k in kept):
            rivals = [k for k in kept if k.start < lost.end and lost.start < k.end]
            assert any(k.rule.priority >= lost.rule.priority for k in rivals)
