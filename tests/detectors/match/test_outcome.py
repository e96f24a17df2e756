from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from detectors.match.outcome import CandidateDecision, Match, resolve
from tests.detectors.texts import engine, rule


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(0, 3)), max_size=30))
def test_resolving_keeps_disjoint_spans_and_the_best_of_every_clash(raw: list[tuple[int, int, int]]) -> None:
    made = [
        Match(rule("x", id=f"r{n}", priority=priority), start, start + size, b"x", "…", "high", "high")
        for n, (start, size, priority) in enumerate(raw)
    ]
    decided = [(CandidateDecision(m.rule, m.start, m.end, True, "accepted", "", m), m.end) for m in made]
    kept = [m for m, _ in resolve(decided)]
    assert [m.start for m in kept] == sorted(m.start for m in kept)
    for a, b in pairwise(kept):
        assert a.end <= b.start
    for lost in made:
        if all(lost is not k for k in kept):
            rivals = [k for k in kept if k.start < lost.end and lost.start < k.end]
            assert any(k.rule.priority >= lost.rule.priority for k in rivals)


def test_a_value_that_goes_on_is_told_whole_by_the_name_of_the_better_rule() -> None:
    worker = engine().worker()
    told = [(m.rule.id, m.secret) for m in worker.scan(b"rpcpassword=tKlnB4IM;Z4x\nSMTP_PASSWORD='fW2MEx3Lf,4ck67'\n")]
    assert told == [("generic-password-line", b"tKlnB4IM;Z4x"), ("smtp-password", b"fW2MEx3Lf,4ck67")]
    assert [m.secret for m in worker.scan(b"password=tKlnB4IM7x;Server=db1\n")] == [b"tKlnB4IM7x"]


def test_a_token_with_a_valid_checksum_keeps_its_own_end() -> None:
    made = [
        Match(rule("x", id=name, priority=priority, checksum=checksum), 5, end, b"x", "…", "high", "high")
        for name, priority, checksum, end in (("own", 50, "luhn", 9), ("generic-password-line", 12, None, 12))
    ]
    decided = [(CandidateDecision(m.rule, m.start, m.end, True, "accepted", "", m), m.end) for m in made]
    assert [(m.rule.id, m.end) for m, _ in resolve(decided)] == [("own", 9)]


def test_of_what_begins_together_the_longest_has_the_value_and_the_best_the_name() -> None:
    names = ["generic-password-line", "generic-password-symbols", "own", "elsewhere"]
    spans = [(5, 12), (5, 15), (5, 9), (13, 20)]
    made = [
        Match(rule("x", id=name, priority=priority), start, end, b"x", "…", "high", "high")
        for name, (start, end), priority in zip(names, spans, (12, 12, 50, 1), strict=True)
    ]
    decided = [(CandidateDecision(m.rule, m.start, m.end, True, "accepted", "", m), m.end) for m in made]
    assert [(m.rule.id, m.start, m.end) for m, _ in resolve(decided)] == [("own", 5, 15)]
