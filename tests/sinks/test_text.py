from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given

from monitor.common.notification import Location, Notification
from sinks.text import (
    ago,
    claim,
    command,
    facts,
    first_steps,
    headline,
    instant,
    link,
    links,
    listing,
    origin,
    place,
    seen,
    steps,
    sure,
    surroundings,
)
from tests.fakes.notifications import NOW, RUN, event, incident, notification, notifications


def test_how_far_the_runbook_is_and_how_to_take_the_next_step() -> None:
    assert (steps(incident()), claim(incident())) == ("", "")
    late = incident(run=RUN)
    said = "2 of 9 done; next: Deploy the replacement, due 2026-11-02 14:33 UTC (overdue)"
    assert steps(late) == said
    assert claim(late) == "cd /srv/monitor && .venv/bin/monitor runbook claim 7f3a9c2e deploy"
    taken = incident(run=replace(RUN, owner="ada"))
    assert (steps(taken), claim(taken)) == (f"{said}, claimed by ada", "")
    assert steps(incident(run=replace(RUN, step=None, done=9))) == "9 of 9 done"
    assert headline(notification(reason="overdue", title="Overdue: Deploy it")).startswith("Overdue: Deploy it (GitHub")


def test_times_are_rfc_3339_in_utc() -> None:
    assert instant(datetime(2026, 11, 2, 15, 0, tzinfo=timezone(timedelta(hours=1)))) == "2026-11-02T14:00:00Z"
    assert instant(datetime(2026, 11, 2, 14, 0, 0, 250000)) == "2026-11-02T14:00:00.250000Z"  # noqa: DTZ001 naive on purpose
    assert [ago(s) for s in (-1, 59, 60, 119, 7199, 7200, 86400 * 3)] == [
        *("0 s", "59 s", "1 min", "1 min", "119 min", "2 h", "3 days")
    ]


def test_seen_says_how_often_and_since_when() -> None:
    logged = "logged 2026-11-02 11:03:07 UTC, seen 2026-11-02 13:58:07 UTC"
    assert seen(incident()) == f"17 times in 5 min, first {logged}"
    assert seen(incident(occurrences=1)) == f"once, {logged}"
    untold = incident(occurrences=1200, first_seen=NOW, first_logged=None)
    assert seen(untold) == "1,200 times, first seen 2026-11-02 14:03:07 UTC"
    assert seen(incident(occurrences=1, first_logged=None)) == "once, seen 2026-11-02 13:58:07 UTC"


def test_whose_log_it_is_as_far_as_that_is_known() -> None:
    for known, words in (
        ({"host": "web-3", "service": "api"}, "api on web-3, services"),
        ({"host": "web-3"}, "web-3, services"),
        ({"service": "api\x1b"}, "api\\x1b, services"),
        ({}, "services"),
    ):
        assert origin(Location("services", "/a", **known)) == words


def test_the_line_shown_is_the_newest_that_can_be() -> None:
    places = (Location("s", "/a"), Location("s", "/b", context="one\u202e"), Location("s", "/c", context="two"))
    assert surroundings(incident(locations=places)) == "one\\u202e"
    assert surroundings(incident(locations=())) == ""


def test_commands_are_those_of_the_program_that_runs() -> None:
    other = incident(program="/opt/monitor", options=" --config /a")
    assert command(other) == "/opt/monitor incidents ack 7f3a9c2e --config /a"
    assert command(other, "show") == "/opt/monitor incidents show 7f3a9c2e --config /a"
    assert listing(notification(other)) == "/opt/monitor incidents list --config /a"
    assert (sure(other), sure(incident(confidence=""))) == ("high confidence", "")


def test_place_prefers_the_line() -> None:
    assert place(Location("s", "/a", 5, 7)) == "/a:7"
    assert place(Location("s", "/a", 5)) == "/a (byte 5)"
    assert place(Location("s", "/a")) == "/a"
    assert facts(incident(labels={"role": "service_role", "account": "12"})) == "account=12, role=service_role"


def test_headlines() -> None:
    assert headline(notification()) == "GitHub personal access token exposed"
    assert headline(notification(reason="reopened")).endswith("token: seen again after it was resolved")
    assert headline(notification(reason="escalated")).endswith("token: now critical")
    assert headline(notification(incident(), incident())) == "2 secrets (GitHub personal access token) exposed"
    other = incident(rule="other")
    assert headline(notification(incident(), other)) == "2 secrets (GitHub personal access token and others) exposed"
    assert headline(event()) == "The state disk is full"
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
