from __future__ import annotations

import pytest

from monitor.routing.match import Matcher


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ('severity="critical"', {"severity": "critical"}, True),
        ("severity=critical", {"severity": "critical"}, True),
        (' severity = "critical" ', {"severity": "critical"}, True),
        ('severity!="critical"', {"severity": "high"}, True),
        ('severity!="critical"', {}, True),
        ('severity=""', {}, True),
        ('rule=~"github-.*"', {"rule": "github-pat"}, True),
        ('rule=~"github"', {"rule": "github-pat"}, False),
        ('rule=~"pat"', {"rule": "github-pat"}, False),
        ('rule!~"github-.*|npm"', {"rule": "npm"}, False),
        ('rule!~"github-.*|npm"', {"rule": "slack"}, True),
        ('path=~"/var/log/app\\.log"', {"path": "/var/log/app.log"}, True),
        ('path=~"/var/log/app\\.log"', {"path": "/var/log/appxlog"}, False),
        ('name="a \\"quoted\\" name"', {"name": 'a "quoted" name'}, True),
        ('name=~"(?i)GITHUB.*"', {"name": "github token"}, True),
        ('rule="apify-token"', {"rule": "apify-api-token"}, True),  # by an id it had
        ('rule="apify-api-token"', {"rule": "apify-token"}, True),  # what it made when it had it
        ('rule!="apify-token"', {"rule": "apify-api-token"}, False),
        ('rule=~"apify-t.*"', {"rule": "apify-api-token"}, True),
        ('rule!~"apify-t.*"', {"rule": "apify-api-token"}, False),
        ('rule="superset-secret-key"', {"rule": "generic-secret"}, False),  # a broader rule has only what it found
        ('name="apify-token"', {"name": "apify-api-token"}, False),
    ],
)
def test_matchers(text: str, values: dict[str, str], expected: bool) -> None:
    matcher = Matcher.parse(text)
    assert matcher.matches(values) is expected
    again = Matcher.parse(str(matcher))
    assert again == matcher
    assert again.matches(values) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("severity", "not a matcher"),
        ("=critical", "not a matcher"),
        ('severity=="critical"', 'write severity="'),
        ("severity==critical", "== is no operator"),
        ("rule=~~x", "is no operator"),
        ('severity="critical', "not closed"),
        ('severity="a" and rule="b"', "not closed"),
        ('rule=~"("', "not valid RE2: missing"),
        ('rule=~"(?=x)"', "not valid RE2"),
    ],
)
def test_bad_matchers_say_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Matcher.parse(text)


def test_a_hostile_regex_stays_linear() -> None:
    matcher = Matcher.parse('path=~"(a+)+$"')
    assert not matcher.matches({"path": "a" * 50_000 + "b"})  # or it would never end


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('severity="critcal"', 'did you mean "critical"?; this never matches'),
        ('severity=~"crit"', "this never matches"),
        ('state!="closed"', "this always matches"),
        ('confidence="hi"', "confidence is one of high, medium, low"),
        ('severity=~"critical|high"', None),
        ('severity!~"low|info"', None),
        ('severity=""', None),
        ('team="critcal"', None),
    ],
)
def test_what_no_incident_has_cannot_be_meant(text: str, why: str | None) -> None:
    found = Matcher.parse(text).impossible()
    assert found is None if why is None else why in str(found)
