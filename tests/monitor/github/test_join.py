from __future__ import annotations

import time
import tomllib
from importlib import resources
from typing import Any

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from monitor import runbook
from monitor.common.severity import SEVERITIES
from monitor.domain.model import Finding, KnownAlert
from monitor.github.alerts import AlertLocation, item
from monitor.github.join import FALLBACK_RULE, OTHER, Kind, identity, kinds, record
from tests.detectors import texts
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub, commit

KEY = b"k" * 32


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return list(texts.rules())


@pytest.fixture(scope="module")
def engine() -> Engine:
    return texts.engine()


@pytest.fixture
def intake(engine: Engine) -> MemoryIntake:
    """With the rules as they are, so that what is tested is what logs would give."""
    intake = MemoryIntake()
    intake.known_rules = {rule.id: rule for rule in engine.rules}
    intake.identifies = lambda text: as_found(engine, text)
    return intake


def as_found(engine: Engine, text: bytes) -> list[Finding]:
    return [
        Finding(
            id="", rule=match.rule.id, name=match.rule.name, severity=match.severity, confidence=match.confidence,
            fingerprint=fingerprint(KEY, match.secret), masked=match.masked, source="", path="", generation="",
            offset=match.start, time=0.0, labels=match.labels, runbook=match.rule.runbook,
        )
        for match in engine.worker().scan(text)
    ]  # fmt: skip


def alert(secret: str | None, secret_type: str, **more: Any) -> Any:
    fake = FakeGitHub()
    return item(fake.body(fake.add("acme/web", secret, secret_type, **more), with_repository=True), time.time())


async def who(secret: str | None, secret_type: str, intake: MemoryIntake, known: KnownAlert | None = None) -> Any:
    return await identity(alert(secret, secret_type), host="github.com", key=KEY, intake=intake, known=known)


@pytest.mark.parametrize(
    ("secret_type", "template", "line"),
    [
        ("github_personal_access_token", "ghp_{alnum:30}{crc32}", "GET /x?token={} HTTP/1.1"),
        ("postgres_connection_string", "postgres://app:{alnum:20}@db.acme.net:5432/app", "DATABASE_URL={}"),
        ("http_basic_authentication_header", "Basic YXBwOlMzY3JldC1QYXNzdzByZC0xOA==", "> Authorization: {}"),
        ("rsa_private_key", "{pem:RSA PRIVATE KEY}", "key: {}"),
        ("slack_api_token", "xoxb-{digit:12}-{digit:12}-{alnum:24}", '{{"slack":"{}"}}'),
    ],
)
async def test_a_secret_has_one_fingerprint_at_github_and_in_a_log(
    engine: Engine, intake: MemoryIntake, secret_type: str, template: str, line: str
) -> None:
    secret = expand(template, 7)
    found = as_found(engine, line.format(secret).encode() + b"\n")
    known = await who(secret, secret_type, intake)
    assert known.fingerprint in {finding.fingerprint for finding in found}
    assert secret not in repr(known)


async def test_a_value_that_the_engine_fails_on_is_its_own_identity(intake: MemoryIntake) -> None:
    intake.broken = b"hostile"
    known = await who("hostile value", "password", intake)
    assert (known.fingerprint, known.provisional) == (fingerprint(KEY, b"hostile value"), False)


async def test_rule_severity_mask_and_runbook_are_those_of_the_log_finding(
    engine: Engine, intake: MemoryIntake
) -> None:
    secret = expand("ghp_{alnum:30}{crc32}", 3)
    [found] = as_found(engine, secret.encode() + b"\n")
    known = await who(secret, "github_personal_access_token", intake)
    shared = ("rule", "name", "severity", "confidence", "masked", "runbook")
    assert [getattr(known, name) for name in shared] == [getattr(found, name) for name in shared]


async def test_what_no_rule_knows_keeps_githubs_name(intake: MemoryIntake) -> None:
    known = await who("Zq8#not-a-format-any-rule-has", "acme_internal_pass", intake)
    assert (known.rule, known.name, known.severity) == (FALLBACK_RULE, "Acme Internal Pass", "high")
    assert "not-a-format" not in repr(known)


async def test_of_a_type_that_no_rule_of_ours_takes_the_issuers_advice_and_severity_hold(intake: MemoryIntake) -> None:
    known = await who("Zq8#not-a-format-any-rule-has", "scalr_api_token", intake)
    assert (known.rule, known.severity, known.runbook) == (FALLBACK_RULE, "critical", "partner/scalr")


async def test_without_a_value_the_alert_stands_for_it(intake: MemoryIntake) -> None:
    first = await who(None, "github_personal_access_token", intake)
    assert first.provisional
    assert first.rule == "github-pat"
    assert first == await who(None, "github_personal_access_token", intake)
    again = await who(None, "github_personal_access_token", intake, KnownAlert(first.fingerprint, True, 0.0))
    assert again.provisional


async def test_a_value_that_is_known_is_shown_as_it_was(intake: MemoryIntake) -> None:
    """The severity too: a token whose value said that it is harmless stays so."""
    known = KnownAlert("f" * 64, False, 0.0, "i", "info", "some-rule", "A name", "ab…[9]", "medium", "a-runbook")
    again = await who(None, "github_personal_access_token", intake, known)
    assert (again.fingerprint, again.provisional, again.severity) == ("f" * 64, False, "info")
    assert (again.rule, again.name, again.masked, again.confidence) == ("some-rule", "A name", "ab…[9]", "medium")
    assert again.runbook == "a-runbook"


async def test_every_place_is_a_finding_and_an_alert_without_one_links_to_its_page(intake: MemoryIntake) -> None:
    one = alert(None, "x", locations=[commit("a", 1)])
    known = await identity(one, host="github.com", key=KEY, intake=intake, known=None)
    places = [AlertLocation("1", "acme/web:a", 1, 2, "https://x.test/a"), AlertLocation("2", "acme/web:b")]
    kept, findings = record(one, known, places, source="gh", host="github.com", quiet_before=0.0, read=1.0)
    assert [(finding.path, finding.line, finding.column) for finding in findings] == [
        ("acme/web:a", 1, 2),
        ("acme/web:b", None, None),
    ]
    assert {finding.generation for finding in findings} == {kept.id}
    assert findings[1].url == one.url
    _, [alone] = record(one, known, [], source="gh", host="github.com", quiet_before=0.0, read=1.0)
    assert (alone.path, alone.url) == ("acme/web", one.url)


def test_quiet_goes_by_the_age_of_the_alert(intake: MemoryIntake) -> None:
    old = alert(None, "x", age=8 * 86_400.0)
    known_args: dict[str, Any] = {
        "source": "gh",
        "host": "github.com",
        "quiet_before": time.time() - 7 * 86_400.0,
        "read": 1.0,
    }
    from monitor.github.join import SecretIdentity

    who = SecretIdentity("f", True, "r", "n", "high", "high", "m", None, {})
    assert record(old, who, [], **known_args)[0].quiet
    assert not record(alert(None, "x", age=6 * 86_400.0), who, [], **known_args)[0].quiet


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
