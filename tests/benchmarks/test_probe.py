from __future__ import annotations

from benchmarks.probe import SEEDS, cases, found
from detectors.template import expand
from tests.detectors.texts import engine


def test_there_are_enough_cases_of_both_kinds_and_halves() -> None:
    listed = list(cases())
    for secret in (True, False):
        chosen = [case for case in listed if case.secret is secret]
        assert len(chosen) * SEEDS[secret] >= 1500
        assert 0.4 < sum(case.sealed for case in chosen) / len(chosen) < 0.6
    assert all(("«" in case.template) is case.secret for case in listed)


def test_no_case_expands_to_the_text_of_another() -> None:
    texts = [expand(case.template, 1) for case in cases()]
    assert len(set(texts)) == len(texts)


def test_only_what_covers_the_secret_counts() -> None:
    worker = engine().worker()
    secret = expand("{alnum:20}", 1)
    text = f"DB_PASSWORD={secret}"
    assert found(worker, text, secret)
    assert not found(worker, text, "another")
    assert found(worker, text, "")
