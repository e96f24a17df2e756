"""Webhooks, signed as Standard Webhooks says: the whole notification as JSON, a body by a template (with a ticket over
there kept in step), or a message in a chat's own form."""

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
import structlog
from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import CLEAR, Http, RemoteError, Reply, in_the_clear, loopback
from monitor.common.notification import Notification, Receipt
from monitor.common.problems import refuse
from monitor.common.text import clean, token_like
from sinks.base import Limits, SinkConfig
from sinks.payload import MOST, encode, payload
from sinks.request import Body, Expected, Headers, Method, Pointer, Request, Status, received, revealing, said
from sinks.template import UrlTemplate, fields_of

__all__ = ["Webhook", "WebhookConfig", "signature", "signing_keys"]

log = structlog.get_logger(__name__)

REST = 3600.0  # seconds we leave a receiver alone that answered 410 Gone, before we ask whether it is back
HINTS = {
    401: "the receiver wants a login or refuses the signature: check url and signing_secret, or headers",
    403: "the receiver refuses us: check url and signing_secret, or headers",
    404: "nothing lives at this URL: check the credential behind url",
    410: "the receiver is gone for good: remove this sink or give it a new URL",
    413: "the receiver takes only smaller bodies: set max_body to its limit",
}
FREE = ("method", "headers", "content_type", "body", "per_incident", "expect", "accept", "receipt")  # of no chat's form
LATER = ("update", "acknowledge", "resolve", "reopen")
NO_TICKET = dict.fromkeys((404, 410), "there is no such ticket any more, or the url of its table is wrong")
LOST = frozenset(NO_TICKET)  # answers to news of a ticket that somebody deleted
ALARMS = frozenset({"new", "escalated", "reopened", "reopened_by_hand", "overdue"})  # which open another then


EXAMPLE = """
# Any receiver that speaks Standard Webhooks (https://www.standardwebhooks.com), or the webhook of a chat.
#[[sinks]]
#name = "hook"
#type = "webhook"
#url = "credential:webhook-url"
#signing_secret = "credential:webhook-secret"
#format = "generic"             # or "discord", "teams" (without signing_secret)
#max_body = 262144              # bytes the receiver takes; what is larger is sent in several payloads

# Any other interface, such as that of a ticket system (docs/webhook.recipes.toml has some).
#[[sinks]]
#name = "tickets"
#type = "webhook"
#url = "https://tickets.example.org/api/tickets"
#method = "POST"
#headers = { Authorization = "Bearer {credential:tickets-token}" }
#content_type = "application/json"
#body = '{"title": "{title:250}", "text": "{text!plain}", "severity": "{severity}"}'
#per_incident = false           # true: the body once for each incident
#expect = { "/ok" = true }      # what an answer has to say
#accept = [409]                 # statuses beside 2xx that are no failure
#receipt = "/ticket/id"         # where the answer to the first request names the ticket
#[sinks.update]
#url = "https://tickets.example.org/api/tickets/{receipt}/comments"
#body = '{"text": "{text!plain}"}'
#[sinks.acknowledge]
#url = "https://tickets.example.org/api/tickets/{receipt}/comments"
#body = '{"text": "{title!plain}"}'
#[sinks.resolve]
#url = "https://tickets.example.org/api/tickets/{receipt}"
#method = "PATCH"
#body = '{"state": "closed"}'
#[sinks.reopen]
#url = "https://tickets.example.org/api/tickets/{receipt}"
#method = "PATCH"
#body = '{"state": "open", "text": "{text!plain}"}'
"""


class WebhookConfig(SinkConfig):
    """Posts to any receiver that speaks [Standard Webhooks](https://www.standardwebhooks.com) ([the
    payload](webhook.md)), to the webhook of a chat, or, by a [template](webhook.md#templates), to what takes JSON.

    - `url`: a credential reference, as whoever knows it may post to it. Written out where that is not so: with a
      `signing_secret`, with a reference in `headers`, or on this machine
    - `signing_secret`: `whsec_…` (base64); two of them, separated by a space, while it is being changed
    - `format`: or `"discord"`, `"teams"`: a short message to the webhook of a chat, without `signing_secret`
    - `max_body`: bytes the receiver takes; what is larger is sent in several payloads
    - `method`, `content_type`, `headers`: of the request; a header may hold references: `"Bearer {env:NAME}"`
    - `body`, `per_incident`: a [template](webhook.md#templates), once or (`true`) for each incident
    - `expect`, `accept`: JSON pointers into the answer → what must be there; statuses beside 2xx that are no failure
    - `receipt`, `update`, `acknowledge`, `resolve`, `reopen`: [a ticket in step](webhook.md#a-ticket-in-step)
    """

    type: Literal["webhook"]
    url: Credential | str
    signing_secret: Credential | None = None
    format: Literal["generic", "discord", "teams"] = "generic"
    max_body: int = Field(default=256 * 1024, ge=8 * 1024)
    method: Method = "POST"
    headers: Headers | None = None
    content_type: str = Field(
        default="application/json", pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[\w-]+)?$"
    )
    body: Body | None = None
    per_incident: bool = False
    expect: Expected | None = None
    accept: tuple[Status, ...] = ()
    receipt: Pointer | None = None
    update: Request | None = None
    acknowledge: Request | None = None
    resolve: Request | None = None
    reopen: Request | None = None

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
    def _proven(self) -> Self:
        proves = any(revealing(self.headers or {}))
        if isinstance(self.url, str):
            parts = urlsplit(self.url)
            open_ = parts.query and (not proves or token_like(parts.query))
            refuse(
                (
                    parts.username or parts.password or open_,
                    "a url with a user name, password or query must be a reference, such as env:NAME",
                ),
                (
                    self.signing_secret is None and not proves and not loopback(parts.hostname or ""),
                    "url is the only proof of who posts, so it must be a reference (env:NAME, file:PATH or "
                    "credential:NAME); or add signing_secret, or headers with a reference",
                ),
            )
            UrlTemplate.parse(self.url)
        for key, request in ("", self.first), *self.later.items():
            clear = proves and not self.insecure and request.url is not None and in_the_clear(request.url)
            refuse((clear, f"{key and key + '.'}url: the credentials in headers {CLEAR}"))
        return self

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        chat = self.format != "generic"
        own = self.model_fields_set & {*FREE, *LATER}
        early = "receipt" in self.first.uses
        lacking = [key for key, request in self.later.items() if "receipt" in request.uses and not self.receipt]
        refuse(
            (
                chat and self.signing_secret,
                f'signing_secret is of no use with format = "{self.format}": remove one of the two',
            ),
            (chat and own, f'{", ".join(sorted(own))}: of no use with format = "{self.format}"'),
            (self.per_incident and self.body is None, "per_incident needs a body"),
            (self.receipt and not self.later, f"receipt is of no use without {' or '.join(LATER)}"),
            (early, "{receipt} is not known before the first answer"),
            (lacking, f"{', '.join(lacking)}: {{receipt}} needs receipt, which says where the first answer names it"),
        )
        return self

    @property
    def first(self) -> Request:
        """What is sent of what the receiver does not know."""
        url = self.url if isinstance(self.url, str) else None
        return Request.model_construct(
            url=url, method=self.method, body=self.body, expect=self.expect, accept=self.accept
        )

    @property
    def later(self) -> Mapping[str, Request]:
        tables = {key: getattr(self, key) for key in LATER}
        return {key: request for key, request in tables.items() if request is not None}


class Webhook:
    """Sends to a URL that is a credential, or with one; redirects are refused, 410 disables it for an hour."""

    Config: ClassVar[type[SinkConfig]] = WebhookConfig

    def __init__(self, config: WebhookConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._first, self._later = config.first, config.later
        generic = config.format == "generic"
        self.limits = (
            Limits(config.max_body, MOST, in_flight=8) if generic else Limits(pace=0.5)
        )  # Discord: 5 in 2 s; Teams: 4 in 1 s
        self._gone: tuple[bytes, float] | None = None  # hash of the URL that answered 410, and until when it rests

    async def send(self, notification: Notification) -> Receipt | None:
        if self._config.format != "generic":
            return await self._chat(notification)
        if not self._later:
            await self._exchange(notification, self._first)
            return None

        ticket = (notification.receipt or {}).get("ticket")
        if ticket is None and (notification.action == "resolve" or notification.reason == "progress"):
            return None  # no ticket is made of what is over
        if ticket is not None:
            request = self._chosen(notification)
            if request is None:
                return None
            try:
                await self._exchange(notification, request, ticket)
            except RemoteError as error:
                if error.status not in LOST or notification.reason not in ALARMS:
                    raise
            else:
                return None
        return {"ticket": await self._exchange(notification, self._first)}

    def _chosen(self, notification: Notification) -> Request | None:
        """What is sent of news about a ticket; None: it need not be told."""
        news = {"acknowledged": "acknowledge", "reopened": "reopen", "reopened_by_hand": "reopen"}
        # What it is now has the last word: it may have been resolved since this was said of it.
        key = "resolve" if notification.action == "resolve" else news.get(notification.reason, "update")
        return self._later.get(key) or self._later.get("update")

    async def _exchange(self, notification: Notification, request: Request, ticket: str = "") -> str:
        """Send it; returns the name of the ticket that the answer to the first request has. Raises RemoteError."""
        config, template = self._config, request.body or self._config.body
        if not ticket and "receipt" in request.uses:
            raise RemoteError("the receiver never named this ticket: check receipt", retry=False, status=404)

        def form(whole: dict[str, Any]) -> bytes:
            if template is None:
                return orjson.dumps(whole)
            fields = fields_of(whole, clean(notification.key), ticket)
            each = whole["incidents"] if config.per_incident else ()
            return template.render(*({**fields, "incident": one} for one in each) if each else (fields,))

        secrets: list[str] = []
        url = self._address(request, notification, ticket, secrets)
        body = encode(notification, config.max_body, form)
        headers = {name: _value(f"headers.{name}", parts, secrets) for name, parts in (config.headers or {}).items()}
        identity = quote(clean(notification.id), safe=":@+/=").replace(".", "%2E")  # "." separates what is signed
        headers |= {"webhook-id": identity, "webhook-timestamp": str(int(time.time()))}
        if config.signing_secret:
            secrets.append(config.signing_secret.resolve("signing_secret"))
            keys = signing_keys(secrets[-1])
            headers["webhook-signature"] = signature(keys, identity, headers["webhook-timestamp"], body)

        reply = await self._request(request.method, url, body, {**headers, "Content-Type": config.content_type})
        hints = HINTS if request is self._first else {**HINTS, **NO_TICKET}
        request.judge(reply, hints, said(reply, secrets) if template and reply.status < 500 else "")
        if request is not self._first or config.receipt is None:
            return ""
        named = received(reply, config.receipt, secrets)
        if not named:
            text = f"taken, but the answer names no ticket at {config.receipt}: check receipt"
            if notification.reason == "test":
                raise RemoteError(text, retry=False)
            log.warning("a ticket cannot be kept in step", sink=config.name, reason=text)
        return named

    def _address(self, request: Request, notification: Notification, ticket: str, secrets: list[str]) -> str:
        config = self._config
        if request.url is None and isinstance(config.url, Credential):
            secrets.append(config.url.resolve("url"))
            return config.encrypted("url", secrets[-1])
        address = UrlTemplate.parse(request.url or str(config.url))
        whole = payload(notification) if address.uses else None
        url = address.filled(fields_of(whole, clean(notification.key), ticket) if whole else {})
        if url is None:
            raise RemoteError("url: a field in it is empty or only dots", retry=False)
        return url

    async def _chat(self, notification: Notification) -> Receipt | None:
        from sinks import chat

        body = orjson.dumps(chat.FORMATS[self._config.format](notification))
        url = self._address(self._first, notification, "", [])
        url = _with(url, chat.QUERY.get(self._config.format, {}))
        (await self._request("POST", url, body, {"Content-Type": "application/json"})).check(HINTS)
        return None

    async def _request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        digest = hashlib.sha256(url.encode("utf-8", "surrogateescape")).digest()
        if self._gone and self._gone[0] == digest and time.monotonic() < self._gone[1]:
            raise RemoteError(f"not sent, {HINTS[410]}", retry=False, status=410)
        reply = await self._http.request(method, url, body, headers)
        if reply.status == 410 or (self._gone and self._gone[0] == digest):
            self._gone = (digest, time.monotonic() + REST) if reply.status == 410 else None
        return reply


def _value(key: str, parts: tuple[str | Credential, ...], secrets: list[str]) -> str:
    """A header as it is sent; what it reveals is added to `secrets`."""
    made = [part.resolve(key) if isinstance(part, Credential) else part for part in parts]
    secrets += [text for text, part in zip(made, parts, strict=True) if isinstance(part, Credential)]
    return "".join(made)


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
