from __future__ import annotations

import re

import pytest

from detectors.compile.hints import WHOLE, hints
from detectors.rules.template import expand
from tests.detectors.texts import rules


def texts(*keywords: str) -> set[bytes]:
    return {text.removeprefix(b"(?i)").replace(b"\\", b"") for text, _ in hints([(0, keywords)])}


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("mistral", {b"mistral"}),
        ("mistral_api_key", {b"mistral"}),
        ("MISTRAL-KEY", {b"mistral"}),
        ("unseal key", {b"unseal"}),
        ("uptime_robot", {b"timerobo", b"time_rob", b"time-rob"}),
        ("api token", {b"apitoken", b"api_toke", b"api-toke", b"api toke"}),
        ("dns", {b"dns"}),
        ("x-ovh-consumer", {b"ovhconsu", b"ovh_cons", b"ovh-cons"}),
        ("iam.cloud.ibm.com", {b".ibm.com"}),
        ("basic auth user", {b"asicauth", b"asic_aut", b"asic-aut", b"asic aut"}),
    ],
)
def test_the_most_telling_part_of_a_keyword_is_looked_for(keyword: str, expected: set[bytes]) -> None:
    assert texts(keyword) == expected


def test_near_assignments_the_whole_part_is_looked_for() -> None:
    ((text, numbers),) = hints([(0, ["scraperapiservice_key"])], WHOLE)
    assert (text, numbers) == (b"(?i)scraperapiservice", (0,))
    assert texts("scraperapiservice_key") == {b"iservice"}


def test_rules_share_hints_and_a_longer_one_goes_to_the_shorter() -> None:
    found = dict(hints([(0, ["cohere"]), (1, ["cohere_key"]), (2, ["coheres"]), (3, ["mistral"])]))
    assert found == {b"(?i)cohere": (0, 1, 2), b"(?i)mistral": (3,)}


def test_every_keyword_match_of_the_packs_holds_a_hint_of_its_rule() -> None:
    chosen = [(number, r) for number, r in enumerate(rules()) if r.keywords]
    owners: dict[int, list[re.Pattern[bytes]]] = {}
    for text, numbers in hints((number, r.keywords) for number, r in chosen):
        for number in numbers:
            owners.setdefault(number, []).append(re.compile(text))
    for number, r in chosen:
        for example in r.examples:
            text = expand(example, 1).encode()
            assert any(p.search(text) for p in owners[number]), (r.id, example)
