from __future__ import annotations

from monitor.config.config import parse
from monitor.config.outdated import matchers, outdated

TEXT = """
[rules]
disable = ["apify-token", "superset-secret-key", "github-pat"]
[[sinks]]
name = "screen"
type = "console"
[[routes]]
matchers = ['rule="customer-io-api-key"', 'rule=~"apify-token"', 'severity="high"']
sinks = ["screen"]
[[routes]]
sinks = ["screen"]
[[silences]]
matchers = ['rule!="cobol-moved"', 'name="apify-token"']
comment = "x"
[verify]
matchers = ['team="a"']
[[verify.severities]]
matchers = ['rule="nhost-admin-secret"']
severity = "low"
[[actions]]
name = "revoke"
rules = ["mailgun-private-key", "acme-*"]
type = "command"
command = ["/usr/bin/true"]
"""


def test_what_names_a_rule_that_went_is_told_with_what_it_goes_by() -> None:
    found = list(outdated(parse(TEXT), ["apify-token", "acme", "superset-secret-key"]))
    assert [(one.key, one.rule, one.heir) for one in found] == [
        ("rules.disable[0]", "apify-token", "apify-api-token"),
        ("rules.disable[1]", "superset-secret-key", ""),
        ("routes[0].matchers[0]", "customer-io-api-key", "customerio-api-key"),
        ("silences[0].matchers[0]", "cobol-moved", ""),
        ("verify.severities[0].matchers[0]", "nhost-admin-secret", "hasura-admin-secret"),
        ("actions[0].rules[0]", "mailgun-private-key", "mailgun-legacy-api-key"),
        ("rules.paths", "apify-token", "apify-api-token"),
    ]
    assert "write apify-api-token" in found[0].message
    assert "generic-secret finds what it found, among others; this does nothing any more" in found[1].message
    assert "is about incidents alone that it made" in found[3].message
    assert "takes the place of apify-api-token" in found[-1].message


def test_a_configuration_of_today_names_none() -> None:
    assert list(outdated(parse(""))) == []


def test_every_matcher_has_its_place() -> None:
    assert [key for key, _ in matchers(parse(TEXT))] == [
        *(f"routes[0].matchers[{place}]" for place in range(3)),
        "silences[0].matchers[0]",
        "silences[0].matchers[1]",
        "verify.matchers[0]",
        "verify.severities[0].matchers[0]",
    ]
