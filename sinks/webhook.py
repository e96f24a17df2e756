"""Signed webhooks (Standard Webhooks): the whole notification as JSON, or a message in a chat's own form."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import Http, RemoteError, loopback
from monitor.common.notification import Notification, Receipt
from monitor.common.payload import record
from monitor.common.problems import refuse
from monitor.common.text import clean, clip
from sinks.base import Limits, SinkConfig, TooLargeError
from sinks.text import headline, links, summary

__all__ = ["MOST", "Webhook", "WebhookConfig", "encode", "payload", "signature", "signing_keys"]

MOST = 500  # incidents in one payload
REST = 3600.0  # seconds we leave a receiver alone that answered 410 Gone, before we ask whether it is back
HINTS = {
    401: "the receiver wants a login or refuses the signature: check url and signing_secret",
    403: "the receiver refuses us: check url and signing_secret",
    404: "nothing lives at this URL: check the credential behind url",
    410: "the receiver is gone for good: remove this sink or give it a new URL",
    413: "the receiver takes only smaller bodies: set max_body to its limit",
}


EXAMPLE = """
# Any receiver that speaks Standard Webhooks (https://www.standardwebhooks.com), or the webhook of a chat.
#[[sinks]]
#name = "hook"
#type = "webhook"
#url = "credential:webhook-url"
#signing_secret = "credential:webhook-secret"
#format = "generic"             # or "discord", "teams" (without signing_secret)
#max_body = 262144              # bytes the receiver takes; what is larger is sent in several payloads
"""


class WebhookConfig(SinkConfig):
    """Posts to any receiver that speaks [Standard Webhooks](https://www.standardwebhooks.com) ([the
    payload](webhook.md)), or to the webhook of a chat.

    - `url`: a credential reference, as whoever knows it may post to it. Written out where that is not so: with a
      `signing_secret`, or on this machine
    - `signing_secret`: `whsec_…` (base64); two of them, separated by a space, while it is being changed
    - `format`: or `"discord"`, `"teams"`: a short message to the webhook of a chat, without `signing_secret`
    - `max_body`: bytes the receiver takes; what is larger is sent in several payloads
    """

    type: Literal["webhook"]
    url: Credential | str
    signing_secret: Credential | None = None
    format: Literal["generic", "discord", "teams"] = "generic"
    max_body: int = Field(default=256 * 1024, ge=8 * 1024)

    def servers(self) -> Sequence[str]:
        return (self.url.resolve() if isinstance(self.url, Credential) else self.url,)

    @field_validator("url", mode="before")
    @classmethod
    def _reference(cls, value: object) -> object:
        if isinstance(value, Credential) or (isinstance(value, str) and value.startswith(("http://", "https://"))):
            return value
        if not isinstance(value, str):
            raise ValueError("must be a reference such as env:NAME, file:PATH or credential:NAME")
        return Credential(value)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if isinstance(self.url, str):
            parts = urlsplit(self.url)
            refuse(
                (
                    parts.username or parts.password or parts.query,
                    "a url with a user name, password or query must be a reference, such as env:NAME",
                ),
                (
                    self.signing_secret is None and not loopback(parts.hostname or ""),
                    "url is the only proof of who posts, so it must be a reference (env:NAME, file:PATH or "
                    "credential:NAME); or add signing_secret",
                ),
            )
        needless = self.signing_secret and self.format != "generic"
        refuse((needless, f'signing_secret is of no use with format = "{self.format}": remove one of the two'))
        return self


class Webhook:
    """POSTs to a URL that is a credential; redirects are refused, 410 disables it for an hour."""

    Config: ClassVar[type[SinkConfig]] = WebhookConfig

    def __init__(self, config: WebhookConfig, http: Http) -> None:
        self._config = config
        self._http = http
        generic = config.format == "generic"
        self.limits = (
            Limits(config.max_body, MOST, in_flight=8) if generic else Limits(pace=0.5)
        )  # Discord: 5 in 2 s; Teams: 4 in 1 s
        self._gone: tuple[bytes, float] | None = None  # hash of the URL that answered 410, and until when it rests

    async def send(self, notification: Notification) -> Receipt | None:
        url = self._config.url
        if isinstance(url, Credential):
            url = self._config.encrypted("url", url.resolve("url"))
        digest = hashlib.sha256(url.encode("utf-8", "surrogateescape")).digest()
        if self._gone and self._gone[0] == digest and time.monotonic() < self._gone[1]:
            raise RemoteError(f"not sent, {HINTS[410]}", retry=False)
        headers: dict[str, str] = {}
        if self._config.format == "generic":
            body = encode(notification, self._config.max_body)
            identity = quote(clean(notification.id), safe=":@+/=").replace(".", "%2E")  # "." separates what is signed
            headers = {"webhook-id": identity, "webhook-timestamp": str(int(time.time()))}
            if self._config.signing_secret:
                keys = signing_keys(self._config.signing_secret.resolve("signing_secret"))
                headers["webhook-signature"] = signature(keys, identity, headers["webhook-timestamp"], body)
        else:
            from sinks import chat

            body = orjson.dumps(chat.FORMATS[self._config.format](notification))
            url = _with(url, chat.QUERY.get(self._config.format, {}))
        reply = await self._http.post(url, body, headers)
        self._gone = (digest, time.monotonic() + REST) if reply.status == 410 else None
        reply.check(HINTS)
        return None


def _with(url: str, query: Mapping[str, str]) -> str:
    """`url` with `query` added to its own, which says more (a thread, say) and has the last word."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # no URL: it fails by itself
    own = dict(parse_qsl(parts.query, keep_blank_values=True))
    added = urlencode({key: value for key, value in query.items() if key not in own})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added))))) if added else url


def signing_keys(secret: str) -> list[bytes]:
    """The keys in `whsec_… [whsec_…]`. Raises RemoteError without showing any of it."""
    keys = []
    for part in secret.split():
        encoded = part.removeprefix("whsec_")
        try:
            keys.append(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
        except (binascii.Error, ValueError):
            keys.append(b"")
    if not keys or not all(keys):
        message = 'signing_secret: must be "whsec_" and base64; `openssl rand -base64 32` makes the second part'
        raise RemoteError(message, retry=False)
    return keys


def signature(keys: list[bytes], identity: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` header: one `v1,…` a key, separated by spaces."""
    signed = b".".join((identity.encode(), timestamp.encode(), body))
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def encode(notification: Notification, limit: int | None = None) -> bytes:
    """The payload as one line of JSON in UTF-8, of at most `limit` bytes. Raises TooLargeError.

    Several incidents are to be sent in parts then; of a single one, the oldest of its places are left out, and texts of
    a senseless length are cut.
    """
    whole = payload(notification)
    body = orjson.dumps(whole)
    if limit is None or len(body) <= limit:
        return body
    if len(notification.incidents) <= 1:
        for places, width in ((50, None), (10, None), (3, None), (1, 2000), (0, 200), (0, 30)):
            for incident in whole["incidents"]:
                incident["locations"] = incident["locations"][:places]
            shorter = orjson.dumps(_cut(whole, width) if width else whole)
            if len(shorter) <= limit:
                return shorter
    raise TooLargeError(f"{len(body):,} bytes, and the sink takes {limit:,}", len(body) * 5 // (limit * 4) + 1)


def _cut(value: Any, width: int) -> Any:
    """Every text in it cut to so many characters."""
    if isinstance(value, str):
        return clip(value, width)
    if isinstance(value, list):
        return [_cut(item, width) for item in value]
    return {key: _cut(item, width) for key, item in value.items()} if isinstance(value, dict) else value


def payload(notification: Notification) -> dict[str, Any]:
    """What scripts depend on. Keys are only ever added."""
    url, runbook = links(notification)
    return {
        "version": notification.version,
        "id": clean(notification.id),
        "reason": notification.reason,
        "host": clean(notification.host),
        "drill": notification.drill,
        "severity": notification.severity,
        "title": clean(notification.title or headline(notification)),
        "text": clean(summary(notification)),
        "incidents": [record(incident) for incident in notification.incidents],
        "more": notification.more,
        "url": url and clean(url),
        "runbook": runbook and clean(runbook),
    }
