from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given

from monitor.common.notification import Location, Notification
from sinks.slack.blocks import dated, escape, message, story
from tests.fakes.notifications import EXAMPLES, RUN, incident, notification, notifications
from tests.fakes.slack import DATE, check_blocks


def words(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def test_a_group_says_once_what_to_do_first() -> None:
    assert words(message(notification(*[incident()] * 5))).count("Revoke the token on GitHub") == 1


@EXAMPLES
@given(notifications)
def test_any_notification_is_within_slacks_limits_and_harmless(sent: Notification) -> None:
    content = message(sent)
    check_blocks(content["blocks"])
    texts = [*_mrkdwn(content["blocks"]), content["text"]]
    for text in texts:
        # Every "<" is a link or a time of ours, every "&" an entity: no mention, no foreign link can be formed.
        assert re.fullmatch(
            rf"(?:[^<>&]|&(?:amp|lt|gt);|{DATE}|<https?://[^<>|\s]+\|(?:Open in the console|Runbook|open)>)*", text
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


def test_times_are_in_the_zone_of_whoever_reads_with_utc_for_clients_that_cannot() -> None:
    [shown] = [text for text in _mrkdwn(message(notification(incident(run=RUN)))["blocks"]) if "*Runbook*" in text]
    assert "due <!date^1793629987^{date_short_pretty} {time}|2026-11-02 14:33:07 UTC>" in dated(
        "due 2026-11-02 14:33:07 UTC"
    )
    assert "due <!date^1793629980^{date_short_pretty} {time}|2026-11-02 14:33 UTC>" in shown
    late = notification(reason="overdue", title="Overdue: Deploy it", text="deploy was due 2026-11-02 14:33:07 UTC")
    assert "deploy was due <!date^1793629987^" in story(late, "Overdue")
    for no_time in ("2026-13-02 14:33 UTC", "2026-11-02 24:61 UTC", "2026-11-02", "12026-11-02 14:33 UTC", "14:33 UTC"):
        assert dated(no_time) == no_time


def test_the_line_of_a_log_and_a_path_stand_as_they_were() -> None:
    path = "/var/log/2026-11-02 14:33:07 UTC.log"
    [where] = [
        text
        for text in _mrkdwn(message(notification(incident(locations=(Location("s", path),))))["blocks"])
        if "*Where*" in text
    ]
    assert path in where
    assert "<!date" not in where
