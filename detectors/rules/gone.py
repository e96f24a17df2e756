"""Ids of rules that went. What names one (routes, silences, `disable`, an open incident) goes on by its heir."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

__all__ = ["GONE", "Form", "Gone", "heir", "names"]

# What a rule goes by: the format of one vendor; a vendor's name near a value of no certain format; neither; a rule that
# we do not ship.
Form = Literal["vendor", "keyword", "generic", "custom"]


class Gone(NamedTuple):
    """`heir`: the rule that finds the same credential now. `instead`: where there is none, a broader one that finds it
    among others; what names the old one is not taken for it, as that would hide what nobody spoke of."""

    family: str
    form: Form  # both as they were, for routes
    heir: str = ""
    instead: str = ""


# Each by its examples, which the rule named finds (tests/detectors/rules/test_gone.py).
GONE: Mapping[str, Gone] = {
    "apify-token": Gone("ai", "vendor", "apify-api-token"),
    "azure-openai-key": Gone("ai", "keyword", "azure-cognitive-key"),
    "azure-openai-key-long": Gone("ai", "keyword", instead="generic-secret"),
    "chroma-cloud-api-key": Gone("ai", "vendor", "chroma-api-key"),
    "cobol-moved": Gone("generic", "generic", instead="generic-value-first"),
    "customer-io-api-key": Gone("marketing", "keyword", "customerio-api-key"),
    "finicity-partner-secret": Gone("payments", "keyword", "finicity-secret"),
    "firebase-cloud-messaging-server-key": Gone("identity", "vendor", "fcm-server-key"),
    "firebase-registration-token": Gone("identity", "vendor", "fcm-device-token"),
    "gcp-recaptcha-secret": Gone("cloud", "keyword", "google-recaptcha-secret"),
    "generic-service-key-camel": Gone("generic", "generic", instead="generic-key"),
    "kafka-sasl-jaas-password": Gone("data", "vendor", "kafka-jaas-password"),
    "mailgun-private-key": Gone("email", "vendor", "mailgun-legacy-api-key"),
    "metabase-secret-key": Gone("data", "keyword", instead="generic-secret"),
    "nhost-admin-secret": Gone("hosting", "keyword", "hasura-admin-secret"),
    "superset-secret-key": Gone("data", "keyword", instead="generic-secret"),
}


def heir(rule_id: str) -> str:
    """The id it goes by now: its own, unless it went and has an heir."""
    gone = GONE.get(rule_id)
    return gone.heir if gone is not None and gone.heir else rule_id


def _groups() -> Iterable[tuple[str, ...]]:
    heirs: dict[str, list[str]] = {}
    for old, gone in GONE.items():
        if gone.heir:
            heirs.setdefault(gone.heir, [gone.heir]).append(old)
    return map(tuple, heirs.values())


_NAMES = {name: group for group in _groups() for name in group}


def names(rule_id: str) -> tuple[str, ...]:
    """Every id that this rule has or had."""
    return _NAMES.get(rule_id, (rule_id,))
