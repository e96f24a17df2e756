from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.verify.probe import AnswerCondition, Probe, ProbeResponse, fact, fill, load_probes, probe_of, providers
from tests.detectors import texts


def reading(status: int = 200, text: str = "", **headers: str) -> ProbeResponse:
    return ProbeResponse(status, headers, text, {"project": "abc"})


@pytest.mark.parametrize(
    ("written", "status", "text", "fits"),
    [
        ("200", 200, "anything", True),
        ("200", 201, "anything", False),
        ("200 ok=true", 200, '{"ok": true}', True),
        ("200 ok=true", 200, '{"ok": false}', False),
        ("200 ok=true", 200, "no JSON", False),
        ("200 error=a|b c", 200, '{"error": "b c"}', True),
        ("200 data.me", 200, '{"data": {"me": {"id": 1}}}', True),
        ("200 data.me", 200, '{"data": {"me": null}}', False),
        ("400 errors.0.code=X", 400, '{"errors": [{"code": "X"}]}', True),
        ("403 ~not (this|that)", 403, "it is not that", True),
        ("403 ~not (this|that)", 403, "it is", False),
        ("401 a.b~^bad", 401, '{"a": {"b": "bad key"}}', True),
        ("401 a.b~^bad", 401, '{"a": {"b": "a bad key"}}', False),
        ("401 a=1 & b~x", 401, '{"a": 1, "b": "x"}', True),
        ("401 a=1 & b~x", 401, '{"a": 1}', False),
    ],
)
def test_an_answer_is_a_status_and_what_its_body_says(written: str, status: int, text: str, fits: bool) -> None:
    assert AnswerCondition.parse(written).fits(reading(status, text)) is fits


def test_a_page_in_an_issuers_place_is_no_answer_of_it() -> None:
    table = {"provider": "x", "name": "X", "rules": ["r"], "docs": "https://x", "url": "https://x", "auth": "bearer"}
    said = {"valid": ["200"], "refused": ["401 ~dead"], "errors": "https://x/errors", "evidence": "page"}
    probe = Probe.model_validate(table | said)
    html = {"content-type": "text/html; charset=utf-8"}
    assert probe.decide(ProbeResponse(401, {}, "dead", {})) == "refused"
    assert probe.decide(ProbeResponse(401, html, "dead", {})) == "unknown"
    assert probe.decide(ProbeResponse(401, {}, " <!DOCTYPE html>dead", {})) == "unknown"
    assert probe.decide(ProbeResponse(200, {}, "[]", {})) == "valid"
    assert probe.decide(ProbeResponse(200, {}, "welcome", {})) == "unknown"
    assert Probe.model_validate(table | said | {"shared": {"r": "a"}}).may_be_another("r", "ab")
    for wrong in (
        {"refused": ["401"]},
        {"errors": None},
        {"evidence": None},
        {"evidence": "hearsay"},
        {"valid": ["403"]},
        {"errors": None, "doubtful": ["403 ~x"]},
        {"shared": {"s": ""}},
    ):
        with pytest.raises(ValidationError):
            Probe.model_validate(table | said | wrong)


def test_an_answer_without_a_status_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a status"):
        AnswerCondition.parse("ok=true")


def test_facts_are_read_from_body_headers_and_parts() -> None:
    given = reading(
        200, '{"a": {"b": ["x", 7, true]}, "l": [{"n": "p"}, {"n": "q"}], "big": "' + "y" * 900 + '"}', scope="r, w"
    )
    assert fact(given, "a.b") == "x, 7, true"
    assert fact(given, "a.b.1") == "7"
    assert fact(given, "l.*.n") == "p, q"
    assert fact(given, "header:Scope") == "r, w"
    assert fact(given, "part:project") == "abc"
    assert fact(given, 're:"b": \\["(.)') == "x"
    assert fact(given, "a") == fact(given, "none") == fact(given, "re:(nothing)") == ""
    assert len(fact(given, "big")) == 900


def test_templates_are_filled_and_name_what_is_missing() -> None:
    assert fill('{a}/{ b }/{"c"}', {"a": "1"}) == '1/{ b }/{"c"}'
    with pytest.raises(KeyError, match="b"):
        fill("{b}", {"a": "1"})


def test_every_probe_is_of_rules_there_are_and_no_rule_has_two() -> None:
    rules = {rule.id for rule in texts.rules()}
    named = [rule for probe in load_probes() for rule in probe.rules]
    assert set(named) <= rules
    assert len(named) == len(set(named))
    assert len(load_probes()) >= 40
    assert len(providers()) >= 40


def test_a_probe_is_known_by_an_id_that_its_rule_had() -> None:
    assert probe_of("mailgun-legacy-api-key") is not None
    assert probe_of("mailgun-private-key") is probe_of("mailgun-legacy-api-key")
    assert probe_of("superset-secret-key") is None


@pytest.mark.parametrize("probe", load_probes(), ids=lambda probe: f"{probe.provider} {probe.rules[0]}")
def test_a_probe_is_whole(probe: Probe) -> None:
    assert probe_of(probe.rules[0]) is probe
    assert probe.valid or probe.auth == "postgres"
    assert isinstance(probe.refused, tuple)
    assert probe.url.startswith(("https://", "{server}/", "postgres://"))
    if probe.sites:
        assert any(probe.url.startswith(site + "/") for site in probe.sites)
    # What a request needs beside the secret is either taken from it or asked for by its name.
    shape = probe.shape or ""
    for name in probe.names - probe.parts.keys():
        assert f"(?P<{name}>" in shape or probe.auth == "postgres", name
    # The secret stands in an address only where its issuer takes it in no other way, and says so there.
    if "{value}" in probe.url or probe.auth.startswith("query"):
        assert probe.provider in {"telegram", "gcp", "mapbox"}
    assert probe.method == "GET" or probe.json_ is not None or probe.form is not None or probe.provider == "cohere"


def test_a_probe_with_an_unknown_way_to_log_in_is_refused() -> None:
    with pytest.raises(ValidationError, match="auth"):
        Probe.model_validate(
            {"provider": "x", "name": "X", "rules": ["r"], "docs": "https://x", "url": "https://x", "auth": "magic"}
            | {"valid": ["200"], "refused": []}
        )
