from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings

from monitor.common.notification import Notification
from sinks.slack.blocks import escape, message
from tests.fakes.notifications import incident, notification, notifications
from tests.fakes.slack import check_blocks


def words(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def test_a_group_says_once_what_to_do_first() -> None:
    assert words(message(notification(*[incident()] * 5))).count("Revoke the token on GitHub") == 1


@settings(max_examples=120, deadline=None)
@given(notifications)
def test_any_notification_is_within_slacks_limits_and_harmless(sent: Notification) -> None:
    content = message(sent)
    check_blocks(content["blocks"])
    texts = [*_mrkdwn(content["blocks"]), content["text"]]
    for text in texts:
        # Every "<" is a link of ours, every "&" an entity: no mention, no foreign link can be formed.
        assert re.fullmatch(
            r"(?:[^<>&]|&(?:amp|lt|gt);|<https?://[^<>|\s]+\|(?:Open in the console|Runbook|open)>)*", text
        )
    content["text"].encode()


def _mrkdwn(value: Any) -> list[str]:
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            return [value["text"]]
        return [text for item in value.values() for text in _mrkdwn(item)]
    return [text for item in value for text in _mrkdwn(item)] if isinstance(value, list) else []


def test_escape_never_leaves_half_an_entity() -> None:
    for limit in range(1, 40):
        cut = escape("<&>" * 20, limit)
        assert len(cut) <= limit
        assert re.fullmatch(r"(&(amp|lt|gt);)*…", cut)
    assert escape("a & b", 50) == "a &amp; b"
    assert escape("ends in &…", 50) == "ends in &amp;…"
