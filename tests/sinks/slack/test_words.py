from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.common.inbound import InboundRequest
from sinks.slack.buttons import OWN_WORDS, Press
from sinks.slack.inbound import asked
from sinks.slack.words import submitted, view, wanted
from tests.fakes.slack import FakeSlack, check_view
from tests.sinks.slack.test_buttons import STEP
from tests.sinks.slack.test_inbound import config, parse, shown

THREAD = {"channel": "C0ALERTS", "user": "U0ADA", "thread_ts": "1700000001.000100"}
SAID = (("done", "revoke"), ("skip", "revoke"), ("resolve", "false_positive"), ("silence", "3600"))


def opened(verb: Any = "done", detail: str = "revoke", sink: str = "chat") -> FakeSlack:
    """A Slack in which the window is open."""
    fake = FakeSlack()
    made = view(InboundRequest("1", sink, verb, "ada", "7f3a9c2e", detail=detail, answer=THREAD))
    fake.views.append({**made, "id": "V00000"})
    return fake


@pytest.mark.parametrize(("verb", "detail"), SAID)
def test_slack_takes_the_window_and_it_carries_ids_only(verb: Any, detail: str) -> None:
    made = view(InboundRequest("1", "c" * 150, verb, "ada", "i" * 64, detail="d" * 64, answer=THREAD))
    check_view(made)
    made = view(
        InboundRequest("1", "chat", verb, "ada", "7f3a9c2e", detail=detail, note="n", window="t", answer=THREAD)
    )
    assert made["private_metadata"] == f"chat:7f3a9c2e:{verb}:{detail}:C0ALERTS:1700000001.000100"
    assert "U0ADA" not in json.dumps(made)
    assert made["blocks"][-1]["optional"] is (verb != "skip")


@pytest.mark.parametrize(("verb", "detail"), SAID)
def test_what_was_written_is_a_request_like_the_press_with_a_note(verb: Any, detail: str) -> None:
    [one] = parse(opened(verb, detail).submit("U0ADA", " it was\nrotated "))
    assert (one.sink, one.verb, one.actor, one.incident, one.detail, one.note, one.refusal) == (
        "chat", verb, "ada", "7f3a9c2e", detail, "it was\nrotated", "",
    )  # fmt: skip
    assert (one.answer, one.window) == (THREAD, "")


def test_a_silence_says_how_long_it_is() -> None:
    made = opened("silence", "86400").views[0]
    assert made["blocks"][0]["text"]["text"] == "Nobody is told of 7f3a9c2e for 24 h."


def test_a_note_may_be_left_out_and_a_submission_told_twice_has_one_id() -> None:
    fake = opened()
    [one], [again] = (parse(fake.submit("U0ADA", None)) for _ in range(2))
    assert (one.note, one.id) == ("", again.id)
    fake.views.append({**fake.views[0], "id": "V00001"})
    [other] = parse(fake.submit("U0ADA", None))
    assert other.id != one.id


def test_who_closes_the_window_is_who_must_be_allowed_to() -> None:
    fake = opened()
    [one] = parse(fake.submit("U0BOB", "x"), config(allow={"done": ["ada"]}))
    assert (one.actor, "bob may not do this" in one.refusal) == ("bob", True)
    [one] = parse(fake.submit("U9EVIL", "x"))
    assert "not among the people" in one.refusal
    assert parse(opened(sink="other").submit("U0ADA", "x")) == []


def test_only_what_wants_words_has_a_window() -> None:
    assert wanted(Press("chat", "a", "done", "revoke"))
    assert wanted(Press("chat", "a", "skip", "revoke"))
    assert wanted(Press("chat", "a", "resolve", "false_positive"))
    assert not wanted(Press("chat", "a", "skip", "revoke", "not needed here"))
    assert not wanted(Press("chat", "a", "resolve", "revoked"))
    fake = shown(run=STEP)
    for action, choice in (
        *(("done", None), ("resolve:false_positive", None), ("skip", OWN_WORDS)),
        *(("silence:3600", None), ("silence:86400", None)),
    ):
        press = fake.press("U0ADA", action, choice=choice)
        [one] = parse(press)
        assert one.window == press["trigger_id"]
        assert one.window not in repr(one)
        [one] = parse(press | {"trigger_id": "<@U1>"})
        assert one.window == ""
    for action, choice in (("ack", None), ("resolve:revoked", None), ("skip", "not needed here")):
        [one] = parse(fake.press("U0ADA", action, choice=choice))
        assert one.window == ""


@pytest.mark.parametrize(
    "broken",
    [
        None, 7, {"callback_id": "other"}, {"id": None}, {"id": "V 1"}, {"private_metadata": None},
        {"private_metadata": "chat:7f3a:ack:x:C0ALERTS:"}, {"private_metadata": "chat:../x:done:revoke:C0ALERTS:"},
        {"private_metadata": "chat:7f3a:resolve:revoked:C0ALERTS:"}, {"private_metadata": "chat:7f3a:done:x:<#C>:"},
    ],
)  # fmt: skip
def test_what_is_no_window_of_ours_asks_for_nothing(broken: Any) -> None:
    payload = opened().submit("U0ADA", "x")
    changed = {**payload["view"], **broken} if isinstance(broken, dict) else broken
    assert asked(payload | {"view": changed}, [config()]) == []
    assert submitted(payload | {"view": changed}) is None


@pytest.mark.parametrize("state", [None, [], {"values": {"words": 3}}, {"values": {"words": {"words": {"value": 9}}}}])
def test_what_was_not_written_is_no_note(state: Any) -> None:
    payload = opened().submit("U0ADA", "x")
    said = submitted(payload | {"view": {**payload["view"], "state": state}})
    assert said is not None
    assert said.press.note == ""
