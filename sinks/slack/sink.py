"""Slack: an incoming webhook, or a bot token that keeps one message per incident current and its story in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import orjson

from monitor.common.credential import CredentialError
from monitor.common.http import Http, RemoteError, retry_after
from monitor.common.inbound import ASKING, InboundRequest
from monitor.common.notification import Notification, Receipt
from monitor.common.outside import tables, text
from monitor.common.text import printable
from sinks.base import Limits, SinkConfig
from sinks.slack.api import RETRY_CODES, SlackError, call, code_in, explain
from sinks.slack.blocks import BROADCAST, STORY, dated, escape, message, story
from sinks.slack.buttons import controls
from sinks.slack.config import SlackConfig
from sinks.slack.socket import SocketMode
from sinks.slack.words import view

__all__ = ["Slack"]

_LOOKED_AT = 200  # messages of a channel or a thread, as many as Slack advises to ask for at once
LOST_ROOT = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})


class Slack:
    """Receipt with a token: `channel` and `ts` of the root message. With a webhook: none, every message is new."""

    Config: ClassVar[type[SinkConfig]] = SlackConfig
    limits = Limits(pace=1.0)

    def __init__(self, config: SlackConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def send(self, notification: Notification) -> Receipt | None:
        buttons = controls(self._config.name, notification) if self._config.two_way else []
        content = message(notification, buttons)
        if self._config.webhook_url:
            await self._webhook(self._webhook_url(), content)
            return None

        receipt = notification.receipt or {}
        if not (receipt.get("channel") and receipt.get("ts")):
            # Without a message of its own it was told together with others, in a flood: there is no thread.
            if notification.reason == "progress":
                return None
            channel = self._config.channel or ""
            there = await self._sent(notification, channel) if notification.again else None
            if there is None:
                return await self._root(content, notification)
            receipt = {"channel": channel, "ts": there}
        root = {"channel": receipt["channel"], "ts": receipt["ts"]}
        try:
            # The root first: editing twice is harmless, so a failed reply can be repeated together with it.
            await self._call("chat.update", {**root, **content})
        except SlackError as error:
            if error.code not in LOST_ROOT:
                raise
            return await self._root(content, notification)  # somebody deleted it, or the sink moved to another channel
        told = notification.again and await self._sent(notification, root["channel"], root["ts"])
        if not told and (words := STORY.get(notification.reason)) is not None:
            reply = {
                "channel": root["channel"],
                "thread_ts": root["ts"],
                "reply_broadcast": notification.reason in BROADCAST,
                "text": story(notification, words),
                "metadata": _mark(notification),
                "unfurl_links": False,
                "unfurl_media": False,
            }
            await self._call("chat.postMessage", reply)
        return root

    async def answer(self, request: InboundRequest, text: str, *, done: bool) -> None:
        """Only to who pressed. What was done shows in the message and its thread."""
        if done:
            return
        told = {name: request.answer[name] for name in ("channel", "user", "thread_ts") if name in request.answer}
        await self._call("chat.postEphemeral", {**told, "text": f"Not done: {dated(escape(printable(text), 2000))}"})

    async def ask(self, request: InboundRequest) -> bool:
        try:
            async with asyncio.timeout(ASKING):
                await self._call("views.open", {"trigger_id": request.window, "view": view(request)})
        except SlackError as error:
            # Told twice, as where our acknowledgement was lost: the window is open, or was.
            return error.code == "exchanged_trigger_id"
        except (RemoteError, CredentialError, TimeoutError):
            return False
        return True

    async def listen(
        self,
        ask: Callable[[Sequence[InboundRequest]], Awaitable[bool]],
        problem: Callable[[str | None], None],
        sinks: Sequence[SinkConfig],
    ) -> None:
        if self._config.app_token is None:
            return
        same = self._config.app_token
        ours = [one for one in sinks if isinstance(one, SlackConfig) and one.app_token == same] or [self._config]
        await SocketMode(self._config, self._http, ask, problem, lambda: ours).run()

    def _webhook_url(self) -> str:
        assert self._config.webhook_url
        return self._config.encrypted("webhook_url", self._config.webhook_url.resolve("webhook_url"))

    async def _sent(self, notification: Notification, channel: str, root: str | None = None) -> str | None:
        """The ts of the message that this notification is already, in the channel or in the thread of `root`. None: it
        is not among the latest, or may not be looked for: a duplicate beats a miss. Raises RemoteError."""
        where = {"channel": channel, "limit": _LOOKED_AT, "include_all_metadata": True}
        try:
            if root is None:
                answer = await self._call("conversations.history", where, form=True)
            else:
                answer = await self._call("conversations.replies", {**where, "ts": root}, form=True)
        except RemoteError as error:
            if error.retry:
                raise
            return None
        ours = (one for one in tables(answer, "messages") if one.get("metadata") == _mark(notification))
        return next((stamp for one in ours if (stamp := text(one, "ts"))), None)

    async def _root(self, content: dict[str, Any], notification: Notification) -> Receipt:
        quiet = {"unfurl_links": False, "unfurl_media": False, "metadata": _mark(notification)}
        answer = await self._call("chat.postMessage", {"channel": self._config.channel, **content, **quiet})
        channel, ts = text(answer, "channel"), text(answer, "ts")
        if not channel or not ts:
            raise RemoteError("Slack accepted the message but named no channel and ts", retry=False)
        return {"channel": channel, "ts": ts}

    async def _webhook(self, url: str, content: dict[str, Any]) -> None:
        body = orjson.dumps({**content, "unfurl_links": False, "unfurl_media": False})
        reply = await self._http.post(url, body)
        code = code_in(reply.body.decode("utf-8", "replace"), url)
        if reply.status >= 300 and code in RETRY_CODES:
            raise SlackError(code, retry=True, after=retry_after(reply.headers))
        reply.check(said=explain(code))
        if reply.body.lstrip().startswith(b"<"):
            raise RemoteError("answered with a web page instead of ok: is a login or a proxy in the way?", retry=True)

    async def _call(self, method: str, arguments: dict[str, Any], *, form: bool = False) -> dict[str, Any]:
        assert self._config.token
        token = self._config.token.resolve("token")
        return await call(self._http, f"{self._config.api_url}/{method}", token, arguments, form=form)


def _mark(notification: Notification) -> dict[str, Any]:
    """By which a message is known again; nobody sees it."""
    return {"event_type": "exposure_monitor", "event_payload": {"id": notification.id}}
