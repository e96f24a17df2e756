from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.common.notification import Location, Notification
from sinks.picture import render
from tests.fakes.notifications import EXAMPLES, event, incident, notification, notifications


def plain(message: Notification, **keys: Any) -> str:
    return "\n".join(line.plain for line in render(message, **keys))


def test_only_the_edge_and_the_badge_have_the_colour_of_the_severity() -> None:
    for line in render(notification()):
        red = [line.plain[span.start : span.end] for span in line.spans if "red" in str(span.style)]
        assert (red, str(line.style)) == ((["┃ "], "") if "CRITICAL" not in line.plain else (["┃ ", " CRITICAL "], ""))


def test_states() -> None:
    resolved = plain(notification(incident(state="resolved"), reason="resolved"))
    assert resolved.startswith("┃  RESOLVED  GitHub personal access token\n")
    assert "ack" not in plain(notification(incident(state="resolved"), reason="resolved"))
    taken = plain(notification(incident(state="acknowledged", owner="ana"), reason="acknowledged"))
    assert "owner    ana" in taken
    assert "incidents ack" not in taken


def test_a_group_is_a_list() -> None:
    many = [incident(id=f"id{n}", severity="high" if n else "critical") for n in range(12)]
    lines = plain(notification(*many, reason="digest")).splitlines()
    assert lines[0] == "┃  CRITICAL  12 secrets (GitHub personal access token) exposed"
    row = "┃ critical GitHub personal access token ghp_a1B2… /var/log/app/api.log:1042 17× id0"
    assert " ".join(lines[1].split()) == row
    assert len(lines) == 1 + 10 + 4
    assert lines[-4] == "┃          and 2 more"
    assert lines[-3] == "┃ by rule  12 × GitHub personal access token"
    assert lines[-2].startswith("┃ first    Revoke the token on GitHub")
    assert lines[-1] == "┃ all      cd /srv/monitor && .venv/bin/monitor incidents list"


def test_operational_events_are_wrapped_prose() -> None:
    text = "Reading has stopped at a safe place. " * 5
    lines = plain(event(text=text), width=60).splitlines()
    assert lines[0] == "┃  HIGH  The state disk is full"
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)


def test_paths_are_never_wrapped_and_more_is_counted() -> None:
    places = tuple(Location("s", "/very/long" * 30 + str(n), 0, n) for n in range(5))
    shown = plain(notification(incident(locations=places)), width=40, bar="|")
    assert f"| where    {places[0].path}:0  s" in shown
    assert "and 2 more: cd /srv/monitor && .venv/bin/monitor incidents show 7f3a9c2e" in shown


@EXAMPLES
@given(notifications, st.integers(1, 200))
def test_hostile_text_cannot_draw(message: Notification, width: int) -> None:
    for line in render(message, width=width):
        assert line.plain.isprintable()
        line.plain.encode()
