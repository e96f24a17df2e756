from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from monitor import runbook
from monitor.common.severity import SEVERITIES
from monitor.github.kinds import OTHER, Kind, kinds
from tests.detectors import texts

DOCUMENTED = 491  # types in GitHub's list of patterns (github/docs, pattern-docs), without the generic ones


def test_every_documented_type_is_there_once() -> None:
    table = tomllib.loads(resources.files("monitor.github").joinpath("types.toml").read_text(encoding="utf-8"))
    ruled = list(table["rules"])
    others = [name for levels in table["issuers"].values() for names in levels.values() for name in names]
    assert len(ruled) + len(others) == len(kinds()) >= DOCUMENTED


def test_every_type_leads_to_a_severity_and_to_whom_takes_it_back() -> None:
    rules = {rule.id: rule for rule in texts.rules()}
    for name, kind in kinds().items():
        if kind.rule is not None:
            assert kind.rule in rules, name
            level, book = rules[kind.rule].severity, runbook.load(runbook.of(rules[kind.rule]))
        else:
            level, book = kind.severity, runbook.load(kind.runbook)
        assert level in SEVERITIES, name
        assert book is not None, name
        if name != "password" and kind.rule is None:
            assert "/" in book.name, f"{name}: advice of no issuer in particular"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("stripe_api_key", Kind("stripe-live-secret-key")),
        ("stripe_test_restricted_key", Kind(None, "payments/stripe", "low")),
        ("sslmate_api_key", Kind(None, "partner/sslmate", "critical")),
        ("what_comes_next_year", OTHER),
    ],
)
def test_a_type_stands_for_a_rule_or_an_issuer_and_an_unknown_one_is_taken_seriously(name: str, kind: Kind) -> None:
    assert kinds().get(name, OTHER) == kind
    assert (OTHER.severity, OTHER.runbook) == ("high", "generic-secret")
