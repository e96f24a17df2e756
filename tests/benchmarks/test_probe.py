from __future__ import annotations

import re

import pytest

from benchmarks.probe import (
    EIGHTH,
    ELEVENTH,
    FIFTH,
    FIRST,
    FOURTH,
    NEGATIVES,
    NINTH,
    SECOND,
    SEEDS,
    SEVENTH,
    TENTH,
    THIRD,
    TWELFTH,
    VENDORS,
    WAYS,
    Case,
    cases,
    found,
    values,
)
from detectors.rules.template import expand
from tests.detectors.texts import engine


@pytest.mark.parametrize(
    "probe", [FIRST, SECOND, THIRD, FOURTH, FIFTH, SEVENTH, EIGHTH, NINTH, TENTH, ELEVENTH, TWELFTH]
)
def test_there_are_enough_cases_of_both_kinds_and_halves(probe: str) -> None:
    listed = list(cases(probe))
    for secret in (True, False):
        chosen = [case for case in listed if case.secret is secret]
        assert len(chosen) * SEEDS[secret] >= 1500
        assert 0.4 < sum(case.sealed for case in chosen) / len(chosen) < 0.6
    assert all(("«" in case.template) is case.secret for case in listed)


def test_the_negatives_are_enough_and_hold_no_secret() -> None:
    listed = list(cases(NEGATIVES))
    assert len(listed) * SEEDS[False] >= 3000
    assert 0.4 < sum(case.sealed for case in listed) / len(listed) < 0.6
    assert not any(case.secret or "«" in case.template for case in listed)


@pytest.mark.parametrize(
    "probe", [FIRST, SECOND, THIRD, FOURTH, FIFTH, SEVENTH, EIGHTH, NINTH, TENTH, ELEVENTH, TWELFTH, NEGATIVES, VENDORS]
)
def test_no_case_expands_to_the_text_of_another(probe: str) -> None:
    texts = [case.text(1) for case in cases(probe)]
    assert len(set(texts)) == len(texts)


def test_of_the_formats_of_issuers_hardly_any_is_missed() -> None:
    worker, seen, missed = engine().worker(), 0, 0
    for case in cases(VENDORS):
        if case.secret and not case.sealed:
            text = case.text(0)
            secret = text[text.index("«") + 1 : text.index("»")]
            seen += 1
            missed += not found(worker, text.replace("«", "").replace("»", ""), secret)
    assert seen > 300
    assert missed <= seen // 50


def test_only_what_covers_the_secret_counts() -> None:
    worker = engine().worker()
    secret = expand("{alnum:20}", 1)
    text = f"DB_PASSWORD={secret}"
    assert found(worker, text, secret)
    assert not found(worker, text, "another")
    assert found(worker, text, "")


def test_a_shape_may_hold_others_which_in_brackets_letters_may_follow() -> None:
    case = Case("x", "@(key)s = @var", False, False, {"key": ("api_key",), "var": ("$@(key)_2",)})
    assert case.text(0) == "api_keys = $api_key_2"


def test_a_name_stands_for_one_of_its_shapes_and_what_is_none_stays() -> None:
    case = Case("x", 'psql @pw bob@acme "«@pw»"', True, False, {"pw": ("{digit:8}", "{lower:9}")})
    texts = {case.text(seed) for seed in range(12)}
    assert all("bob@acme" in text and "@pw" not in text and "{" not in text for text in texts)
    assert {len(text[text.index("«") + 1 : text.index("»")]) for text in texts} == {8, 9}


def test_other_ways_to_make_a_value_are_found_where_one_is() -> None:
    counts = values(engine().worker(), re.compile("(?i)password"), [FIRST])
    assert set(counts) == set(WAYS)
    assert len({seen for _, seen in counts.values()}) == 1
    told, seen = counts["letters and digits, 14"]
    assert seen > 50
    assert told >= seen * 0.95  # with the pack `wide` three more of sixty
    told, seen = counts["letters, digits and signs, 16"]
    assert told >= seen * 0.75
