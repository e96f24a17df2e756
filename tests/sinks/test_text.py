from __future__ import annotations

from hypothesis import given

from monitor.common.notification import Notification
from sinks.text import first_steps, headline, link, links, listing, summary, unmarked
from tests.fakes.notifications import EXAMPLES, event, incident, notification, notifications


def test_headlines() -> None:
    assert headline(notification()) == "GitHub personal access token exposed"
    assert headline(notification(reason="reopened")).endswith("token: seen again after it was resolved")
    assert headline(notification(reason="escalated")).endswith("token: now critical")
    assert headline(notification(incident(), incident())) == "2 secrets (GitHub personal access token) exposed"
    other = incident(rule="other")
    assert headline(notification(incident(), other)) == "2 secrets (GitHub personal access token and others) exposed"
    assert headline(event()) == "The state disk is full"
    assert headline(notification(reason="overdue", title="Overdue: Deploy it")).startswith("Overdue: Deploy it (GitHub")
    assert headline(event(title="", reason="test")) == "Test notification"


@given(notifications)
def test_a_headline_is_one_line_and_never_empty(message: Notification) -> None:
    assert headline(message)
    assert headline(message).isprintable()


def test_links_come_from_the_notification_or_its_only_incident() -> None:
    assert links(notification()) == (incident().url, incident().runbook)
    assert links(notification(url="https://all")) == ("https://all", incident().runbook)
    assert links(notification(incident(), incident())) == (None, None)
    assert link("https://a/b?c=1&d") == "https://a/b?c=1&d"
    for bad in (
        None,
        "",
        "javascript:alert(1)",
        "https://a|b",
        "https://a>b",
        "https://a b",
        "https://a\n",
        "https://" + "a" * 3000,
    ):
        assert link(bad) is None


def test_first_steps_of_a_group_are_few_different_and_of_what_is_open() -> None:
    steps = ["b", "a", "b", "", "c\x1b", "d"]
    many = [incident(first_step=step) for step in steps]
    assert first_steps(notification(incident(first_step="z", state="resolved"), *many)) == ["b", "a", "c\\x1b"]
    assert first_steps(event()) == []


def test_what_is_typed_to_see_all_is_the_program_that_runs() -> None:
    other = incident(program="/opt/monitor", options=" --config /a")
    assert listing(notification(other)) == "/opt/monitor incidents list --config /a"


def test_a_summary_says_what_the_headline_leaves_out() -> None:
    said = summary(notification(incident(state="acknowledged", actor="ada", note="at it", owner="ada")))
    assert "Decision: acknowledged by ada: at it" in said
    assert "Owner: ada" in said
    assert "Resolve: cd /srv/monitor && .venv/bin/monitor incidents resolve 7f3a9c2e --as revoked" in said
    many = summary(notification(*[incident()] * 40)).splitlines()
    assert len(many) == 13
    assert many[0] == "critical: GitHub personal access token ghp_a1B2… in /var/log/app/api.log:1042, 17×"
    assert many[10:12] == [
        "and 30 more: cd /srv/monitor && .venv/bin/monitor incidents list",
        "40 × GitHub personal access token",
    ]
    assert many[12].startswith("First: Revoke")
    late = notification(reason="overdue", title="Overdue: Deploy it", text="deploy was due")
    assert summary(late).startswith("deploy was due\nSecret: ghp_a1B2…")
    assert summary(event(text="")) == "The state disk is full"


@EXAMPLES
@given(notifications)
def test_a_summary_is_never_empty_nor_long(message: Notification) -> None:
    assert 0 < len(summary(message)) <= 4000


def test_what_begins_a_mention_or_a_link_is_kept_from_it() -> None:
    assert unmarked("@all [a](http://b) a_b.log") == "@\u200ball [\u200ba]\u200b(http://b) a_b.log"
