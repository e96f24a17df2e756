from __future__ import annotations

import re

import pytest

from detectors.compile.names import named
from detectors.rules.issuers import ISSUERS
from detectors.rules.template import expand
from tests.detectors.texts import engine, rules


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
def test_what_the_bare_name_of_an_issuer_holds_is_found_and_named(text: str, vendor: str) -> None:
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
    pairs = named(((number, rule.keywords) for number, rule in enumerate(rules())), [7, 3])
    words = [re.sub(rb"^\(\?i:(\w+)\).*", rb"\1", text).decode() for text, _ in pairs]
    assert words == sorted(ISSUERS)
    assert all({3, 7} <= set(numbers) for _, numbers in pairs)
    assert named([(4, ["Rollbar"]), (2, ["rollbar", "unheard"])])[0][1] == (2, 4)


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
