"""Secrets of one environment in another, and values that several share."""

from __future__ import annotations

from monitor.domain.model import OwnedSecret
from monitor.inventory.wrong_environment import ELSEWHERE, SHARED, elsewhere, placed, shared
from tests.monitor.store.helpers import finding

KEY = b"k" * 32
LABELS = {"secret": "API_KEY", "environment": "production"}


def owned(name: str, environment: str, standing: str = "current") -> OwnedSecret:
    return OwnedSecret("f" * 64, "e", name, "", environment, "ops", (), (), standing)  # type: ignore[arg-type]


def test_a_secret_in_the_logs_of_another_environment_is_a_finding_of_its_own() -> None:
    own = finding("a", labels=LABELS)
    [one] = elsewhere([own, finding("b")], "staging", KEY)
    assert (one.rule, one.name) == (ELSEWHERE, "API_KEY: a secret of production in staging")
    assert one.fingerprint != own.fingerprint
    assert one.labels["own_fingerprint"] == own.fingerprint
    assert elsewhere([own], "staging", KEY) == [one]
    for environment in ("production", ""):
        assert elsewhere([own], environment, KEY) == []
    assert elsewhere([finding("a", labels={"secret": "API_KEY"})], "staging", KEY) == []


def test_routes_see_the_environment_of_the_source_unless_that_of_the_secret_is_known() -> None:
    both = [finding("a", labels={"user": "ada"}), finding("b", labels=LABELS)]
    assert [one.labels for one in placed(both, "staging")] == [{"environment": "staging", "user": "ada"}, LABELS]
    assert placed(both, "") == both


def test_one_value_in_two_environments_is_told_once() -> None:
    both = {"f" * 64: [owned("A", "production"), owned("B", "staging")]}
    [one] = shared(both, KEY, 1.0)
    assert (one.rule, one.name, one.path) == (SHARED, "A: one value in production, staging", "e/A, e/B")
    assert shared(both, KEY, 2.0)[0].id == one.id
    for fine in ([owned("A", "production"), owned("B", "production")], [owned("A", "production"), owned("B", "")]):
        assert shared({"f" * 64: fine}, KEY, 1.0) == []
    assert shared({"f" * 64: [owned("A", "production"), owned("B", "staging", "previous")]}, KEY, 1.0) == []
