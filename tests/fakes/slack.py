"""Slack: incoming webhooks and the Web API methods we use, with the limits of Block Kit enforced."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata
from slack_sdk.models.views import View
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.request import SocketModeRequest

from tests.fakes.server import FakeServer

# As Slack shows a time in the zone of whoever reads, with what a client that cannot shows instead.
DATE = r"<!date\^[0-9]{1,12}\^\{date_short_pretty\} \{time\}\|[0-9 :-]{16,19} UTC>"


def check_blocks(blocks: list[dict[str, Any]]) -> None:
    """Raise AssertionError unless Slack would take the blocks. Slack's own models first, then what they leave out."""
    assert 1 <= len(blocks) <= 50
    parsed = Block.parse_all(blocks)
    assert len(parsed) == len(blocks)
    for given, block in zip(blocks, parsed, strict=True):
        assert block is not None
        try:
            assert block.to_dict() == given
        except SlackObjectFormationError as error:
            raise AssertionError(str(error)) from error
        if given["type"] == "actions":
            _check_actions(given)
            continue
        texts = [*given.get("fields", []), *given.get("elements", [])]
        limit = 2000
        if "text" in given:
            texts.append(given["text"])
            limit = 150 if given["type"] == "header" else 3000
        assert len(given.get("fields", [])) <= 10
        assert len(given.get("elements", [])) <= 10
        for text in texts:
            units = len(text["text"].encode("utf-16-le")) // 2
            assert 1 <= units <= limit, f"{given['type']}: {units} units of text"
            if text["type"] == "mrkdwn":
                assert text.get("verbatim") is True, "mrkdwn without verbatim is searched for mentions and links"
    total = sum(len(text) for text in _texts(blocks))
    assert total <= 13_200, f"msg_blocks_too_long: {total}"


def _check_actions(block: dict[str, Any]) -> None:
    """What Slack's models leave out: lengths of plain texts, ids that differ, nothing of a user in a value."""
    elements = block["elements"]
    assert 1 <= len(elements) <= 25
    assert len(block["block_id"]) <= 255
    names = [element["action_id"] for element in elements]
    assert len(set(names)) == len(names)
    for element in elements:
        assert len(element["action_id"]) <= 255
        shown = element["text"] if element["type"] == "button" else element["placeholder"]
        texts = [(shown, 75), *((option["text"], 75) for option in element.get("options", []))]
        if confirm := element.get("confirm"):
            texts += [(confirm["title"], 100), (confirm["text"], 300), (confirm["confirm"], 30), (confirm["deny"], 30)]
        for text, limit in texts:
            assert text["type"] == "plain_text"
            assert 1 <= len(text["text"].encode("utf-16-le")) // 2 <= limit, text


def check_view(view: dict[str, Any]) -> None:
    """Raise AssertionError unless Slack would open this window."""
    parsed = View(**view)
    try:
        assert parsed.to_dict() == view
    except SlackObjectFormationError as error:
        raise AssertionError(str(error)) from error
    assert view["type"] == "modal"
    assert {"title", "blocks"} <= set(view)
    inputs = [block for block in view["blocks"] if block["type"] == "input"]
    assert not inputs or view.get("submit"), "a window with a field needs a button"
    for block in inputs:
        field = block["element"]
        texts = [(block["label"], 2000), (block["hint"], 2000)]
        assert field["type"] == "plain_text_input"
        assert 1 <= field["max_length"] <= 3000
        assert max(len(block["block_id"]), len(field["action_id"])) <= 255
        for text, limit in [*texts, *((view[name], 24) for name in ("title", "submit", "close"))]:
            assert text["type"] == "plain_text"
            assert 1 <= len(text["text"].encode("utf-16-le")) // 2 <= limit, text
    if rest := [block for block in view["blocks"] if block["type"] != "input"]:
        check_blocks(rest)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


class FakeSlack(FakeServer):
    """`messages`: (channel id, ts) → content; `posts`: all webhook messages; `replies`: thread replies in order.

    `press` is what Slack sends when somebody presses a button of a message, `submit` when they close a window with its
    button; `over_http` signs it as a request.
    """

    def __init__(self, token: str = "token-of-the-bot", webhook: str = "/services/T0/B0/path") -> None:
        super().__init__()
        self.token = token
        self.webhook = webhook
        self.channels = {"#alerts": "C0ALERTS", "C0ALERTS": "C0ALERTS"}
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}
        self.posts: list[dict[str, Any]] = []
        self.replies: list[dict[str, Any]] = []
        self.app_token = "token-of-the-app"
        self.opened = 0  # connections that were asked for
        self.sockets: list[web.WebSocketResponse] = []  # those that are open, oldest first
        self.envelopes: dict[str, asyncio.Future[None]] = {}
        self.whispers: list[dict[str, Any]] = []  # ephemeral messages
        self.views: list[dict[str, Any]] = []  # windows that were opened
        self.triggers: dict[str, bool] = {}  # what a window may be opened with → whether one was
        self.slow = False  # three seconds pass before a window is asked for
        self.readable = True  # the app has the scope to read what was posted
        self._ts = 1_700_000_000

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.path == "/link":
            return await self._link(request)
        reads = request.path.startswith("/api/conversations.")
        kind = "application/x-www-form-urlencoded" if reads else "application/json"
        if request.method != "POST" or request.content_type != kind:
            self.problems.append(f"{request.method} {request.content_type}")
        if reads:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _error("invalid_auth")
            if request.content_type != kind:  # what reads takes no JSON
                return _error("invalid_arguments")
            return self._history(dict(parse_qsl(body.decode(), strict_parsing=True)), request.path.rpartition(".")[2])
        try:
            content = json.loads(body)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if request.path == self.webhook:
            return self._webhook(content)
        if request.path.startswith("/services/"):
            return web.Response(status=404, text="no_service")
        if request.path == "/api/apps.connections.open":
            if request.headers.get("Authorization") != f"Bearer {self.app_token}":
                return _error("invalid_auth")
            self.opened += 1
            return web.json_response({"ok": True, "url": f"ws{self.url[4:]}/link?ticket=a-ticket&app_id=A0"})
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error("invalid_auth")
        if request.path == "/api/chat.postMessage":
            return self._post(content)
        if request.path == "/api/chat.update":
            return self._update(content)
        if request.path == "/api/chat.postEphemeral":
            return self._whisper(content)
        if request.path == "/api/views.open":
            return self._open(content)
        return _error("unknown_method")

    def _valid(self, content: dict[str, Any]) -> bool:
        try:
            assert isinstance(content.get("text"), str)
            assert 1 <= len(content["text"]) <= 40_000
            if "blocks" in content:
                check_blocks(content["blocks"])
        except AssertionError as error:
            self.problems.append(str(error))
            return False
        return True

    def _webhook(self, content: dict[str, Any]) -> web.Response:
        if not self._valid(content):
            return web.Response(status=400, text="invalid_blocks")
        self.posts.append(content)
        return web.Response(text="ok")

    def _post(self, content: dict[str, Any]) -> web.Response:
        channel = self.channels.get(content.get("channel", ""))
        if channel is None:
            return _error("channel_not_found")
        if not self._valid(content):
            return _error("invalid_blocks")
        if content.get("unfurl_links") is not False or content.get("unfurl_media") is not False:
            self.problems.append("links are unfurled")
        if "metadata" in content:
            Metadata(**content["metadata"])
        self._ts += 1
        ts = f"{self._ts}.000100"
        if "thread_ts" in content:
            if (channel, content["thread_ts"]) not in self.messages:
                return _error("thread_not_found")
            self.replies.append({**content, "ts": ts})
        else:
            self.messages[channel, ts] = content
        return web.json_response({"ok": True, "channel": channel, "ts": ts, "message": {"text": content["text"]}})

    def _history(self, content: dict[str, str], kind: str) -> web.Response:
        """The latest messages, newest first, or those of one thread, oldest first, below its root."""
        if kind not in ("history", "replies"):
            return _error("unknown_method")
        if not self.readable:
            return _error("missing_scope")
        if content.get("channel") not in self.channels.values():  # a name is none
            return _error("channel_not_found")
        most = int(content.get("limit", "100"))
        if not 1 <= most <= 999 or content.get("include_all_metadata") != "true":
            self.problems.append(f"{kind}: {content}")
        posted = [
            {"ts": ts, **message} for (channel, ts), message in self.messages.items() if channel == content["channel"]
        ]
        if kind == "history":
            found = posted[::-1]
        else:
            thread = [one for one in self.replies if one["thread_ts"] == content["ts"]]
            found = [one for one in posted if one["ts"] == content["ts"]] + thread
        names = ("ts", "text", "blocks", "metadata")
        shown = [{name: one[name] for name in names if name in one} for one in found]
        return web.json_response({"ok": True, "messages": shown[:most], "has_more": len(shown) > most})

    def _whisper(self, content: dict[str, Any]) -> web.Response:
        if content.get("channel") not in self.channels or not content.get("user") or not content.get("text"):
            return _error("channel_not_found")
        self.whispers.append(content)
        return web.json_response({"ok": True, "message_ts": f"{self._ts}.000200"})

    def _open(self, content: dict[str, Any]) -> web.Response:
        trigger = content.get("trigger_id")
        if trigger not in self.triggers:
            return _error("invalid_trigger_id")
        if self.slow:
            return _error("expired_trigger_id")
        if self.triggers[trigger]:
            return _error("exchanged_trigger_id")
        self.triggers[trigger] = True
        try:
            check_view(content["view"])
        except AssertionError as error:
            self.problems.append(f"view: {error}")
            return _error("invalid_arguments")
        view = {**content["view"], "id": f"V{len(self.views):05}", "team_id": "T0", "app_id": "A0", "hash": "1.a"}
        self.views.append(view)
        return web.json_response({"ok": True, "view": view})

    def submit(self, user: str, note: str | None, view: int = -1) -> dict[str, Any]:
        """The payload when `user` writes a note (None: nothing) into a window that is open, and presses its button."""
        shown = self.views[view]
        field = next(block for block in shown["blocks"] if block["type"] == "input")
        assert note or field["optional"]
        value = {"type": "plain_text_input", "value": note}
        return {
            "type": "view_submission",
            "team": {"id": "T0", "domain": "acme"},
            "user": {"id": user, "username": "somebody", "name": "somebody", "team_id": "T0"},
            "api_app_id": "A0",
            "token": "verification",
            "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
            "view": {**shown, "state": {"values": {field["block_id"]: {field["element"]["action_id"]: value}}}},
            "response_urls": [],
            "is_enterprise_install": False,
            "enterprise": None,
        }

    def press(self, user: str, action: str, *, choice: str | None = None, root: str | None = None) -> dict[str, Any]:
        """The payload when `user` presses what has the action id `action` (or begins with it) in the message `root`
        (its ts; else the newest). Fails when there is no such button."""
        channel, ts = next(key for key in reversed(self.messages) if root in (None, key[1]))
        content = self.messages[channel, ts]
        shown = [(block, one) for block in content["blocks"] if block["type"] == "actions" for one in block["elements"]]
        block, one = next((block, one) for block, one in shown if one["action_id"].startswith(action))
        pressed = {"action_id": one["action_id"], "block_id": block["block_id"], "type": one["type"]}
        pressed["action_ts"] = f"{time.time():.6f}"
        if choice is not None:
            pressed["selected_option"] = next(item for item in one["options"] if item["text"]["text"] == choice)
        trigger = f"{len(self.triggers)}.333649436676.d8c1bb837935619ccad0f624c448ffb3"
        self.triggers[trigger] = False
        return {
            "type": "block_actions",
            "user": {"id": user, "username": "somebody", "name": "somebody", "team_id": "T0"},
            "api_app_id": "A0",
            "token": "verification",
            "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False},
            "trigger_id": trigger,
            "team": {"id": "T0", "domain": "acme"},
            "channel": {"id": channel, "name": "alerts"},
            "message": {"type": "message", "ts": ts, "text": content["text"], "blocks": content["blocks"]},
            "state": {"values": {}},
            "response_url": f"{self.url}/actions/T0/1/answer",
            "actions": [pressed],
        }

    async def deliver(
        self, payload: dict[str, Any], kind: str = "interactive", over: web.WebSocketResponse | None = None
    ) -> asyncio.Future[None]:
        """Send an envelope over Socket Mode (`over` None: the newest connection); the future ends when it is
        acknowledged."""
        envelope = f"envelope-{len(self.envelopes)}"
        self.envelopes[envelope] = asyncio.get_running_loop().create_future()
        sent = {"type": kind, "envelope_id": envelope, "accepts_response_payload": True, "payload": payload}
        SocketModeRequest.from_dict(sent)
        await (over or self.sockets[-1]).send_json(sent)
        return self.envelopes[envelope]

    async def _link(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0"}})
        self.sockets.append(socket)
        try:
            async for message in socket:
                said = json.loads(message.data)
                if set(said) != {"envelope_id"} or said["envelope_id"] not in self.envelopes:
                    self.problems.append(f"acknowledged {message.data}")
                elif not self.envelopes[said["envelope_id"]].done():
                    self.envelopes[said["envelope_id"]].set_result(None)
        finally:
            self.sockets.remove(socket)
        return socket

    @staticmethod
    def over_http(payload: dict[str, Any], secret: str, stamp: float) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request to the door."""
        body = urlencode({"payload": json.dumps(payload)})
        signer = SignatureVerifier(secret)
        signature = signer.generate_signature(timestamp=str(int(stamp)), body=body)
        assert signature is not None
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": str(int(stamp)),
            "X-Slack-Signature": signature,
        }
        return body.encode(), headers

    def _update(self, content: dict[str, Any]) -> web.Response:
        place = (content.get("channel", ""), content.get("ts", ""))
        if place not in self.messages:
            return _error("message_not_found")
        if not self._valid(content):
            return _error("invalid_blocks")
        if "blocks" not in content:
            self.problems.append("chat.update without blocks removes them")
        kept = {name: self.messages[place][name] for name in ("metadata",) if name in self.messages[place]}
        self.messages[place] = {**kept, **content}
        return web.json_response({"ok": True, "channel": place[0], "ts": place[1], "text": content["text"]})


def _error(code: str) -> web.Response:
    return web.json_response({"ok": False, "error": code})
