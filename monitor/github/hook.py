"""`POST /hooks/github`: GitHub's webhooks, verified, noted in the database and answered; the source does the rest.

Nothing of a payload is kept but which alert of which repository it is about: its present state is read over the API.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson
import structlog
from aiohttp import web

from monitor.common.credential import CredentialError
from monitor.github.source import GitHubConfig
from monitor.model import HookDelivery
from monitor.sources.base import SourceConfig
from monitor.web.limits import Bodies

__all__ = ["PATH", "routes", "signature"]

log = structlog.get_logger(__name__)

PATH = "/hooks/github"
SIZE_LIMIT = 25 << 20  # GitHub's own cap
ANSWER_WITHIN = 0.9  # seconds for the database; GitHub gives 10, but a slow disk is better told than hidden
BIG = 1 << 20  # from here on hashing and parsing leave the event loop
EVENTS = ("secret_scanning_alert", "secret_scanning_alert_location", "secret_scanning_scan")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}")
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
_REPO = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")

Enqueue = Callable[[HookDelivery], Awaitable[bool]]  # True: it is new


def signature(secret: bytes, body: bytes | bytearray) -> str:
    """The hex digest GitHub sends in X-Hub-Signature-256."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def routes(
    sources: Callable[[], Iterable[SourceConfig]], enqueue: Enqueue, malformed: Callable[[str, str], None]
) -> list[web.RouteDef]:
    """The route. `sources` gives those in force (a reload changes them); `malformed(source, what)` counts unusable
    hooks."""

    bodies = Bodies(SIZE_LIMIT)

    async def receive(request: web.Request) -> web.Response:
        configured = [one for one in sources() if isinstance(one, GitHubConfig) and one.webhook_secret is not None]
        if not configured:
            return web.Response(status=404, text="no source has a webhook_secret\n")
        return await _receive(request, bodies, configured, enqueue, malformed)

    return [web.post(PATH, receive)]


async def _receive(
    request: web.Request,
    bodies: Bodies,
    sources: Sequence[GitHubConfig],
    enqueue: Enqueue,
    malformed: Callable[[str, str], None],
) -> web.Response:
    given = _SIGNATURE.fullmatch(request.headers.get("X-Hub-Signature-256", ""))
    if given is None:  # before a byte of the body is read
        malformed("", "hook signature")
        return web.Response(status=401, text="X-Hub-Signature-256 is missing; set a secret on the webhook\n")
    async with bodies.read(request) as body:
        try:
            if len(body) > BIG:
                signed = await asyncio.to_thread(_signed, sources, body, given[1])
            else:
                signed = _signed(sources, body, given[1])
        except CredentialError as error:
            log.error("webhook secret", problem=str(error))
            return web.Response(status=503, text="the webhook secret cannot be read\n")
        if not signed:
            malformed("", "hook signature")
            log.warning("webhook with a wrong signature", remote=request.remote)
            return web.Response(status=401, text="the signature does not match\n")
        return await _note(request, signed, body, enqueue, malformed)


async def _note(
    request: web.Request,
    signed: Sequence[GitHubConfig],
    body: bytearray,
    enqueue: Enqueue,
    malformed: Callable[[str, str], None],
) -> web.Response:
    """Of a body that one of our secrets has signed."""
    delivery = request.headers.get("X-GitHub-Delivery", "")
    event = request.headers.get("X-GitHub-Event", "")
    if not _DELIVERY.fullmatch(delivery):
        return _unusable(signed[0], "hook delivery id", malformed)
    if event == "ping":
        log.info("webhook is set up", source=signed[0].name)
        return web.Response(text="pong\n")
    if event not in EVENTS:
        return web.Response(status=202, text="not an event we use\n")
    payload = (
        await asyncio.to_thread(_payload, body, request.content_type)
        if len(body) > BIG
        else _payload(body, request.content_type)
    )
    if payload is None:
        return _unusable(signed[0], "hook payload", malformed)
    repo, number = _subject(payload)
    source = _chosen(signed, repo)
    if not number and event != "secret_scanning_scan":
        return _unusable(source, "hook payload", malformed)
    try:
        # Shielded: what was begun is finished, and a repeat of it is ignored.
        fresh = await asyncio.wait_for(
            asyncio.shield(enqueue(HookDelivery(_once(event, body), source.name, event, repo, number))), ANSWER_WITHIN
        )
    except TimeoutError:
        return web.Response(status=503, text="the database is slow; polling will recover this\n")
    return web.Response(status=202, text="accepted\n" if fresh else "known already\n")


def _once(event: str, body: bytearray) -> str:
    """What a delivery is known by: what was signed, not the id beside it, under which it could be sent again."""
    return f"hook:{hashlib.sha256(event.encode() + bytes(1) + body).hexdigest()[:40]}"


def _signed(sources: Sequence[GitHubConfig], body: bytearray, given: str) -> list[GitHubConfig]:
    """The sources whose secret signed the body. All are tried, each in constant time."""
    found = []
    for source in sources:
        assert source.webhook_secret is not None
        if hmac.compare_digest(signature(source.webhook_secret.resolve().encode(), body), given):
            found.append(source)
    return found


def _payload(body: bytes | bytearray, content_type: str) -> dict[str, Any] | None:
    try:
        if content_type == "application/x-www-form-urlencoded":
            fields = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=10)
            body = fields.get("payload", [""])[0].encode()
        payload = orjson.loads(body)
    except (ValueError, RecursionError):  # a decoding error is a ValueError too
        return None
    return payload if isinstance(payload, dict) else None


def _subject(payload: dict[str, Any]) -> tuple[str, int]:
    """Repository and alert number, empty and 0 when they are not there."""
    repository, alert = payload.get("repository"), payload.get("alert")
    name = repository.get("full_name") if isinstance(repository, dict) else None
    number = alert.get("number") if isinstance(alert, dict) else None
    if not isinstance(name, str) or not _REPO.fullmatch(name):
        return "", 0
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**53:
        return name, 0
    return name, number


def _chosen(signed: Sequence[GitHubConfig], repo: str) -> GitHubConfig:
    """Where several sources share a secret: the one that watches the repository or its owner."""
    owner = repo.partition("/")[0].lower()
    for source in signed:
        if repo.lower() in (name.lower() for name in source.repo) or owner in (name.lower() for name in source.org):
            return source
    return signed[0]


def _unusable(source: GitHubConfig, what: str, malformed: Callable[[str, str], None]) -> web.Response:
    malformed(source.name, what)
    log.warning("unusable webhook", source=source.name, field=what)
    return web.Response(status=400, text=f"{what} cannot be used\n")
