"""The buttons below an incident, and what a press of one says. They carry ids and names of ours, nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitor.common.inbound import TOLD, Verb
from monitor.common.notification import IncidentView, Notification, Offer
from monitor.common.outside import text
from monitor.common.text import clip, printable

__all__ = ["CASES", "Press", "controls", "pressed"]

REASONS = ("not needed here", "done elsewhere", "nobody is concerned")  # to skip a step; their places are sent
OWN_WORDS = "in my own words…"  # the place behind them
ACTIONS = 5  # buttons for actions: more would fill the screen
_BLOCK = re.compile(r"([A-Za-z0-9_.-]{1,150}):([A-Za-z0-9_-]{1,64}):(state|step|actions)")
_SEVERAL = re.compile(r"([A-Za-z0-9_.-]{1,150}):(told:[0-9a-f]{32}):several")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CASES: Mapping[str, Verb] = {
    "ack": "ack",
    "claim": "claim",
    "done": "done",
    "skip": "skip",
    "silence": "silence",
    "resolve": "resolve",
    "run": "run",
}


class Press(NamedTuple):
    """What somebody pressed. `detail`, `note` and `key` as in a Request; `incident` is empty where `key` says of which
    several it is about."""

    sink: str
    incident: str
    verb: Verb
    detail: str = ""
    note: str = ""
    key: str = ""


def controls(sink: str, notification: Notification) -> list[dict[str, Any]]:
    """Blocks with the buttons that fit the state of the incidents it is about; none for anything else."""
    if not notification.incidents or notification.reason == "test":
        return []
    if len(notification.incidents) > 1:
        return _together(sink, notification)
    incident = notification.incidents[0]
    blocks = []
    for part, elements in (("state", _state(incident)), ("step", _step(incident)), ("actions", _actions(incident))):
        block = f"{sink}:{incident.id}:{part}"
        if elements and _BLOCK.fullmatch(block):
            blocks.append({"type": "actions", "block_id": block, "elements": elements})
    return blocks


def pressed(action: object) -> Press | None:
    """Of an item of `actions` in what Slack sends. None: it is no button of ours."""
    kind, _, detail = text(action, "action_id").partition(":")
    block_id = text(action, "block_id")
    several = _SEVERAL.fullmatch(block_id)
    if several is not None:
        return Press(several[1], "", "ack", key=several[2]) if (kind, detail) == ("ack", "") else None
    block = _BLOCK.fullmatch(block_id)
    verb = CASES.get(kind)
    if block is None or verb is None or not (_NAME.fullmatch(detail) or verb == "ack"):
        return None
    note = ""
    if verb == "skip":
        place = text(action, "selected_option", "value")
        if not re.fullmatch(r"[0-9]", place) or int(place) > len(REASONS):
            return None
        note = (*REASONS, "")[int(place)]
    return Press(block[1], block[2], verb, detail, note)


def _together(sink: str, notification: Notification) -> list[dict[str, Any]]:
    """Of several there is one thing to be said at once: somebody works on them. By the message, as what has joined
    since nobody has looked at."""
    count = sum(one.state != "resolved" for one in notification.incidents)
    block = f"{sink}:{TOLD}{notification.id}:several"
    if not _SEVERAL.fullmatch(block) or all(one.state != "open" for one in notification.incidents):
        return []
    sure = _sure(f"Acknowledge all {count}?", "Repeats stop for each of them. One by one they are in the console.")
    every = _button("ack", f"Acknowledge all {count}", style="primary", confirm=sure)
    return [{"type": "actions", "block_id": block, "elements": [every]}]


def _state(incident: IncidentView) -> list[dict[str, Any]]:
    if incident.state == "resolved":
        return []
    elements = []
    if incident.state == "open":
        elements.append(_button("ack", "Acknowledge", style="primary"))
    false_alarm = _sure("Not a secret?", "It is resolved as a false positive. Nobody is told when it is seen again.")
    revoked = _sure("Is it revoked?", "It is resolved as revoked. When it is seen again, it opens once more.")
    return [
        *elements,
        _button("silence:3600", "Silence 1 h"),
        _button("silence:86400", "Silence 24 h"),
        _button("resolve:false_positive", "Not a secret", confirm=false_alarm),
        _button("resolve:revoked", "Resolve as revoked", confirm=revoked),
    ]


def _step(incident: IncidentView) -> list[dict[str, Any]]:
    run = incident.run
    if run is None or run.step is None or not _NAME.fullmatch(run.step):
        return []
    choices = [{"text": _plain(reason), "value": str(place)} for place, reason in enumerate((*REASONS, OWN_WORDS))]
    skip = {
        "type": "static_select",
        "action_id": f"skip:{run.step}",
        "placeholder": _plain(f"Skip {clip(run.step, 30)}: why?"),
        "options": choices,
        "confirm": _sure("Skip this step?", f"The runbook goes on without: {printable(run.title)}"),
    }
    claim = [] if run.owner else [_button(f"claim:{run.step}", f"Claim {run.step}")]
    return [*claim, _button(f"done:{run.step}", f"Done: {run.step}"), skip]


def _actions(incident: IncidentView) -> list[dict[str, Any]]:
    if incident.state == "resolved" or incident.drill:  # what was planted cannot be taken back
        return []
    waiting = [one for one in incident.offers if one.state in ("", "planned", "failed") and _NAME.fullmatch(one.name)]
    return [_offer(one) for one in waiting[:ACTIONS]]


def _offer(one: Offer) -> dict[str, Any]:
    people = {0: "It runs at once.", 1: "It runs at once: your word is enough."}.get(
        one.needed, f"It runs when {one.needed} people have said so; {len(one.given)} have."
    )
    words = "Approve" if one.given else "Run"
    counted = f" ({len(one.given)} of {one.needed})" if one.needed > 1 else ""
    sure = _sure(f"{words} {one.name}?", f"{people} What it takes back cannot be had again.")
    return _button(f"run:{one.name}", f"{words} {one.name}{counted}", style="danger", confirm=sure)


def _button(
    action: str, words: str, *, style: str | None = None, confirm: dict[str, Any] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "button", "action_id": action, "text": _plain(words)}
    if style:
        made["style"] = style
    if confirm:
        made["confirm"] = confirm
    return made


def _sure(title: str, words: str) -> dict[str, Any]:
    return {
        "title": _plain(clip(title, 100), 100),
        "text": _plain(words, 300),
        "confirm": _plain("Yes"),
        "deny": _plain("No"),
    }


def _plain(words: str, limit: int = 75) -> dict[str, Any]:
    return {"type": "plain_text", "text": clip(printable(words), limit), "emoji": False}
