"""Slack: an incoming webhook, or a bot token that keeps one message per incident current and its story in a thread."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import CLEAR, Http, RemoteError, Reply, in_the_clear, retry_after
from monitor.common.notification import Incident, Notification, Reason, Receipt
from monitor.common.severity import Severity
from monitor.common.text import clip, printable, prose
from sinks.base import Limits, SinkConfig
from sinks.text import (
    claim,
    command,
    decision,
    facts,
    first_steps,
    headline,
    link,
    links,
    listing,
    origin,
    place,
    seen,
    steps,
    surroundings,
    tally,
    works,
)

__all__ = ["Slack", "SlackConfig", "escape", "message"]

ICON: dict[Severity, str] = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "🔵", "info": "⚪"}
PLACES = 5  # shown of one incident
ROWS = 10  # incidents shown of a group
TALLY = 20  # rules counted of a group that is not shown whole
# Slack's limits are 150 for a header, 3,000 for a section, 2,000 for a field, about 13,200 for all blocks together.
HEADER, SECTION, FIELD = 150, 2900, 600

# Told in the thread; `update` only changes the root message, which is what group_interval asks for.
STORY: dict[Reason, str] = {
    "escalated": "Severity is now *{severity}*",
    "reopened": "Seen again after it was resolved",
    "reopened_by_hand": "Reopened",
    "recovered": "Over",
    "repeat": "Still exposed",
    "overdue": "Overdue",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
}
BROADCAST = frozenset(
    {"escalated", "reopened", "repeat", "overdue"}
)  # shown in the channel too: an edit alone alerts nobody

RETRY_CODES = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"}) | {
    "external_channel_migrating",
    "is_inactive",
    "request_timeout",
    "rollup_error",
    "team_added_to_org",
    "update_failed",
}
LOST_ROOT = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
HINTS = {
    "action_prohibited": "an administrator restricted posting there",
    "channel_is_archived": "unarchive the channel or choose another",
    "channel_not_found": "check channel, and invite the app to a private one",
    "invalid_auth": "check token",
    "invalid_token": "check webhook_url",
    "is_archived": "unarchive the channel or choose another",
    "missing_scope": "the app needs chat:write",
    "no_service": "the webhook was removed: make a new one",
    "not_authed": "check token",
    "not_in_channel": "invite the app to the channel",
    "token_revoked": "install the app again and replace token",
}


class SlackConfig(SinkConfig):
    """Either `webhook_url` (post only) or `token` (a bot's, scope chat:write) with `channel` (id or name)."""

    type: Literal["slack"]
    webhook_url: Credential | None = None
    token: Credential | None = None
    channel: str | None = Field(default=None, min_length=1)
    api_url: str = "https://slack.com/api"

    @field_validator("api_url")
    @classmethod
    def _api_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError('must be an http(s) URL such as "https://slack.com/api"')
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.webhook_url and (self.token or self.channel):
            raise ValueError("give webhook_url, or token and channel, not both")
        if self.token and not self.insecure and in_the_clear(self.api_url):
            raise ValueError(f"api_url: token {CLEAR}")
        if not self.webhook_url and not (self.token and self.channel):
            missing = "channel" if self.token else "token" if self.channel else "webhook_url, or token and channel,"
            raise ValueError(f"{missing} is missing")
        return self


class Slack:
    """Receipt with a token: `channel` and `ts` of the root message. With a webhook: none, every message is new."""

    Config: ClassVar[type[SinkConfig]] = SlackConfig
    limits = Limits(pace=1.0)

    def __init__(self, config: SlackConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def send(self, notification: Notification) -> Receipt | None:
        content = message(notification)
        if self._config.webhook_url:
            await self._webhook(self._webhook_url(), content)
            return None
        assert self._config.token
        token = self._config.token.resolve("token")
        receipt = notification.receipt or {}
        if not (receipt.get("channel") and receipt.get("ts")):
            return await self._root(token, content)
        root = {"channel": receipt["channel"], "ts": receipt["ts"]}
        try:
            # The root first: editing twice is harmless, so a failed reply can be repeated together with it.
            await self._call(token, "chat.update", {**root, **content})
        except _SlackError as error:
            if error.code not in LOST_ROOT:
                raise
            return await self._root(token, content)  # somebody deleted it, or the sink moved to another channel
        if story := STORY.get(notification.reason):
            reply = {
                "channel": root["channel"],
                "thread_ts": root["ts"],
                "reply_broadcast": notification.reason in BROADCAST,
                "text": _story(notification, story),
                "unfurl_links": False,
                "unfurl_media": False,
            }
            await self._call(token, "chat.postMessage", reply)
        return root

    async def close(self) -> None:
        return

    def _webhook_url(self) -> str:
        assert self._config.webhook_url
        return self._config.encrypted("webhook_url", self._config.webhook_url.resolve("webhook_url"))

    async def _root(self, token: str, content: dict[str, Any]) -> Receipt:
        quiet = {"unfurl_links": False, "unfurl_media": False}
        answer = await self._call(token, "chat.postMessage", {"channel": self._config.channel, **content, **quiet})
        channel, ts = answer.get("channel"), answer.get("ts")
        if not (isinstance(channel, str) and isinstance(ts, str)):
            raise RemoteError("Slack accepted the message but named no channel and ts", retry=False)
        return {"channel": channel, "ts": ts}

    async def _webhook(self, url: str, content: dict[str, Any]) -> None:
        body = orjson.dumps({**content, "unfurl_links": False, "unfurl_media": False})
        reply = await self._http.post(url, body)
        code = _code(reply.body.decode("utf-8", "replace"), url)
        if reply.status >= 300 and code in RETRY_CODES:
            raise _SlackError(code, retry=True, after=retry_after(reply.headers))
        reply.check(said=_explain(code))
        if reply.body.lstrip().startswith(b"<"):
            raise RemoteError("answered with a web page instead of ok: is a login or a proxy in the way?", retry=True)

    async def _call(self, token: str, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One Web API method. Raises RemoteError, also for `ok: false` in a 200 answer."""
        reply: Reply = await self._http.post(
            f"{self._config.api_url}/{method}",
            orjson.dumps(arguments),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"},
        )
        answer = reply.json()
        if isinstance(answer, dict) and answer.get("ok") is False:
            code = _code(answer.get("error"), token)
            retry = code in RETRY_CODES or reply.status == 429 or reply.status >= 500
            raise _SlackError(code, retry=retry, after=retry_after(reply.headers))
        reply.check()
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise RemoteError("the answer is not Slack's: check api_url, or a proxy is in the way", retry=True)
        return answer


class _SlackError(RemoteError):
    def __init__(self, code: str, *, retry: bool, after: float | None) -> None:
        super().__init__(_explain(code) or "Slack refused the message", retry=retry, after=after)
        self.code = code


def _code(text: object, secret: str) -> str:
    """Slack's error code, or nothing when the text does not look like one or is a part of the credential."""
    if not isinstance(text, str) or not re.fullmatch(r"[a-z][a-z_]{2,40}", text.strip()):
        return ""
    return "" if text.strip() in secret else text.strip()


def _explain(code: str) -> str:
    return f"{code}: {HINTS[code]}" if code in HINTS else code


def escape(text: str, limit: int) -> str:
    """Untrusted text for mrkdwn: one line, `&<>` escaped (which also disarms `<!channel>`), at most `limit` units."""
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    cut = clip(escaped, limit)
    if cut is not escaped and cut != escaped:
        cut = re.sub(r"&[a-z]{0,3}…$", "…", cut)  # no half of an entity
    return cut


def _quoted(text: str, limit: int) -> str:
    """Untrusted text as code; a back-tick would end it."""
    return f"`{escape(text.replace('`', 'ˋ'), limit)}`"


def message(notification: Notification) -> dict[str, Any]:
    """`text` (for notifications and old clients) and `blocks`, within Slack's limits."""
    state = notification.action if notification.incidents else "trigger"
    icon = {"resolve": "✅", "acknowledge": "👀"}.get(state, ICON[notification.severity])
    title = f"{icon} {notification.severity.capitalize()}: {headline(notification)}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": clip(title, HEADER), "emoji": False}}
    ]
    if len(notification.incidents) == 1:
        blocks += _one(notification.incidents[0])
    elif notification.incidents:
        blocks += _many(notification)
    elif lines := prose(notification.text):
        blocks.append(_section("\n".join(escape(line, 500) for line in lines[:5])))
    if linked := _links(notification):
        blocks.append({"type": "context", "elements": [_mrkdwn(linked)]})
    return {"text": escape(title, 500), "blocks": blocks}


def _one(incident: Incident) -> list[dict[str, Any]]:
    fields = [f"*Secret*\n{_quoted(incident.masked, FIELD)}", f"*Seen*\n{escape(seen(incident), FIELD)}"]
    if incident.confidence:
        fields.append(f"*Confidence*\n{escape(incident.confidence, FIELD)}")
    if answer := works(incident):
        fields.append(f"*Does it work?*\n{escape(answer, FIELD)}")
    if incident.owner:
        fields.append(f"*Owner*\n{escape(incident.owner, FIELD)}")
    if decided := decision(incident):
        fields.append(f"*Decision*\n{escape(decided, FIELD)}")
    if known := facts(incident):
        fields.append(f"*Facts*\n{escape(known, FIELD)}")
    blocks: list[dict[str, Any]] = [{"type": "section", "fields": [_mrkdwn(field) for field in fields]}]
    where: list[str] = []
    for location in incident.locations[:PLACES]:
        line = f"{_quoted(place(location), 300)} {escape(origin(location), 200)}"
        if url := _url(location.url, "open", 400):
            line += f" {url}"
        if 2 * (sum(len(row) for row in where) + len(line)) > SECTION:  # twice: a character may be two units
            break
        where.append(line)
    hidden = min(len(incident.locations), incident.occurrences) - len(where)
    if hidden > 0:
        where.append(f"and {hidden:,} more")
    if where:
        blocks.append(_section("*Where*\n" + "\n".join(where)))
    if around := surroundings(incident):
        blocks.append(_section(f"*Line*\n{_quoted(around, FIELD)}"))
    if incident.first_step and incident.state != "resolved":
        blocks.append(_section(f"*What to do first*\n{escape(incident.first_step, 1500)}"))
    if progress := steps(incident):
        blocks.append(_section(f"*Runbook*\n{escape(progress, 500)}"))
    if incident.state == "open":
        typed = _quoted(command(incident), 500)
        blocks.append({"type": "context", "elements": [_mrkdwn(f"To acknowledge: {typed}")]})
    if typed := claim(incident):
        blocks.append({"type": "context", "elements": [_mrkdwn(f"To claim the next step: {_quoted(typed, 500)}")]})
    return blocks


def _many(notification: Notification) -> list[dict[str, Any]]:
    rows = []
    for incident in notification.incidents[:ROWS]:
        where = f" in {_quoted(place(incident.locations[0]), 120)}" if incident.locations else ""
        name = escape(incident.name, 60)
        rows.append(
            f"{ICON[incident.severity]} {name} {_quoted(incident.masked, 40)}{where}, {incident.occurrences:,}×"
        )
    hidden = len(notification.incidents) - len(rows)
    if hidden > 0:
        rows.append(f"and {hidden:,} more: {_quoted(listing(notification), 500)}")
    blocks = [_section("\n".join(rows))]
    if hidden > 0:
        counted = [escape(row, 120) for row in tally(notification)[:TALLY]]
        blocks.append(_section("\n".join(["*All of them*", *counted])))
    if steps := first_steps(notification):
        blocks.append(_section("\n".join(["*What to do first*", *(escape(step, 500) for step in steps)])))
    return blocks


def _links(notification: Notification) -> str:
    url, runbook = links(notification)
    return "  ·  ".join(filter(None, (_url(url, "Open in the console", 950), _url(runbook, "Runbook", 950))))


def _url(url: str | None, label: str, limit: int) -> str:
    good = link(url)
    return f"<{good.replace('&', '&amp;')}|{label}>" if good and len(good.encode("utf-16-le")) <= 2 * limit else ""


def _story(notification: Notification, story: str) -> str:
    if notification.reason == "overdue":
        return escape(f"{headline(notification)}. {notification.text}", 1000)
    text = story.format(severity=notification.severity)
    if len(notification.incidents) == 1:
        incident = notification.incidents[0]
        if notification.reason in BROADCAST:
            text += f": {escape(incident.name, 150)} {_quoted(incident.masked, 100)}"
        if notification.reason in ("reopened", "repeat"):
            text += f", {escape(seen(incident), 200)}"
        who = incident.actor or incident.owner
        if incident.resolution and notification.reason == "resolved":
            text += f" as {incident.resolution}"
        if who and notification.reason in ("acknowledged", "resolved", "reopened_by_hand"):
            text += f" by {escape(who, 100)}"
        if incident.note and notification.reason in ("acknowledged", "resolved", "reopened_by_hand"):
            text += f": {escape(incident.note, 500)}"
        if incident.locations and notification.reason == "reopened":
            text += f", last in {_quoted(place(incident.locations[0]), 300)}"
    else:
        text += f": {escape(headline(notification), 300)}"
    return text


def _mrkdwn(text: str) -> dict[str, Any]:
    # verbatim: no guessing of links, channels or mentions in what a log line brought here
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(clip(text, SECTION))}
