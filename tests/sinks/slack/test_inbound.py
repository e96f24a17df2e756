from __future__ import annotations

from typing import Any

import pytest

from monitor.common.inbound import UnusableError
from sinks.slack.blocks import message
from sinks.slack.buttons import controls
from sinks.slack.config import SlackConfig
from sinks.slack.inbound import SlackHook, asked
from tests.fakes.notifications import incident, notification
from tests.fakes.slack import FakeSlack

NOW = 1_800_000_000.0
SECRET = "a-signing-secret"
HOOK = SlackHook()


def config(name: str = "chat", **changes: Any) -> SlackConfig:
    keys: dict[str, Any] = {"token": "env:T", "channel": "#alerts", "signing_secret": "env:S"}
    keys |= {"people": {"U0ADA": "ada", "U0BOB": "bob"}, "allow": {"run": ["ada"]}}
    return SlackConfig(name=name, type="slack", **(keys | changes))


def shown(name: str = "chat", **changes: Any) -> FakeSlack:
    """A Slack in which a message with buttons stands; no server is needed to press one."""
    fake = FakeSlack()
    fake.url = "http://slack.invalid"
    sent = notification(incident(**changes))
    fake.messages["C0ALERTS", "1700000001.000100"] = message(sent, controls(name, sent))
    return fake


def parse(payload: dict[str, Any], *configs: SlackConfig) -> list[Any]:
    body, headers = FakeSlack.over_http(payload, SECRET, NOW)
    assert HOOK.well_formed(headers, NOW)
    assert HOOK.signed(SECRET.encode(), headers, body)
    return list(HOOK.parse(headers, bytearray(body), configs or (config(),)).requests)


def test_a_press_becomes_a_request_of_a_known_person() -> None:
    [one] = parse(shown().press("U0ADA", "resolve:revoked"))
    assert (one.sink, one.verb, one.actor, one.incident, one.detail, one.refusal) == (
        "chat", "resolve", "ada", "7f3a9c2e", "revoked", "",
    )  # fmt: skip
    assert one.answer == {"channel": "C0ALERTS", "user": "U0ADA"}


def test_a_press_for_several_names_them_by_their_message() -> None:
    key = f"told:{'0f' * 16}"
    action = {"action_id": "ack", "block_id": f"chat:{key}:several", "action_ts": "1700000000.000100"}
    payload = {**shown().press("U0ADA", "ack"), "actions": [action]}
    [request] = asked(payload, [config()])
    assert (request.incident, request.key, request.verb, request.detail) == ("", key, "ack", "")
    [other] = asked({**payload, "actions": [{**action, "block_id": f"chat:told:{'f0' * 16}:several"}]}, [config()])
    assert other.id != request.id


def test_the_same_press_has_the_same_id_and_another_has_another() -> None:
    fake = shown()
    press, again = fake.press("U0ADA", "ack"), fake.press("U0ADA", "ack")
    assert parse(press)[0].id == parse(press)[0].id != parse(again)[0].id
    other = press | {"user": {"id": "U0BOB"}}
    assert parse(other)[0].id != parse(press)[0].id


def test_nothing_of_a_payload_is_kept_but_ids() -> None:
    fake = shown()
    press = fake.press("U0ADA", "ack")
    kept = repr(parse(press))
    for part in (press["response_url"], press["trigger_id"], "somebody", "verification", "ghp_"):
        assert part not in kept


def test_who_is_unknown_or_may_not_is_refused_by_name() -> None:
    [one] = parse(shown().press("U9EVIL", "ack"))
    assert (one.actor, "U9EVIL is not among the people" in one.refusal) == ("U9EVIL", True)
    action = {"block_id": "chat:7f3a9c2e:actions", "action_id": "run:revoke", "action_ts": "1.2"}
    press = shown().press("U0BOB", "ack") | {"actions": [action]}
    [one] = parse(press)
    assert (one.actor, "bob may not do this" in one.refusal) == ("bob", True)
    [one] = parse(press | {"user": {"id": "U0ADA"}})
    assert (one.actor, one.refusal) == ("ada", "")


def test_sinks_of_one_app_are_told_apart_by_what_was_pressed() -> None:
    press = shown("second").press("U0ADA", "ack")
    strict = config("second", people={"U0BOB": "bob"}, allow={})
    [one] = parse(press, config(), strict)
    assert (one.sink, bool(one.refusal)) == ("second", True)
    assert parse(press, config()) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "view_submission"}, {"user": None}, {"user": {"id": "<@U1>"}}, {"channel": {"id": 7}}, {"actions": {}},
        {"actions": [None, 3, {"action_ts": "x"}]}, {"actions": []},
    ],
)  # fmt: skip
def test_what_is_no_press_of_ours_asks_for_nothing(broken: dict[str, Any]) -> None:
    assert asked(shown().press("U0ADA", "ack") | broken, [config()]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=%ff",
        b"payload=[]",
        b"payload=" + b"%5B" * 100_000,
        b"no form",
        b"payload=%7B",
    ],
)
def test_a_body_that_is_no_payload_is_unusable(body: bytes) -> None:
    with pytest.raises(UnusableError, match="hook payload"):
        HOOK.parse({}, bytearray(body), [config()])


def test_slacks_own_signature_is_taken_and_every_other_refused() -> None:
    body, headers = FakeSlack.over_http({"type": "block_actions"}, SECRET, NOW)
    assert HOOK.signed(SECRET.encode(), headers, body)
    assert not HOOK.signed(b"another", headers, body)
    assert not HOOK.signed(SECRET.encode(), headers, body + b"&x=1")
    assert not HOOK.signed(SECRET.encode(), headers | {"X-Slack-Request-Timestamp": str(int(NOW) + 1)}, body)
    for late in (301, -301):
        assert not HOOK.well_formed(headers, NOW + late)
    assert HOOK.well_formed(headers, NOW + 299)
    for broken in ({"X-Slack-Signature": "v1=00"}, {"X-Slack-Request-Timestamp": "1e9"}, {"X-Slack-Signature": ""}):
        assert not HOOK.well_formed(headers | broken, NOW)
    assert HOOK.secrets(config(signing_secret=None, app_token="env:A")) == ()
