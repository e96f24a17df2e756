from __future__ import annotations

import re

import pytest

from detectors.rules.issuers import ISSUERS, held
from tests.detectors.texts import rules

VALUE = "k3j9x2m4q8w1z7v5"


@pytest.mark.parametrize(
    "text",
    [
        f'rollbar = "{VALUE}"',
        f"MY_ROLLBAR_1: {VALUE}",
        f"<rollbar>{VALUE}",
        f'new Rollbar("{VALUE}")',
        f'Rollbar.init(42, "{VALUE}")',
    ],
)
def test_a_name_that_holds_a_value_is_seen(text: str) -> None:
    assert re.search(held("rollbar"), text)


@pytest.mark.parametrize("text", [f"rollbar {VALUE}", 'rollbar = "notifier"', "rollbar.init(config, options)"])
def test_one_that_holds_none_is_not(text: str) -> None:
    assert not re.search(held("rollbar"), text)


def test_the_rules_for_whatever_an_issuers_name_holds_know_the_same_names() -> None:
    patterns = [rule.pattern for rule in rules() if rule.trigger == "@issuer"]
    assert len(patterns) == 2
    for pattern in patterns:
        assert pattern.startswith(f"(?i:{'|'.join(sorted(ISSUERS))})")


def test_no_name_is_shorter_than_hyperscan_can_tell_from_other_text() -> None:
    assert min(map(len, ISSUERS)) >= 5
