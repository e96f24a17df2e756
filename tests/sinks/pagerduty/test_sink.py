from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.common.inbound import InboundRequest
from monitor.common.notification import Notification
from sinks.pagerduty.config import PagerDutyConfig
from sinks.pagerduty.sink import PagerDuty, dedup_key, event
from tests.fakes.notifications import EXAMPLES, incident, notification, notifications
from tests.fakes.notifications import event as operational
from tests.fakes.pagerduty import FakePagerDuty, check_event
from tests.fakes.peer import served
from tests.fakes.server import FAULTS, PERMANENT

Put = Callable[[str, str], str]
KEY = "0123456789abcdef" * 2


PEERS = {
    "pagerduty": served(
        lambda _: FakePagerDuty(),
        lambda fake, credential: (
            {"routing_key": "env:PAGERDUTY_KEY", "base_url": fake.url},
            {"PAGERDUTY_KEY": credential},
        ),
    )
}


def pager(http: Http, fake: FakePagerDuty, credential: Put, key: str = KEY) -> PagerDuty:
    reference = credential("routing_key", key)
    config = PagerDutyConfig(name="pager", type="pagerduty", routing_key=reference, base_url=fake.url)  # type: ignore[arg-type]
    return PagerDuty(config, http)


async def test_one_incident_from_trigger_to_resolve(http: Http, credential: Put) -> None:
    async with FakePagerDuty() as fake:
        sink = pager(http, fake, credential)
        receipt = await sink.send(notification())
        assert receipt == {"dedup_key": "incident/7f3a9c2e"}
        states = []
        for state, reason in (
            ("open", "update"),
            ("acknowledged", "acknowledged"),
            ("resolved", "resolved"),
            ("open", "reopened"),
        ):
            await sink.send(notification(incident(state=state), reason=reason, receipt=receipt))
            states.append(fake.state[KEY, "incident/7f3a9c2e"])
    assert states == ["triggered", "acknowledged", "resolved", "triggered"]
    assert len(fake.state) == 1
    actions = [sent["event_action"] for sent in fake.events]
    assert actions == ["trigger", "trigger", "acknowledge", "resolve", "trigger"]


async def test_the_event_says_it_all(http: Http, credential: Put) -> None:
    async with FakePagerDuty() as fake:
        await pager(http, fake, credential).send(notification())
    (sent,) = fake.events
    details = sent["payload"].pop("custom_details")
    assert sent["payload"] == {
        "summary": "GitHub personal access token exposed (ghp_a1B2…) in /var/log/app/api.log:1042",
        "source": "web-3",
        "severity": "critical",
        "component": "payments",
        "group": "exposure-monitor",
        "class": "github-pat",
        "timestamp": "2026-11-02T14:03:07Z",
    }
    assert sent["links"] == [
        {"href": "https://monitor.example.org/runbooks/github-token", "text": "Runbook"},
        {"href": "https://monitor.example.org/incidents/7f3a9c2e", "text": "Incident in the console"},
    ]
    assert sent["client_url"] == "https://monitor.example.org/incidents/7f3a9c2e"
    assert details["runbook_url"] == "https://monitor.example.org/runbooks/github-token"
    (shown,) = details["incidents"]
    assert shown["seen"].startswith("17 times in 5 min")
    assert shown["where"][1] == "/var/log/app/worker.log:8 (services)"
    assert shown["acknowledge"] == "cd /srv/monitor && .venv/bin/monitor incidents ack 7f3a9c2e"
    assert shown["where"][0] == "/var/log/app/api.log:1042 (payments on web-3, services)"
    assert shown["line"].startswith("2026-11-02T14:03:05Z INFO login")
    assert shown["confidence"] == "high"
    assert shown["what to do first"].startswith("Revoke")


async def test_operational_events_trigger(http: Http, credential: Put) -> None:
    async with FakePagerDuty() as fake:
        await pager(http, fake, credential).send(operational())
    payload = fake.events[0]["payload"]
    assert (payload["summary"], payload["severity"]) == ("The state disk is full", "error")
    assert payload["custom_details"]["text"].startswith("Reading has stopped")


async def test_a_wrong_key_is_permanent_and_explained(http: Http, credential: Put) -> None:
    fake = FakePagerDuty()
    async with fake:
        with pytest.raises(RemoteError, match=r"400 Bad Request: .*check routing_key") as caught:
            await pager(http, fake, credential, "too-short").send(notification())
        assert not caught.value.retry
        assert "too-short" not in str(caught.value)  # the server's own words repeat it, so they are dropped
        fake.problems.clear()


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(http: Http, credential: Put, name: str) -> None:
    async with FakePagerDuty() as fake:
        fake.faults.append(FAULTS[name])
        with pytest.raises(RemoteError) as caught:
            await pager(http, fake, credential).send(notification())
        assert caught.value.retry is (name not in PERMANENT)


@EXAMPLES
@given(notifications)
def test_any_notification_is_a_valid_event(message: Notification) -> None:
    assert check_event(event(message, KEY)) == []


def test_a_huge_group_keeps_its_total() -> None:
    many = [incident(first_step="\U0001f600" * 9000, name="é" * 9000) for _ in range(400)]
    body = event(notification(*many), KEY)
    assert check_event(body) == []
    details = orjson.loads(body)["payload"]["custom_details"]
    assert details["total"] == 400
    assert len(details["incidents"]) >= 5


def test_dedup_keys_are_short_and_distinct() -> None:
    long = [dedup_key(notification(key="k" * 300 + end)) for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(key) <= 255 for key in long)
    assert dedup_key(notification(key="short")) == "short"
    assert dedup_key(notification(key=""))


@pytest.mark.parametrize("url", ["events.pagerduty.com", "ftp://x", "https://x/v2/enqueue", ""])
def test_base_url_is_checked(url: str) -> None:
    keys: dict[str, Any] = {"name": "p", "type": "pagerduty", "routing_key": "env:K", "base_url": url}
    with pytest.raises(ValidationError, match="scheme and host only"):
        PagerDutyConfig(**keys)


def two_way(http: Http, fake: FakePagerDuty, credential: Put) -> PagerDuty:
    values = {
        "name": "pager",
        "type": "pagerduty",
        "routing_key": credential("routing_key", KEY),
        "base_url": fake.url,
        "api_url": fake.url,
        "webhook_secret": "env:S",
        "api_token": credential("token", "t" * 20),
        "from_email": "oncall@example.org",
        "urgencies": {"critical": "high"},
    }
    return PagerDuty(PagerDutyConfig.model_validate(values), http)


async def test_who_did_what_here_is_noted_there_once(http: Http, credential: Put) -> None:
    known = {"dedup_key": "k", "place": "PGR0VU2"}
    async with FakePagerDuty("t" * 20) as fake:
        sink = two_way(http, fake, credential)
        told = incident(state="resolved", resolution="wont_fix", actor="ada", note="merged into incident 77")
        receipt = await sink.send(notification(told, reason="resolved", receipt=known))
        assert receipt is not None
        assert receipt["place"] == "PGR0VU2"
        theirs = incident(state="acknowledged", actor="bob", note="through pager")
        await sink.send(notification(theirs, reason="acknowledged", receipt=known))
        await sink.send(notification(incident(), reason="escalated", receipt=known))
        again = await sink.send(notification(incident(), reason="reopened", receipt=known))
        assert again is not None
        assert "place" not in again  # a new incident over there
        announced = await sink.send(notification(incident(), reason="new", receipt=known, again=True))
        assert announced is not None
        assert announced["place"] == "PGR0VU2"  # of the try before, whose answer was never noted
    assert fake.notes == [
        ("PGR0VU2", "exposure-monitor: 7f3a9c2e: resolved as wont_fix by ada: merged into incident 77")
    ]
    assert fake.changes == [("PGR0VU2", {"urgency": "high"})]


async def test_a_note_that_fails_sends_no_event_twice(http: Http, credential: Put) -> None:
    async with FakePagerDuty("another") as fake:
        sink = two_way(http, fake, credential)
        told = incident(state="resolved", resolution="revoked", actor="ada")
        assert await sink.send(notification(told, reason="resolved", receipt={"place": "P1"})) is not None
    assert len(fake.events) == 1


async def test_what_was_asked_for_there_is_answered_there(http: Http, credential: Put) -> None:
    def asked(verb: Any) -> InboundRequest:
        return InboundRequest("1", "pager", verb, "ada", answer={"place": "PGR0VU2"})

    async with FakePagerDuty("t" * 20) as fake:
        sink = two_way(http, fake, credential)
        await sink.answer(asked("link"), "critical", done=True)
        await sink.answer(asked("ack"), "done", done=True)
        await sink.answer(asked("ack"), "incident 7 is already acknowledged", done=False)
        await sink.answer(asked("ack"), "it was said before", done=False)
    assert fake.changes == [("PGR0VU2", {"urgency": "high"})]
    assert fake.notes == [("PGR0VU2", "exposure-monitor: not taken over: it was said before")]
