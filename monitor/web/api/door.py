"""Who sends a request to the API by a token, and what they may change."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import structlog
from aiohttp import web

from monitor.accounts.people import PROGRAM, Role
from monitor.accounts.tokens import PREFIX, stored
from monitor.store import Store, StoreError
from monitor.store.tokens import ApiToken
from monitor.web.api.problems import API
from monitor.web.console.visitor import VISITOR, Visitor, received, refuse, visitor

__all__ = ["TOKEN", "TokenDoor", "body_of", "changing"]

log = structlog.get_logger(__name__)

TOKEN = web.RequestKey("token", ApiToken)  # of a request: by which it came
_PATIENCE = 3.0  # seconds for a look into the database
_REFUSED = "this token is not known, has ended or was revoked: `monitor users token add` makes another"


class TokenDoor:
    """Knows tokens, each time by the database: one that is revoked opens nothing from then on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._using: set[asyncio.Task[None]] = set()

    async def holds(self, request: web.Request) -> bool:
        """Whether it came by a token that stands; it has noted whose. Raises HTTPUnauthorized for one that does not,
        and HTTPServiceUnavailable."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if not request.path.startswith(API) or scheme.lower() != "bearer" or not value.strip().startswith(PREFIX):
            return False
        id_ = stored(value.strip())
        known = await self._find(id_) if id_ else None
        if known is None:
            raise web.HTTPUnauthorized(text=_REFUSED, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        request[TOKEN] = known
        request[VISITOR] = Visitor(f"{PROGRAM}{known.name}", known.role if known.scope == "act" else "viewer")
        if self._store.tokens.due(known):
            task = asyncio.create_task(self._use(known.id))
            self._using.add(task)
            task.add_done_callback(self._using.discard)
        return True

    async def _find(self, id_: str) -> ApiToken | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._store.tokens.find(id_)
        except (StoreError, TimeoutError):
            text = "the state database cannot be read, so no token is known: try again in a minute"
            raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "10"}) from None

    async def _use(self, id_: str) -> None:
        try:
            await self._store.tokens.use(id_)
        except StoreError as error:
            log.debug("the use of a token could not be noted", reason=str(error))


def changing(request: web.Request, needed: Role) -> tuple[ApiToken, Visitor]:
    """The token by which something is to be changed. Raises HTTPForbidden, before the body is read."""
    token, who = request.get(TOKEN), visitor(request)
    if token is None:
        refuse(web.HTTPForbidden(text="only a token changes anything here: send `Authorization: Bearer …`"))
    if token.scope != "act":
        refuse(web.HTTPForbidden(text="this token reads only: make one with `--scope act`"))
    if not who.may(needed):
        refuse(web.HTTPForbidden(text=f"this takes a token with `--role {needed}`"))
    return token, who


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent; without a body an empty one. Raises HTTPBadRequest, HTTPRequestTimeout,
    HTTPRequestEntityTooLarge and HTTPUnsupportedMediaType."""
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        refuse(web.HTTPUnsupportedMediaType(text="send a JSON object as application/json"))
    data = await received(request.read(), "body")
    try:
        sent = orjson.loads(data or b"{}")
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    return sent
