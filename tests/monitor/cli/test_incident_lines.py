from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.cli.incident_lines import columns, shown
from monitor.common.notification import IncidentView
from tests.fakes.notifications import NOW, RUN, incident


def said(one: IncidentView) -> dict[str, object]:
    """What a line of the list says, by its heads."""
    cells = (column for column in columns(NOW.timestamp()) if not isinstance(column, str))
    return {head: cell(one) for head, cell in cells if not isinstance(cell, str)}


def test_a_line_says_whose_how_old_and_what_is_due() -> None:
    line = said(incident(owner="bob", state="acknowledged", run=RUN, validity="valid"))
    assert (line["state"], line["owner"], line["age"], line["due"]) == ("acked", "bob", "5m", "in 30m")
    assert line["what"] == "GitHub personal access token ghp_a1B2… (valid) in /var/log/app/api.log:1042, 17×"


@pytest.mark.parametrize(
    ("passed", "age"), [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86_400 * 12, "12d"), (-5, "0s")]
)
def test_ages_are_short(passed: int, age: str) -> None:
    assert said(incident(first_seen=NOW - timedelta(seconds=passed)))["age"] == age


def test_a_deadline_gone_by_and_none() -> None:
    late = incident(run=replace(RUN, deadline=NOW - timedelta(hours=2)))
    assert (said(late)["due"], said(incident())["due"]) == ("2h late", "-")


@pytest.mark.parametrize(
    ("rule", "line", "state", "said"),
    [
        ("generic-secret", 'event {{"dedupKey": "{}"}}', "open", '[rules] identifiers = ["dedupKey"]'),
        ("rollbar-access-token", "rollbar_token={}", "open", '[rules] identifiers = ["rollbar_token"]'),
        ("generic-secret", 'event {{"dedupKey": "{}"}}', "resolved", ""),
        ("generic-secret", "{}", "open", ""),
        ("github-pat", "token={}", "open", ""),
        ("generic-password", "password={}", "open", ""),
        ("generic-secret", "evil\u202ekey={}", "open", '[rules] identifiers = ["key"]'),
    ],
)
def test_the_line_that_says_it_is_none_stands_ready_where_a_name_told_it(
    rule: str, line: str, state: str, said: str
) -> None:
    one = incident(rule=rule, masked="q8f3…", state=state)
    place = replace(one.locations[0], context=line.format("q8f3…"))
    lines = [text for text in shown(replace(one, locations=(place,)), [], None, []) if "no secret?" in text]
    assert [said] * bool(said) == [text.split("no secret?")[1].split("(")[0].strip() for text in lines]
