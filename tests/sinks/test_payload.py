from __future__ import annotations

import json
from typing import get_args

import orjson
from hypothesis import given

from monitor.common.notification import Location, Notification, Reason
from sinks.payload import encode, payload
from tests.fakes.notifications import EXAMPLES, RUN, event, incident, notification, notifications
from tests.fakes.webhook import SCHEMA, check_payload


def test_the_documented_schema_names_every_field_and_no_other() -> None:
    whole = payload(notification())
    described = {"": SCHEMA["properties"]} | {
        name: kind.get("properties", {}) for name, kind in SCHEMA["$defs"].items()
    }
    assert described[""].keys() == whole.keys()
    assert described["incident"].keys() == whole["incidents"][0].keys()
    assert described["location"].keys() == whole["incidents"][0]["locations"][0].keys()
    assert set(get_args(Reason)) == set(SCHEMA["properties"]["reason"]["enum"])
    for kind in (SCHEMA, *SCHEMA["$defs"].values()):
        assert set(kind.get("required", ())) == kind.get("properties", {}).keys()  # fields are never left out


def test_a_run_under_way_is_in_the_payload_with_the_command_to_claim() -> None:
    sent = payload(notification(incident(run=RUN)))
    run = sent["incidents"][0]["run"]
    assert run == {
        "book": "github-token",
        "order": "contain",
        "done": 2,
        "total": 9,
        "step": "deploy",
        "title": "Deploy the replacement",
        "deadline": "2026-11-02T14:33:07Z",
        "overdue": True,
        "owner": None,
        "claim": "cd /srv/monitor && .venv/bin/monitor runbook claim 7f3a9c2e deploy",
    }
    assert SCHEMA["$defs"]["run"]["properties"].keys() == run.keys()


def test_only_a_test_of_the_sink_is_a_drill() -> None:
    assert payload(event(reason="test"))["drill"] is True
    assert payload(notification(incident(labels={"drill": "true"})))["drill"] is False, "labels may come from a log"


def test_nothing_is_cut() -> None:
    many = tuple(Location("services", f"/var/log/{n}/" + "x" * 4000, n, n) for n in range(500))
    sent = json.loads(encode(notification(*[incident(locations=many)] * 3)))
    assert [len(one["locations"]) for one in sent["incidents"]] == [500, 500, 500]
    assert sent["incidents"][0]["locations"][499]["path"].endswith("x" * 4000)
    assert sent["url"] is None


def test_operational_events_have_words_and_no_incidents() -> None:
    sent = payload(event())
    assert (sent["reason"], sent["incidents"]) == ("operational", [])
    assert sent["title"] == "The state disk is full"


@EXAMPLES
@given(notifications)
def test_any_notification_is_one_line_of_valid_json(message: Notification) -> None:
    body = encode(message)
    assert b"\n" not in body
    problems = check_payload(orjson.loads(body))
    assert problems == ([] if message.id else ["id: '' should be non-empty"])


def test_the_title_is_one_line() -> None:
    assert payload(event(title="a\nb\x1b[31m"))["title"] == "a\\nb\\x1b[31m"
