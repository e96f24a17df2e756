"""Who may read pages: who is signed in, or knows the token; without either, whoever is on this host or can open the
socket."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.common.credential import Credential, CredentialError
from monitor.common.httpd import given
from monitor.common.inbound import same

__all__ = ["FORWARDED", "OPEN", "Doorkeeper", "Programs", "guard"]

log = structlog.get_logger(__name__)

# Say nothing of any incident; hooks are signed.
OPEN = ("/healthz", "/readyz", "/metrics", "/hooks/", "/static/")
# Say how the monitor is to commands on this host, as before there was any sign-in.
_BESIDE = ("/status",)
# A proxy on this host speaks for somebody elsewhere.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Doorkeeper(Protocol):
    """What knows who is signed in."""

    @property
    def asks(self) -> bool:
        """Whether pages are for those alone who are."""

    async def knows(self, request: web.Request) -> bool:
        """Whether it knows who sends this; it has noted who then."""

    def open(self, path: str) -> bool:
        """Whether a page is for those as well who are not."""

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """The answer to who is not."""


class Programs(Protocol):
    """What knows programs by their tokens."""

    async def holds(self, request: web.Request) -> bool:
        """Whether one sends this. Raises HTTPUnauthorized for a token of theirs that opens nothing any more."""


def guard(
    token: Credential | None, doorkeeper: Doorkeeper | None = None, programs: Programs | None = None
) -> Middleware:
    """Asks for `token` (http.token) as a bearer token, or as the password in a browser; or who somebody is, or which
    program.

    On this host, too: a proxy there that does not say for whom it asks looks like somebody on it.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OPEN):
            return await handler(request)
        if programs is not None and await programs.holds(request):
            return await handler(request)
        asks = doorkeeper is not None and doorkeeper.asks and request.path not in _BESIDE
        if doorkeeper is not None and (asks or token is None) and await doorkeeper.knows(request):
            return await handler(request)
        if token is None and not asks and _local(request):
            return await handler(request)
        sent = given(request.headers.get("Authorization", ""))
        if token is not None and (sent or not asks):
            try:
                wanted = await asyncio.to_thread(token.resolve)
            except CredentialError as error:
                log.error("http.token", problem=str(error))
                return web.Response(status=503, text="the token cannot be read\n")
            if same(sent, wanted):
                if doorkeeper is not None and not asks:
                    await doorkeeper.knows(request)  # the user at the socket
                return await handler(request)
        if doorkeeper is not None and asks:
            return await handler(request) if doorkeeper.open(request.path) else await doorkeeper.ask(request)
        if token is None:
            return web.Response(status=403, text="from elsewhere than this host pages need a token: set http.token\n")
        asked = {"WWW-Authenticate": 'Basic realm="exposure monitor", charset="UTF-8"'}
        return web.Response(status=401, text="the token of http.token is needed\n", headers=asked)

    return check


def _local(request: web.Request) -> bool:
    """Whether it comes from this host: loopback or a unix socket, and no proxy passed it on."""
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple):
        return peer is not None  # a unix socket's is text, and who may open it is a matter of its mode
    try:
        address = ipaddress.ip_address(peer[0].partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
