"""From an alert as read to what the store keeps: the value is fingerprinted as the log scanner would, and dropped.

Logs and GitHub must arrive at one fingerprint for one secret, though GitHub's value may be more than our rules take
(a whole connection string, an Authorization header). So the value is run through the rules in use, in the words it
would have in a log, and what they find is the identity; only when they find nothing it is the value itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import cast

from detectors.fingerprint import fingerprint, mask
from monitor import runbook
from monitor.common.severity import Severity
from monitor.domain.model import Alert, Confidence, Finding, KnownAlert
from monitor.github.alerts import AlertItem, AlertLocation, finding_id, severity
from monitor.intake.protocol import AlertIntake, ScanError

__all__ = ["FALLBACK_RULE", "OTHER", "Kind", "SecretIdentity", "identity", "kinds", "record"]

SYSTEM = "GitHub"
FALLBACK_RULE = "github-secret-scanning"
UNKNOWN_VALUE = "(value not known)"


@dataclass(frozen=True, slots=True)
class Kind:
    """`rule`: id of ours, None where no rule takes such a secret; then `runbook` and `severity` hold."""

    rule: str | None = None
    runbook: str = "generic-secret"
    severity: Severity = "high"


OTHER = Kind()  # a type that GitHub has made since, or a pattern of the user's own


@cache
def kinds() -> Mapping[str, Kind]:
    """By GitHub's `secret_type`."""
    table = tomllib.loads(resources.files("monitor.github").joinpath("types.toml").read_text(encoding="utf-8"))
    found = {kind: Kind(rule) for kind, rule in table["rules"].items()}
    for book, levels in table["issuers"].items():
        for level, names in levels.items():
            found |= {name: Kind(None, book, cast(Severity, level)) for name in names}
    return found


@dataclass(frozen=True, slots=True)
class SecretIdentity:
    """Which secret an alert is about, and how it is shown. Holds no value."""

    fingerprint: str
    provisional: bool
    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    masked: str
    runbook: str | None
    labels: Mapping[str, str]


async def identity(
    item: AlertItem, *, host: str, key: bytes, intake: AlertIntake, known: KnownAlert | None
) -> SecretIdentity:
    """Takes the value out of `item`; after this nothing holds it."""
    value = item.take_secret()
    finding: Finding | None = None
    masked = UNKNOWN_VALUE
    provisional = False
    if value is not None:
        whole = fingerprint(key, value)
        try:
            finding = _best(await intake.identify(as_logged(item.secret_type, value)), whole, intake)
        except ScanError:  # then it is the value itself, and the alerts behind it are read
            finding = None
        print_ = finding.fingerprint if finding else whole
        masked = finding.masked if finding else mask(value)
    elif known is not None and not known.provisional:
        return SecretIdentity(
            known.fingerprint,
            False,
            known.rule,
            known.name,
            known.base,
            known.confidence,
            known.masked,
            known.runbook,
            {},
        )
    else:
        # Its place stands for it until the value is known; cannot meet a real fingerprint, nor be guessed without key.
        print_, provisional = fingerprint(key, f"github-alert {item.id(host)}".encode()), True
    del value

    # A rule that took the value knows best (GitHub's types are coarser); else what the type stands for.
    rule = intake.rule(finding.rule) if finding is not None and not _generic(finding, intake) else None
    kind = kinds().get(item.secret_type, OTHER)
    if rule is None:
        rule = intake.rule(kind.rule or "")
    if rule is not None:
        level, book, confidence = rule.severity, runbook.of(rule), rule.confidence
        if finding is not None and finding.rule == rule.id:
            level, confidence = finding.severity, finding.confidence  # a JWT's role, a test key: read from the value
        return SecretIdentity(
            print_, provisional, rule.id, rule.name, level, confidence, masked, book, finding.labels if finding else {}
        )
    return SecretIdentity(
        print_, provisional, FALLBACK_RULE, item.name, kind.severity, "high", masked, kind.runbook, {}
    )


def as_logged(secret_type: str, value: bytes) -> bytes:
    """The value bare, and in the words that rules bound to a keyword look for: GitHub's types name the issuer."""
    if secret_type.endswith("_authentication_header"):
        return b"Authorization: " + value + b"\n"
    return value + b"\n" + secret_type.encode() + b'="' + value + b'"\n'


def _generic(found: Finding, intake: AlertIntake) -> bool:
    rule = intake.rule(found.rule)
    return rule is None or rule.family == "generic"


def _best(found: Sequence[Finding], whole: str, intake: AlertIntake) -> Finding | None:
    """A rule that knows the issuer before a generic one, the whole value before a part of it."""
    return min(found, key=lambda one: (_generic(one, intake), one.fingerprint != whole), default=None)


def record(
    item: AlertItem,
    who: SecretIdentity,
    places: Sequence[AlertLocation],
    *,
    source: str,
    host: str,
    quiet_before: float,
    read: float,
) -> tuple[Alert, list[Finding]]:
    """The alert and one finding for each of its places; for an alert without any, one that links to its page."""
    alert_id = item.id(host)
    level = severity(who.severity, item)
    labels = {**who.labels, **item.labels}
    alert = Alert(
        id=alert_id,
        system=SYSTEM,
        source=source,
        url=item.url,
        fingerprint=who.fingerprint,
        provisional=who.provisional,
        severity=level,
        state=item.state,
        created=item.created,
        updated=item.updated,
        resolution=item.resolution,
        resolved=item.resolved,
        labels=labels,
        quiet=item.created < quiet_before,
        base=who.severity,
        read=read,
    )
    findings = [
        Finding(
            id=finding_id(alert_id, place.key),
            rule=who.rule,
            name=who.name,
            severity=level,
            confidence=who.confidence,
            fingerprint=who.fingerprint,
            masked=who.masked,
            source=source,
            path=place.path,
            generation=alert_id,
            offset=0,
            time=item.created,
            line=place.line,
            column=place.column,
            labels=labels,
            runbook=who.runbook,
            url=place.url or item.url or None,
        )
        for place in (places or [AlertLocation("", item.repo, url=item.url or None)])
    ]
    return alert, findings
