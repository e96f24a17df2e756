from __future__ import annotations

from hypothesis import given

from monitor.common.notification import Notification
from sinks.text import first_steps, headline, link, links, listing
from tests.fakes.notifications import event, incident, notification, notifications


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
