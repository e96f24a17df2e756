from __future__ import annotations

from dataclasses import replace

from monitor import runbook
from monitor.delivery.render import FIRST_STEP, Links, present, render
from monitor.incidents import Incident
from monitor.runbook.progress import act, begin
from monitor.store import Leased

INCIDENT = Incident("i", "f", "r", "N", "high", "high", "open", "m", 1.0, 2.0, 3, runbook="keys")


def leased(*found: Incident, **changes: object) -> Leased:
    values: dict[str, object] = {
        "id": "n", "sink": "chat", "key": "k", "reason": "new", "incidents": found, "title": "", "text": "",
        "severity": "info", "receipt": None, "attempts": 0, "created_at": 1.0,
    }  # fmt: skip
    return Leased(**{**values, **changes})  # type: ignore[arg-type]


def test_present_has_a_first_step_without_a_runbook() -> None:
    shown = present(INCIDENT)
    assert shown.first_step == FIRST_STEP
    assert (shown.url, shown.runbook, shown.occurrences) == (None, None, 3)


def test_one_incident_brings_its_links() -> None:
    links = Links(console="https://monitor.example", runbooks="https://wiki.example")
    shown = render(leased(INCIDENT), links=links, first_step=lambda name: f"see {name}")
    assert (shown.url, shown.runbook) == ("https://monitor.example/incidents/i", "https://wiki.example/keys")
    assert (shown.severity, shown.incidents[0].first_step) == ("high", "see keys")


def test_a_run_under_way_says_what_is_next_and_an_ended_one_nothing() -> None:
    book = runbook.load("aws-key")
    assert book is not None
    run = begin("i", book, {"severity": "critical"}, 1000.0)
    shown = present(INCIDENT, run=run, first_step=lambda _: "Revoke it.")
    assert shown.first_step == "Revoke it."
    assert shown.run is not None
    assert (shown.run.step, shown.run.done, shown.run.total, shown.run.overdue) == ("revoke", 0, 9, False)
    run, _ = act(run, "revoke", "done", actor="ada", now=1001.0)
    run, _ = act(run, "replace", "claim", actor="ada", now=1001.0)
    shown = present(INCIDENT, run=run, first_step=lambda _: "Revoke it.")
    assert shown.first_step == "Generate the replacement."
    assert shown.run is not None
    assert (shown.run.step, shown.run.done, shown.run.owner) == ("replace", 1, "ada")
    assert present(INCIDENT, run=replace(run, ended=1002.0)).run is None


def test_what_is_overdue_may_be_told_as_worse_than_the_incident_is_and_wakes_who_has_acknowledged() -> None:
    taken = replace(INCIDENT, state="acknowledged")
    shown = render(leased(taken, reason="overdue", severity="critical"), links=Links(), first_step=lambda _: None)
    assert (shown.severity, shown.action) == ("critical", "trigger")
    mild = render(leased(taken, reason="acknowledged", severity="critical"), links=Links(), first_step=lambda _: None)
    assert (mild.severity, mild.action) == ("high", "acknowledge")


def test_several_incidents_are_the_worst_first_and_link_to_the_list() -> None:
    other = Incident("j", "g", "r", "N", "critical", "high", "open", "m", 1.0, 2.0, 3)
    shown = render(
        leased(INCIDENT, other, reason="digest"), links=Links("https://m.example"), first_step=lambda _: None
    )
    assert [incident.id for incident in shown.incidents] == ["j", "i"]
    assert (shown.severity, shown.title, shown.url) == ("critical", "2 new incidents", "https://m.example/incidents")


def test_without_incidents_it_says_what_it_was_given() -> None:
    shown = render(leased(title="A test", reason="test", severity="low"), links=Links(), first_step=lambda _: None)
    assert (shown.title, shown.severity, shown.incidents, shown.url) == ("A test", "low", (), None)
