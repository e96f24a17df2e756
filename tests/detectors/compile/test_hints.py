from __future__ import annotations

import re

import pytest

from detectors.compile.hints import WHOLE, held_names, hints
from detectors.rules.issuers import ISSUERS
from detectors.rules.template import expand
from tests.detectors.texts import engine, rules


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


def found(text: str) -> set[str]:
    return {match.rule.vendor for match in engine().worker().scan(expand(text, 3).encode())}


@pytest.mark.parametrize(
    ("text", "vendor"),
    [
        ('rollbar = "{hex:32}"', "rollbar"),
        ("deepgram: {hex:40}", "deepgram"),
        ('"mixpanel": "{hex:32}"', "mixpanel"),
        ("cohere: '{alnum:40}'", "cohere"),
        ('new CohereClient("{alnum:40}")', "cohere"),
        ("--datadog-key={hex:32}", "datadog"),
        ("<sendbird>{hex:40}</sendbird>", "sendbird"),
        ("'serpapi' => '{hex:64}',", "serpapi"),
    ],
)
def test_what_the_bare_name_of_an_issuer_holds_is_found_and_held_names(text: str, vendor: str) -> None:
    assert found(text) == {vendor}


@pytest.mark.parametrize(
    "text",
    [
        'rollbar = "rollbar-notifier-client-2.14"',
        "cohere: https://dashboard.cohere.com/welcome/login",
        "mixpanel: {alnum:18}",
        "datadog: {uuid}",
        'import { CohereClient } from "cohere-ai/api/resources/index.js"',
        "sendbird {hex:40}",
    ],
)
def test_what_has_not_the_issuers_format_or_is_not_held_is_not(text: str) -> None:
    assert found(text) == set()


def test_every_name_is_asked_for_once_by_its_rules_and_by_those_for_anyone() -> None:
    pairs = held_names(((number, rule.keywords) for number, rule in enumerate(rules())), [7, 3])
    words = [re.sub(rb"^\(\?i:(\w+)\).*", rb"\1", text).decode() for text, _ in pairs]
    assert words == sorted(ISSUERS)
    assert all({3, 7} <= set(numbers) for _, numbers in pairs)
    assert held_names([(4, ["Rollbar"]), (2, ["rollbar", "unheard"])])[0][1] == (2, 4)


@pytest.mark.parametrize(
    "text",
    [
        'sendinblue = "{hex:64}"',
        "mailchimp: {hex:32}",
        'new Pusher("{digit:7}", "{hex:20}", "{lownum:20}")',
        "my_mapbox_prod => '{alnum:40}'",
    ],
)
def test_what_no_rule_of_the_issuer_knows_is_found_all_the_same(text: str) -> None:
    match = engine().worker().scan(expand(text, 3).encode())
    assert [found.rule.id.rpartition("-")[0] for found in match] == ["generic-issuer"]
