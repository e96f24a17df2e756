from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from monitor.common.http import Http, RemoteError
from sinks.slack.config import SlackConfig
from sinks.slack.sink import Slack
from tests.fakes.notifications import notification
from tests.fakes.server import Fault
from tests.fakes.slack import FakeSlack

Put = Callable[[str, str], str]


def bot(http: Http, fake: FakeSlack, credential: Put, **keys: Any) -> Slack:
    keys = {"token": credential("token", fake.token), "channel": "#alerts", "api_url": fake.api_url, **keys}
    return Slack(SlackConfig(name="chat", type="slack", **keys), http)


@pytest.mark.parametrize(
    ("code", "retry", "says"),
    [
        ("ratelimited", True, "ratelimited"),
        ("internal_error", True, "internal_error"),
        ("update_failed", True, "update_failed"),
        ("external_channel_migrating", True, "external_channel_migrating"),
        ("is_inactive", True, "is_inactive"),
        ("invalid_auth", False, "invalid_auth: check token"),
        ("channel_not_found", False, "channel_not_found: check channel"),
        ("not_in_channel", False, "invite the app"),
        ("msg_blocks_too_long", False, "msg_blocks_too_long"),
        ("Bearer <b>x</b>", False, "Slack refused the message"),
    ],
)
async def test_an_error_in_a_200_answer(http: Http, credential: Put, code: str, retry: bool, says: str) -> None:
    async with FakeSlack() as fake:
        body = json.dumps({"ok": False, "error": code})
        fake.faults.append(Fault(200, headers={"Retry-After": "9"}, body=body))
        with pytest.raises(RemoteError, match=re.escape(says)) as caught:
            await bot(http, fake, credential).send(notification())
        assert caught.value.retry is retry
        assert caught.value.after == 9


@pytest.mark.parametrize("body", ["", "<html>log in", "[]", "{}", '{"ok":1}', "null"])
async def test_an_answer_that_is_not_slacks_is_tried_again(http: Http, credential: Put, body: str) -> None:
    async with FakeSlack() as fake:
        fake.faults.append(Fault(200, body=body))
        with pytest.raises(RemoteError, match="not Slack's") as caught:
            await bot(http, fake, credential).send(notification())
        assert caught.value.retry
