from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.inbound import InboundRequest, UnusableError
from sinks.pagerduty.config import PagerDutyConfig
from sinks.pagerduty.inbound import PagerDutyHook, signature
from tests.fakes.pagerduty import INTEGRATION, announcement

HOOK = PagerDutyHook()
ID = "00112233aabbccdd"
KEY = f"incident:{ID}"


def config(**changes: Any) -> PagerDutyConfig:
    values = {"name": "pager", "type": "pagerduty", "routing_key": "env:R", "webhook_secret": "env:S"}
    return PagerDutyConfig.model_validate(values | changes)


def asked(body: bytes, *sinks: PagerDutyConfig) -> InboundRequest | None:
    said = HOOK.parse({}, bytearray(body), sinks or (config(),))
    return next(iter(said.requests), None)


@pytest.mark.parametrize(
    ("event", "verb", "detail"),
    [
        ("incident.acknowledged", "ack", ""),
        ("incident.unacknowledged", "reopen", ""),
        ("incident.resolved", "resolve", "revoked"),
        ("incident.reopened", "reopen", ""),
        ("incident.triggered", "link", ""),
    ],
)
def test_what_people_do_there(event: str, verb: str, detail: str) -> None:
    found = asked(announcement(event, KEY), config(people={"PLH1HKV": "ada"}))
    assert found is not None
    assert (found.verb, found.detail, found.key, found.actor) == (verb, detail, KEY, "ada")
    assert found.id == "pagerduty:pager:01BRB6ZP4M6T8ZG4X6BP63ZB9O"
    assert (found.place, found.answer, found.at) == ("PGR0VU2", {"place": "PGR0VU2"}, 1795662000.0)


def test_who_is_not_mapped_is_named_as_there() -> None:
    found = asked(announcement("incident.acknowledged", KEY))
    assert found is not None
    assert found.actor == "Tenex Engineer (PagerDuty)"


def test_what_our_own_events_and_notes_do_does_not_come_back() -> None:
    for agent in (INTEGRATION, None, {"type": "service_reference", "id": "P1"}):
        assert asked(announcement("incident.acknowledged", KEY, agent=agent)) is None
    assert asked(announcement("incident.annotated", None, content="exposure-monitor: resolved")) is None
    assert asked(announcement("incident.triggered", KEY, agent=INTEGRATION)) is not None


def test_a_note_is_about_a_place() -> None:
    found = asked(announcement("incident.annotated", None, content="rotating now"))
    assert found is not None
    assert (found.verb, found.key, found.place, found.note) == ("note", "", "PGR0VU2", "rotating now")


def test_a_note_comes_whole_or_not_at_all_so_that_no_half_of_a_secret_is_left() -> None:
    for length, told in ((2500, "x" * 2500), (25_001, "a note of 25001 characters, which is too long to be kept here")):
        found = asked(announcement("incident.annotated", None, content="x" * length))
        assert found is not None
        assert found.note == told

    person = {"type": "user_reference", "id": "P1", "summary": "x" * 65}
    found = asked(announcement("incident.acknowledged", KEY, agent=person))
    assert found is not None
    assert found.actor == "P1 (PagerDuty)"


def test_a_resolve_may_be_no_word_about_the_secret() -> None:
    found = asked(announcement("incident.resolved", KEY), config(resolve_as="none"))
    assert found is not None
    assert (found.verb, found.note) == ("ack", "resolved at pager, which resolves nothing here")


def test_a_page_about_a_step_only_takes_the_incident() -> None:
    found = asked(announcement("incident.acknowledged", f"overdue:{ID}"))
    assert found is not None
    assert (found.verb, found.incident) == ("ack", ID)
    assert asked(announcement("incident.resolved", f"overdue:{ID}")) is None


@pytest.mark.parametrize("key", [None, 3, "", "disk full", "incident:../x", "operational:disk"])
def test_pages_that_are_not_ours_ask_for_nothing(key: Any) -> None:
    assert asked(announcement("incident.acknowledged", key)) is None


def test_sinks_that_share_a_subscription_are_told_apart_by_their_service() -> None:
    one, two = config(name="one", service="PAAAAAA"), config(name="two", service="PF9KMXH")
    for sinks in ((one, two), (two, one), (config(), two)):
        found = asked(announcement("incident.acknowledged", KEY), *sinks)
        assert found is not None
        assert found.sink == "two"
    assert asked(announcement("incident.acknowledged", KEY), one) is None


def test_any_of_several_secrets_and_signatures() -> None:
    body = announcement("incident.acknowledged", KEY)
    both = f"{signature(b'other', body)}, {signature(b'secret', body)}"
    assert HOOK.well_formed({HOOK.header: both}, 0.0)
    assert HOOK.signed(b"secret", {HOOK.header: both}, body)
    assert not HOOK.signed(b"third", {HOOK.header: both}, body)
    assert not HOOK.signed(b"secret", {HOOK.header: both}, body + b" ")
    assert not HOOK.signed(b"secret", {HOOK.header: signature(b"secret", body).replace("v1", "v2")}, body)
    assert len(HOOK.secrets(config(webhook_secret=["env:A", "env:B"]))) == 2
    for header in ("", "v1=", "v1=xyz", "v1=ab,", ",".join(["v1=ab"] * 21)):
        assert not HOOK.well_formed({HOOK.header: header}, 0.0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"event": 3}', b"[" * 100_000, b"\xff"])
def test_what_cannot_be_used_is_said_without_its_content(body: bytes) -> None:
    with pytest.raises(UnusableError, match=r"^hook payload$"):
        asked(body)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_any_value_anywhere_is_taken_or_refused(value: Any) -> None:
    for name in ("id", "occurred_at", "agent", "data", "event_type"):
        event = json.loads(announcement("incident.acknowledged", KEY))
        event["event"][name] = value
        try:
            asked(json.dumps(event).encode())
        except UnusableError:
            continue


def test_pings_and_other_events_are_answered() -> None:
    assert HOOK.parse({}, bytearray(b'{"event": {"event_type": "pagey.ping"}}'), [config()]).answer == "pong\n"
    said = HOOK.parse({}, bytearray(announcement("incident.escalated", KEY)), [config()])
    assert (said.status, said.requests) == (202, ())
