from __future__ import annotations

import re

import pytest

from detectors.compile.names import NAMES, named
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
        "mixpanel: {alnum:31}",
        "datadog: {uuid}",
        'import { CohereClient } from "cohere-ai/api/resources/index.js"',
        "sendbird {hex:40}",
    ],
)
def test_what_has_not_the_issuers_format_or_is_not_held_is_not(text: str) -> None:
    assert found(text) == set()


def test_every_name_is_the_keyword_of_a_rule_and_shared_by_its_rules() -> None:
    pairs = named((number, rule.keywords) for number, rule in enumerate(rules()))
    words = {re.sub(rb"^\(\?i\)(\w+).*", rb"\1", text).decode() for text, _ in pairs}
    assert words == NAMES
    assert named([(4, ["Rollbar"]), (2, ["rollbar", "unheard"])])[0][1] == (2, 4)
