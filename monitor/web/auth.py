"""Who may read pages: whoever knows the token; without one, whoever is on this host or can open the socket."""

from __future__ import annotations

import asyncio
import ipaddress

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.common.credential import Credential, CredentialError
from monitor.common.httpd import given
from monitor.common.inbound import same

__all__ = ["OPEN", "guard"]

log = structlog.get_logger(__name__)

# Say nothing of any incident; hooks are signed.
OPEN = ("/healthz", "/readyz", "/metrics", "/hooks/")
# A proxy on this host speaks for somebody elsewhere.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def guard(token: Credential | None) -> Middleware:
    """Asks for `token` (http.token) as a bearer token, or as the password in a browser.

    On this host, too: a proxy there that does not say for whom it asks looks like somebody on it.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OPEN) or (token is None and _local(request)):
            return await handler(request)
        if token is None:
            return web.Response(status=403, text="from elsewhere than this host pages need a token: set http.token\n")
        try:
            wanted = await asyncio.to_thread(token.resolve)
        except CredentialError as error:
            log.error("http.token", problem=str(error))
            return web.Response(status=503, text="the token cannot be read\n")
        if not same(given(request.headers.get("Authorization", "")), wanted):
            asked = {"WWW-Authenticate": 'Basic realm="exposure monitor", charset="UTF-8"'}
            return web.Response(status=401, text="the token of http.token is needed\n", headers=asked)
        return await handler(request)

    return check


def _local(request: web.Request) -> bool:
    """Whether it comes from this host: loopback or a unix socket, and no proxy passed it on."""
    if any(name in request.headers for name in _FORWARDED):
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
