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


# Generic rules for rare places, off by default while there were any: on text that others wrote they found next to
# nothing that the other rules did not.
_WIDE = (
    "application-salt aspnet-identity-password audit-argument audit-user-password authorization-scheme "
    "basic-encoded-in-shell bitcoin-plain-rpc blynk-auth-token chpasswd-plain cisco-plain-password cli-plain-pair "
    "client-auth-call cloudformation-default cobol-moved community-string device-password device-routing-key "
    "dialogue-pass directory-bind elastic-setup-password expect-send express-plain-keys flask-plain-key "
    "generic-application-key generic-argument generic-as-the generic-asked generic-asked-for generic-asserted "
    "generic-auth-pair generic-bare-dsn generic-basic-user generic-basic-user-call generic-basic-user-fields "
    "generic-basic-user-url generic-beside generic-bound generic-boxed generic-bracketed "
    "generic-brief-address generic-brief-builder generic-brief-command generic-brief-connected generic-brief-dsn "
    "generic-brief-element generic-brief-setting generic-brief-string generic-build-field generic-changed "
    "generic-changed-to generic-char-array generic-cipher-key generic-cli-short-option generic-client-key "
    "generic-client-made generic-column-last generic-column-second generic-column-third generic-command "
    "generic-command-idiom generic-command-more generic-commented generic-commented-key generic-compared-reversed "
    "generic-config-word generic-connected generic-connected-to generic-credential-list generic-crypto-call "
    "generic-default-credentials generic-defined generic-described generic-directive generic-documented "
    "generic-dumped-short generic-element generic-entry generic-escaped-value generic-expected generic-fallback "
    "generic-field-default generic-field-filled generic-generated generic-given generic-hashed generic-header-short "
    "generic-host-port-user generic-html-cell generic-id-and-secret generic-initialised generic-issuer-name "
    "generic-joined generic-json-token generic-key-arrow generic-key-bytes generic-key-decoded generic-key-handed "
    "generic-key-option generic-leader generic-list-pair generic-login-call generic-login-logged generic-login-pair "
    "generic-map-first generic-markup-label generic-meta-data generic-named-token generic-network-words "
    "generic-opened generic-pair generic-pair-flow generic-pair-logged generic-pair-reversed generic-pair-typed "
    "generic-pass-option generic-password-declared generic-password-listed generic-password-said generic-pat "
    "generic-pgpass generic-plain-called generic-plain-cjk generic-plain-column generic-plain-default "
    "generic-plain-fallback generic-plain-pin generic-plain-said generic-plain-session generic-printed "
    "generic-pw-said generic-said-of generic-scheme-pair generic-secret-ampersand generic-secret-declared "
    "generic-secret-line generic-secret-near generic-section-key generic-service-key generic-session-words "
    "generic-set-secret generic-setting generic-short-compared generic-short-name generic-shown generic-signing-call "
    "generic-sk-key generic-sql-declared generic-stored-password generic-sudo-echo generic-table-cell "
    "generic-table-key generic-tagged generic-term generic-test-case generic-told-below generic-told-first "
    "generic-told-later generic-typed generic-typographic generic-user-and-p generic-user-option generic-userpwd "
    "generic-validated generic-value-attribute generic-value-first generic-winscp gossip-key irc-pass-first "
    "jmeter-secret joined-pass json-rpc-login jwt-signing-secret keepalived-password key-base ldap-plain-bind "
    "listed-mysql-password mail-relay-password mikrotik-password modem-login mysql-connect mysql-plain-dsn "
    "mysql-set-password nagios-user-macro nats-token notification-url-parts notification-url-user omniauth-provider "
    "openssl-brief-pass openvpn-inline-password otp-seed passwords-of-users postman-apikey ppp-secret "
    "rails-plain-basic recorded-basic recovery-code redis-auth redis-auth-sent redis-wire rest-client-basic "
    "sasl-plain-sent secret-token-uri session-cookie-named sip-registration sk-underscore-key smtp-login-encoded "
    "spring-noop-password sql-crypt-call sql-inserted sql-inserted-fifth sql-inserted-first sql-inserted-fourth "
    "sql-inserted-login sql-inserted-second sql-inserted-third sql-inserted-word sql-login-procedure sql-plain-role "
    "sql-set-where sshpass-plain symfony-dsn-key terraform-random-password tool-argument-password tool-here-string "
    "tool-option-password tool-piped-secret tool-piped-twice tool-user-and-password tool-word-password "
    "typed-at-prompt windows-wifi-key"
).split()

# Each by its examples, which the rule named finds (tests/detectors/rules/test_gone.py).
GONE: Mapping[str, Gone] = {
    **dict.fromkeys(_WIDE, Gone("generic", "generic")),
    "apify-token": Gone("ai", "vendor", "apify-api-token"),
    "azure-openai-key": Gone("ai", "keyword", "azure-cognitive-key"),
    "azure-openai-key-long": Gone("ai", "keyword", instead="generic-secret"),
    "chroma-cloud-api-key": Gone("ai", "vendor", "chroma-api-key"),
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
