from __future__ import annotations

from dataclasses import replace

from monitor import runbook
from monitor.delivery.render import render
from monitor.domain.incidents import Incident
from monitor.report.view import Links
from monitor.store import Leased

INCIDENT = Incident("i", "f", "r", "N", "high", "high", "open", "m", 1.0, 2.0, 3, runbook="aws-key")


def no_book(name: str | None) -> None:
    return None


def leased(*found: Incident, **changes: object) -> Leased:
    values: dict[str, object] = {
        "id": "n", "sink": "chat", "key": "k", "reason": "new", "incidents": found, "title": "", "text": "",
        "severity": "info", "receipt": None, "attempts": 0, "created_at": 1.0,
    }  # fmt: skip
    return Leased(**{**values, **changes})  # type: ignore[arg-type]


def test_one_incident_brings_its_links() -> None:
    links = Links(console="https://monitor.example", runbooks="https://wiki.example")
    shown = render(leased(INCIDENT), links=links, books=runbook.load)
    assert (shown.url, shown.runbook) == ("https://monitor.example/incidents/i", "https://wiki.example/aws-key")
    book = runbook.load("aws-key")
    assert book is not None
    assert (shown.severity, shown.incidents[0].first_step) == ("high", book.advice({}))


def test_what_is_overdue_may_be_told_as_worse_than_the_incident_is_and_wakes_who_has_acknowledged() -> None:
    taken = replace(INCIDENT, state="acknowledged")
    shown = render(leased(taken, reason="overdue", severity="critical"), links=Links(), books=no_book)
    assert (shown.severity, shown.action) == ("critical", "trigger")
    mild = render(leased(taken, reason="acknowledged", severity="critical"), links=Links(), books=no_book)
    assert (mild.severity, mild.action) == ("high", "acknowledge")


def test_several_incidents_are_the_worst_first_and_link_to_the_list() -> None:
    other = Incident("j", "g", "r", "N", "critical", "high", "open", "m", 1.0, 2.0, 3)
    shown = render(leased(INCIDENT, other, reason="digest"), links=Links("https://m.example"), books=no_book)
    assert [incident.id for incident in shown.incidents] == ["j", "i"]
    older, taken = replace(other, id="k", first_seen=0.5, last_seen=1.5), replace(other, id="a", state="acknowledged")
    as_listed = render(leased(taken, INCIDENT, other, older), links=Links(), books=no_book)
    assert [incident.id for incident in as_listed.incidents] == ["k", "j", "i", "a"]
    assert (shown.severity, shown.title, shown.url) == (
        "critical", "2 new incidents", "https://m.example/incidents?told=n&state=all",
    )  # fmt: skip


def test_without_incidents_it_says_what_it_was_given() -> None:
    shown = render(leased(title="A test", reason="test", severity="low"), links=Links(), books=no_book)
    assert (shown.title, shown.severity, shown.incidents, shown.url) == ("A test", "low", (), None)
