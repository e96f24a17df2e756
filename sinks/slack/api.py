"""Slack's Web API: one method at a time, its errors told apart and explained."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import orjson

from monitor.common.http import Http, RemoteError, retry_after

__all__ = ["RETRY_CODES", "SlackError", "call", "code_in", "explain"]

RETRY_CODES = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"}) | {
    "external_channel_migrating",
    "is_inactive",
    "request_timeout",
    "rollup_error",
    "team_added_to_org",
    "update_failed",
}
_MOST_READ = 8 << 20  # bytes of an answer to a method that reads
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
    "not_allowed_token_type": "check app_token: it begins with xapp-",
    "token_revoked": "install the app again and replace token",
}


async def call(
    http: Http, url: str, token: str, arguments: dict[str, Any] | None = None, *, form: bool = False
) -> dict[str, Any]:
    """One method; `url`: its own. `form`: it reads, and what reads takes no JSON; its answer may be long. Raises
    RemoteError, also for `ok: false` in a 200 answer."""
    kind = "application/x-www-form-urlencoded" if form else "application/json; charset=utf-8"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    if form:
        plain = {name: str(one).lower() if isinstance(one, bool) else one for name, one in (arguments or {}).items()}
        reply = await http.request("POST", url, urlencode(plain).encode(), headers, limit=_MOST_READ, whole=True)
    else:
        reply = await http.post(url, orjson.dumps(arguments or {}), headers)
    answer = reply.json()
    if isinstance(answer, dict) and answer.get("ok") is False:
        code = code_in(answer.get("error"), token)
        retry = code in RETRY_CODES or reply.status == 429 or reply.status >= 500
        raise SlackError(code, retry=retry, after=retry_after(reply.headers))
    reply.check()
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        raise RemoteError("the answer is not Slack's: check api_url, or a proxy is in the way", retry=True)
    return answer


class SlackError(RemoteError):
    """`code`: Slack's name for what is wrong; empty: it gave none that can be shown."""

    def __init__(self, code: str, *, retry: bool, after: float | None) -> None:
        super().__init__(explain(code) or "Slack refused the message", retry=retry, after=after)
        self.code = code


def code_in(text: object, secret: str) -> str:
    """Slack's error code, or nothing when the text does not look like one or is a part of the credential."""
    if not isinstance(text, str) or not re.fullmatch(r"[a-z][a-z_]{2,40}", text.strip()):
        return ""
    return "" if text.strip() in secret else text.strip()


def explain(code: str) -> str:
    return f"{code}: {HINTS[code]}" if code in HINTS else code
