from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from monitor.common.http import Http
from monitor.common.notification import Notification
from sinks.chat import FORMATS
from sinks.webhook import Webhook, WebhookConfig
from tests.fakes.notifications import EXAMPLES, event, incident, notification, notifications
from tests.fakes.server import FakeServer


def _text(limit: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": limit}


# https://docs.discord.com/developers/resources/message#embed-object-embed-limits
DISCORD = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["embeds", "allowed_mentions"],
        "properties": {
            "allowed_mentions": {"const": {"parse": []}},
            "embeds": {
                "type": "array",
                "minItems": 1,
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "title": _text(256),
                        "description": _text(4096),
                        "color": {"type": "integer", "minimum": 0, "maximum": 0xFFFFFF},
                        "timestamp": {"type": "string"},
                        "fields": {
                            "type": "array",
                            "maxItems": 25,
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["name", "value"],
                                "properties": {"name": _text(256), "value": _text(1024)},
                            },
                        },
                    },
                },
            },
        },
    }
)
TEAMS = Draft202012Validator(
    {
        "type": "object",
        "required": ["type", "attachments"],
        "properties": {
            "type": {"const": "message"},
            "attachments": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                        "content": {
                            "type": "object",
                            "required": ["type", "version", "body"],
                            "properties": {
                                "type": {"const": "AdaptiveCard"},
                                "version": {"const": "1.4"},
                                "body": {
                                    "type": "array",
                                    "items": {
                                        "oneOf": [
                                            {
                                                "required": ["text"],
                                                "properties": {"type": {"const": "TextBlock"}, "text": _text(4000)},
                                            },
                                            {
                                                "required": ["facts"],
                                                "properties": {"type": {"const": "FactSet"}},
                                            },
                                        ]
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    }
)
VALIDATORS = {"discord": DISCORD, "teams": TEAMS}
LIMITS = {"discord": 64_000, "teams": 28_000}  # bytes of a request


def check(name: str, body: bytes) -> None:
    content = json.loads(body)
    VALIDATORS[name].validate(content)
    assert len(body) <= LIMITS[name]
    if name == "discord":
        embed = content["embeds"][0]
        texts = [embed["title"], embed.get("description", "")]
        texts += [text for field in embed["fields"] for text in (field["name"], field["value"])]
        assert sum(len(text.encode("utf-16-le")) // 2 for text in texts) <= 6000


@pytest.mark.parametrize("name", FORMATS)
@EXAMPLES
@given(notifications)
def test_any_notification_is_within_the_limits(name: str, message: Notification) -> None:
    check(name, orjson.dumps(FORMATS[name](message)))


@pytest.mark.parametrize("name", FORMATS)
async def test_says_what_where_how_often_and_what_to_do(
    http: Http, credential: Callable[[str, str], str], name: str
) -> None:
    async with FakeServer() as server:
        config = WebhookConfig(name="chat", type="webhook", url=credential("url", server.url + "/hook"), format=name)  # type: ignore[arg-type]
        sink = Webhook(config, http)
        for message in (notification(), notification(incident(), incident()), event()):
            await sink.send(message)
    assert [request.path for request in server.requests] == [f"/hook{'?wait=true' if name == 'discord' else ''}"] * 3
    for request in server.requests:
        check(name, request.body)
    first, group, disk = (request.body.decode().replace("\u200b", "").replace("\\", "") for request in server.requests)
    for words in (
        "GitHub personal access token exposed",
        "ghp_a1B2…",
        "api.log:1042",
        "17 times",
        "Revoke",
        "runbooks/",
    ):
        assert words in first
    assert "2 secrets" in group
    assert "Reading has stopped" in disk


def test_mentions_and_markup_are_disarmed() -> None:
    message = notification(incident(name="@everyone **x** [a](http://evil.example)"))
    assert "@everyone" not in json.dumps(FORMATS["discord"](message), ensure_ascii=False)
    assert "[a](" not in json.dumps(FORMATS["teams"](message))


@pytest.mark.parametrize(
    ("query", "sent"),
    [("?thread_id=7", "?thread_id=7&wait=true"), ("?wait=false", "?wait=false"), ("", "?wait=true")],
)
async def test_discord_answers_after_storing_also_in_a_thread(
    http: Http, credential: Callable[[str, str], str], query: str, sent: str
) -> None:
    async with FakeServer() as server:
        url = credential("hook", f"{server.url}/hook{query}")
        config = WebhookConfig(name="chat", type="webhook", url=url, format="discord")
        await Webhook(config, http).send(notification())
    assert [request.path for request in server.requests] == [f"/hook{sent}"]
