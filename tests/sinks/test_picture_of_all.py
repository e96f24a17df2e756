"""Whatever shows an incident answers the same questions about it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from monitor.common.notification import IncidentView, Notification
from monitor.common.payload import record
from sinks.alertmanager import alerts
from sinks.chat import FORMATS
from sinks.email import compose
from sinks.pagerduty.sink import event
from sinks.picture import render
from sinks.slack.blocks import message
from tests.fakes.console import page_about
from tests.fakes.notifications import NOW, RUN, incident, notification

TAKEN = incident(
    state="acknowledged",
    actor="ada",
    owner="grace",
    run=RUN,
    validity="valid",
    verdict="GitHub takes it",
    asked_at=NOW,
    labels={"role": "admin"},
)


def _data(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _chat(name: str) -> Callable[[Notification], str]:
    return lambda told: re.sub(r"[\u200b\\]", "", _data(FORMATS[name](told)))


SHOWN: Mapping[str, Callable[[Notification], str]] = {
    "slack": lambda told: re.sub(
        r"<!date\^[^|>]*\|([^>]*)>", r"\1", _data(message(told))
    ),  # as who has no clock reads it
    "pagerduty": lambda told: event(told, "k" * 32).decode(),
    "mail": lambda told: compose(told, "a@b.example", ("c@d.example",), NOW).get_content(),
    "discord": _chat("discord"),
    "teams": _chat("teams"),
    "terminal": lambda told: "\n".join(line.plain for line in render(told, width=300)),
    "alertmanager": lambda told: _data(alerts(told, NOW, timedelta(hours=1))),
    "page": lambda told: html.unescape(re.sub(r"<[^>]+>", " ", page_about(told.incidents[0]))),
}


@pytest.mark.parametrize("where", SHOWN)
def test_everything_that_shows_an_incident_answers_the_same_questions(where: str) -> None:
    text = SHOWN[where](notification(TAKEN, reason="overdue", title="Overdue"))
    for question, answer in {
        "what": TAKEN.masked,
        "whose": "admin",
        "where, on which host, of which service": "payments on web-3, services",
        "in which line": "/var/log/app/api.log:1042",
        "what stands around it": "login with token=ghp_a1B2",
        "since when by the log's clock": "2026-11-02 11:03:07 UTC",
        "since when by ours": "2026-11-02 13:58:07 UTC",
        "how sure": "high",
        "whether it works, asked when": "valid: GitHub takes it, asked 2026-11-02 14:03:07 UTC",
        "who decided": "acknowledged by ada",
        "whose it is to do": "grace",
        "what next": "deploy",
    }.items():
        if where == "page" and question == "what next":
            answer = "runbook claim 7f3a9c2e deploy"  # noqa: PLW2901 - its table of steps is given apart
        assert answer in text, f"{where} does not say {question}"


@pytest.mark.parametrize("where", sorted(SHOWN.keys() - {"pagerduty", "alertmanager"}))
def test_people_are_told_what_to_type_in_each_state(where: str) -> None:
    def text(shown: IncidentView) -> str:
        return SHOWN[where](notification(shown))

    assert "incidents resolve 7f3a9c2e --as revoked" in text(TAKEN)
    assert "incidents ack 7f3a9c2e" in text(incident())
    over = text(incident(state="resolved", resolution="revoked"))
    assert not re.search("incidents (ack|resolve)", over)
    assert incident().first_step not in over


def test_scripts_are_told_all_of_it() -> None:
    shown = record(TAKEN)
    assert all(shown[name] for name in shown.keys() - {"resolution", "note", "verified"})
