"""What Slack sends when somebody presses a button or has written why: to `/hooks/slack` (monitor.web.hooks), or over
Socket Mode.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import orjson

from monitor.common.credential import Credential
from monitor.common.inbound import Announced, InboundRequest, Owner, UnusableError, same
from monitor.common.outside import at, listed, text
from sinks.slack.buttons import Press, pressed
from sinks.slack.config import SlackConfig
from sinks.slack.words import ID, TRIGGER, TS, submitted, wanted

__all__ = ["SlackHook", "asked"]

WINDOW = 300.0  # seconds a signature is good for, either way
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_STAMP = re.compile(r"[0-9]{1,12}")
_MOST_PRESSES = 25  # of one payload: more elements no block has


class SlackHook:
    """A Vendor."""

    most = 1 << 20
    header = "X-Slack-Signature"
    probes = 256

    def probe(self, body: bytearray) -> bool:
        """Slack tries the certificate now and then, as its guide to slash commands says, with a form of no meaning."""
        try:
            fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
        except ValueError:
            return False
        return fields.get("ssl_check") == ["1"] and fields.keys() <= {"ssl_check", "token"}

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        return (owner.signing_secret,) if isinstance(owner, SlackConfig) and owner.signing_secret else ()

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        stamp = headers.get("X-Slack-Request-Timestamp", "")
        if not _SIGNATURE.fullmatch(headers.get(self.header, "")) or not _STAMP.fullmatch(stamp):
            return False
        return abs(now - int(stamp)) <= WINDOW

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        stamp = headers.get("X-Slack-Request-Timestamp", "").encode()
        digest = hmac.new(secret, b"v0:" + stamp + b":" + body, hashlib.sha256).hexdigest()
        return same(headers.get(self.header, ""), f"v0={digest}")

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        payload = _payload(body)
        if payload is None:
            raise UnusableError(signed[0], "hook payload")
        configs = [one for one in signed if isinstance(one, SlackConfig)]
        return Announced(requests=asked(payload, configs))  # Slack wants an empty 200


def asked(payload: Mapping[str, Any], configs: Sequence[SlackConfig]) -> list[InboundRequest]:
    """The requests in a payload for one of these sinks. Nothing is kept of it but ids and names of ours."""
    if payload.get("type") == "view_submission":
        return _written(payload, configs)
    if payload.get("type") != "block_actions":
        return []
    user, channel = _id(payload, "user"), _id(payload, "channel")
    if not user or not channel:
        return []
    thread, window = text(payload, "container", "thread_ts"), text(payload, "trigger_id")
    reply = {"channel": channel, "user": user} | ({"thread_ts": thread} if TS.fullmatch(thread) else {})
    if not TRIGGER.fullmatch(window):
        window = ""

    found = []
    for action in listed(payload, "actions")[:_MOST_PRESSES]:
        press = pressed(action)
        config = next((one for one in configs if press is not None and one.name == press.sink), None)
        stamp = text(action, "action_ts")
        if press is not None and config is not None and TS.fullmatch(stamp):
            moment = f"{channel}:{at(payload, 'container', 'message_ts')}:{stamp}"
            request = _request(press, config, user, moment, reply)
            found.append(replace(request, at=float(stamp), window=window if wanted(press) else ""))
    return found


def _written(payload: Mapping[str, Any], configs: Sequence[SlackConfig]) -> list[InboundRequest]:
    """The same with the words that were asked for."""
    user, said = _id(payload, "user"), submitted(payload)
    config = next((one for one in configs if said is not None and one.name == said.press.sink), None)
    if not user or said is None or config is None:
        return []
    return [_request(said.press, config, user, f"window:{said.window}", {**said.reply, "user": user})]


def _request(press: Press, config: SlackConfig, user: str, moment: str, reply: Mapping[str, str]) -> InboundRequest:
    name, refusal = config.person(user, press.verb)
    once = "\0".join((user, moment, press.sink, press.incident or press.key, press.verb, press.detail))
    return InboundRequest(
        id=f"slack:{hashlib.sha256(once.encode('utf-8', 'backslashreplace')).hexdigest()[:40]}",
        sink=config.name,
        verb=press.verb,
        actor=name,
        incident=press.incident,
        key=press.key,
        detail=press.detail,
        note=press.note,
        refusal=refusal,
        answer=reply,
    )


def _payload(body: bytearray) -> dict[str, Any] | None:
    try:
        fields = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=10)
        payload = orjson.loads(fields.get("payload", [""])[0])
    except (ValueError, RecursionError):  # a decoding error is a ValueError too
        return None
    return payload if isinstance(payload, dict) else None


def _id(payload: Mapping[str, Any], name: str) -> str:
    given = text(payload, name, "id")
    return given if ID.fullmatch(given) else ""
