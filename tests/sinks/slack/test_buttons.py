from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from monitor.common.notification import Notification, Offer, RunbookProgress
from sinks.slack.blocks import message
from sinks.slack.buttons import OWN_WORDS, REASONS, Press, controls, pressed
from tests.fakes.notifications import EXAMPLES, event, incident, notification, notifications
from tests.fakes.slack import check_blocks

STEP = RunbookProgress("github-token", "contain", 0, 9, "revoke", "Revoke it", datetime(2026, 11, 2, tzinfo=UTC))
OFFERS = (Offer("revoke-token", 2, ("ada",), "planned"), Offer("tell", 0), Offer("over", 1, ("ada",), "completed"))


def words(blocks: list[dict[str, Any]]) -> list[str]:
    return [(one.get("text") or one["placeholder"])["text"] for block in blocks for one in block["elements"]]


def shown(**changes: Any) -> list[str]:
    return words(controls("chat", notification(incident(**changes))))


def test_each_state_has_the_buttons_that_fit_it() -> None:
    always = ["Silence 1 h", "Silence 24 h", "Not a secret", "Resolve as revoked"]
    step = ["Claim revoke", "Done: revoke", "Skip revoke: why?"]
    assert shown() == ["Acknowledge", *always]
    assert shown(run=STEP) == ["Acknowledge", *always, *step]
    assert shown(state="acknowledged", run=replace(STEP, owner="ada")) == [*always, *step[1:]]
    assert shown(state="resolved", run=STEP) == step
    assert shown(state="resolved") == []
    assert shown(offers=OFFERS)[-2:] == ["Approve revoke-token (1 of 2)", "Run tell"]
    assert shown(state="resolved", offers=OFFERS) == []


def test_a_drill_is_acknowledged_but_nothing_is_taken_back() -> None:
    assert "Acknowledge" in shown(drill=True, offers=OFFERS)
    assert not [word for word in shown(drill=True, offers=OFFERS) if "revoke-token" in word]


def test_what_is_about_no_single_incident_has_none() -> None:
    for sent in (event(), notification(incident(), incident(id="b")), notification(reason="test")):
        assert controls("chat", sent) == []


def test_several_are_acknowledged_at_once_those_that_were_shown() -> None:
    pair = (incident(state="acknowledged"), incident(id="b"))
    for key in ("group:a1", "digest:a1", "fold:a1", "bundle:a1"):
        sent = notification(*pair, key=key, id="a1" * 16)
        [block] = controls("chat", sent)
    assert words([block]) == ["Acknowledge all 2"]
    check_blocks(message(sent, [block])["blocks"])
    shown = {**block["elements"][0], "block_id": block["block_id"]}
    assert pressed(shown) == Press("chat", "", "ack", key=f"told:{'a1' * 16}")
    for other in ("ack:2", "resolve:2", "silence:3600"):
        assert pressed({**shown, "action_id": other}) is None
    assert controls("chat", notification(*(replace(one, state="resolved") for one in pair), id=sent.id)) == []
    [block] = controls("chat", notification(*pair, incident(id="c", state="resolved"), id=sent.id))
    assert words([block]) == ["Acknowledge all 2"]


def test_what_cannot_be_undone_asks_first() -> None:
    blocks = controls("chat", notification(incident(run=STEP, offers=OFFERS)))
    asking = {one["action_id"] for block in blocks for one in block["elements"] if "confirm" in one}
    assert asking == {
        "resolve:false_positive", "resolve:revoked", "skip:revoke", "run:revoke-token", "run:tell",
    }  # fmt: skip


def test_what_is_pressed_says_what_was_shown() -> None:
    for block in controls("chat", notification(incident(run=STEP, offers=OFFERS))):
        for one in block["elements"]:
            sent = {"block_id": block["block_id"], "action_id": one["action_id"]}
            if one["type"] == "static_select":
                sent["selected_option"] = one["options"][2]
            press = pressed(sent)
            assert press is not None
            assert (press.sink, press.incident) == ("chat", "7f3a9c2e")
            assert f"{press.verb}:{press.detail}".rstrip(":") == one["action_id"]
            assert press.note == ("nobody is concerned" if press.verb == "skip" else "")


def test_a_step_is_skipped_for_one_of_the_reasons_or_in_own_words() -> None:
    [block] = [one for one in controls("chat", notification(incident(run=STEP))) if one["block_id"].endswith("step")]
    choices = block["elements"][-1]["options"]
    assert choices[-1]["text"]["text"] == OWN_WORDS
    said = [
        pressed({"block_id": block["block_id"], "action_id": "skip:revoke", "selected_option": one}) for one in choices
    ]
    assert [press and press.note for press in said] == [*REASONS, ""]


def test_buttons_carry_ids_only() -> None:
    one = incident(masked="ghp_a1B2…", run=STEP, offers=OFFERS, labels={"account": "1234"})
    for block in controls("chat", notification(one)):
        for element in block["elements"]:
            carried = json.dumps([block["block_id"], element["action_id"], element.get("value")])
            assert not [part for part in ("ghp_", "1234", "api.log", "web-3") if part in carried]


@pytest.mark.parametrize(
    "action",
    [
        None, [], {}, {"block_id": 1, "action_id": 2},
        {"block_id": "chat:7f3a:state", "action_id": "explode:x"},
        {"block_id": "chat:7f3a:state", "action_id": "resolve"},
        {"block_id": "chat:7f3a:other", "action_id": "ack"},
        {"block_id": "chat:../x:state", "action_id": "ack"},
        {"block_id": "chat:7f3a:state\n", "action_id": "ack"},
        {"block_id": "chat:7f3a:step", "action_id": "skip:revoke"},
        {"block_id": "chat:7f3a:step", "action_id": "skip:revoke", "selected_option": {"value": "9"}},
        {"block_id": "chat:7f3a:step", "action_id": "skip:revoke", "selected_option": {"value": "٣"}},
        {"block_id": "chat:7f3a:step", "action_id": "done:" + "x" * 65},
    ],
)  # fmt: skip
def test_what_is_no_button_of_ours_says_nothing(action: object) -> None:
    assert pressed(action) is None


def test_a_press_is_read() -> None:
    assert pressed({"block_id": "chat:7f3a:state", "action_id": "silence:3600"}) == Press(
        "chat", "7f3a", "silence", "3600"
    )


@EXAMPLES
@given(notifications)
def test_any_message_with_buttons_is_within_slacks_limits(sent: Notification) -> None:
    check_blocks(message(sent, controls("chat", sent))["blocks"])


def test_the_largest_message_is_within_slacks_limits() -> None:
    long = "x" * 5000
    places = incident().locations * 9
    offers = tuple(Offer(f"action-{n}-" + "y" * 50, 2, ("z" * 60,), "planned") for n in range(30))
    one = incident(
        id="a" * 64, name=long, masked=long, owner=long, note=long, first_step=long, locations=places, offers=offers,
        labels={f"k{n}": long for n in range(20)}, run=replace(STEP, step="s" * 64, title=long),
        verdict=long, validity="valid", state="acknowledged",
    )  # fmt: skip
    sent = notification(one)
    check_blocks(message(sent, controls("n" * 100, sent))["blocks"])
