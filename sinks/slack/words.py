"""The window that asks for words first: why a step is skipped or something silenced or no secret, what was done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitor.common.inbound import InboundRequest, Verb
from monitor.common.outside import at, text
from monitor.common.text import clip, printable
from sinks.slack.buttons import CASES, Press

__all__ = ["ID", "TRIGGER", "TS", "Submitted", "submitted", "view", "wanted"]

ID = re.compile(r"[A-Z0-9]{3,24}")  # of a user, a channel or a window
TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,12}")
TRIGGER = re.compile(r"[0-9A-Za-z.]{8,200}")  # what a window is opened with, for three seconds, once
MOST = 1000  # characters of a note
_NAME = "words"  # of the window, of its field and of the block around it
_ABOUT = re.compile(
    r"([A-Za-z0-9_.-]{1,150}):([A-Za-z0-9_-]{1,64}):(done|skip|resolve|silence):([A-Za-z0-9_-]{1,64}):([A-Z0-9]{3,24}):([0-9.]*)"
)
_REMARK = "It stands in the history and in the thread. Secrets in it are masked."


class _Kind(NamedTuple):
    title: str  # at most 24 characters, as Slack has it
    submit: str
    label: str
    about: str
    must: bool  # nothing is done without words


_KINDS: Mapping[Verb, _Kind] = {
    "done": _Kind("Done", "Done", "What was done?", "Step {detail} of incident {incident} is done.", False),
    "skip": _Kind("Skip a step", "Skip", "Why?", "The runbook of incident {incident} goes on without {detail}.", True),
    "silence": _Kind("Silence", "Silence", "Why?", "Nobody is told of {incident} for {hours} h.", False),
    "resolve": _Kind(
        "Not a secret", "Resolve", "Why is it none?", "{incident} is resolved as a false positive.", False
    ),
}


class Submitted(NamedTuple):
    """What somebody wrote. `window`: its id; `reply`: as in Request.answer."""

    press: Press
    window: str
    reply: Mapping[str, str]


def wanted(press: Press) -> bool:
    """Whether whoever pressed this is asked for words."""
    if press.verb == "skip":
        return not press.note
    return press.verb in ("done", "silence") or (press.verb, press.detail) == ("resolve", "false_positive")


def view(request: InboundRequest) -> dict[str, Any]:
    """The window, for `views.open`. It carries ids and names of ours, nothing else."""
    kind, answer = _KINDS[request.verb], request.answer
    hours = int(request.detail) // 3600 if request.verb == "silence" and request.detail.isdigit() else 0
    said = kind.about.format(detail=request.detail, incident=request.incident, hours=hours)
    about = (request.sink, request.incident, request.verb, request.detail, answer["channel"])
    return {
        "type": "modal",
        "callback_id": _NAME,
        "private_metadata": ":".join((*about, answer.get("thread_ts", ""))),
        "title": _plain(kind.title),
        "submit": _plain(kind.submit),
        "close": _plain("Cancel"),
        "blocks": [
            {"type": "section", "text": _plain(said)},
            {
                "type": "input",
                "block_id": _NAME,
                "optional": not kind.must,
                "label": _plain(kind.label),
                "hint": _plain(_REMARK),
                "element": {
                    "type": "plain_text_input",
                    "action_id": _NAME,
                    "multiline": True,
                    "max_length": MOST,
                    "focus_on_load": True,
                },
            },
        ],
    }


def submitted(payload: Mapping[str, Any]) -> Submitted | None:
    """Of what Slack sends when the window is closed with its button. None: it is no window of ours."""
    window, about = text(payload, "view", "id"), _ABOUT.fullmatch(text(payload, "view", "private_metadata"))
    if text(payload, "view", "callback_id") != _NAME or about is None or not ID.fullmatch(window):
        return None
    sink, incident, kind, detail, channel, thread = about.groups()
    reply = {"channel": channel} | ({"thread_ts": thread} if TS.fullmatch(thread) else {})
    press = Press(sink, incident, CASES[kind], detail)
    return Submitted(press._replace(note=_written(payload)), window, reply) if wanted(press) else None


def _written(payload: Mapping[str, Any]) -> str:
    value = at(payload, "view", "state", "values", _NAME, _NAME, "value")
    # Slack takes no more; cut off here, half of a secret might stay that is not known as one.
    return value.strip() if isinstance(value, str) and len(value) <= 2 * MOST else ""


def _plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": clip(printable(words), 300), "emoji": False}
