from __future__ import annotations

from monitor.delivery.render import FIRST_STEP, Links, present, render
from monitor.incidents import Incident
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
