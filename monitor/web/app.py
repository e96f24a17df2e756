"""The aiohttp application: health, and whatever routes hooks and the console add.

Built from plain callables, so that it runs alone in a test.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.common.credential import Credential
from monitor.web import auth, health
from monitor.web.api.problems import problems
from monitor.web.console.origin import BASE
from monitor.web.failures import failures

__all__ = ["allowed_hosts", "build"]

MAX_BODY = 64 << 10  # of what is no hook: those read their bodies themselves (monitor.common.httpd.Bodies)


async def _unchanged(text: str) -> str:
    return text


def build(
    probes: health.Probes,
    *,
    hosts: Iterable[str] = (),
    routes: Iterable[web.RouteDef] = (),
    token: Credential | None = None,
    doorkeeper: auth.Doorkeeper | None = None,
    programs: auth.Programs | None = None,
    base_url: str | None = None,
    redact: Callable[[str], Awaitable[str]] = _unchanged,
) -> web.Application:
    """The application. `hosts`: names (without port) it may be addressed by, beside loopback and IP addresses.

    `routes` come from hooks and console modules; `token`, `doorkeeper`, `programs`: what pages ask for
    (monitor.web.auth); `base_url`: how people reach it; `redact`: masks what refusals say.
    """
    named = _host_guard(frozenset(host.lower() for host in hosts))
    app = web.Application(
        middlewares=[problems, failures(redact), named, auth.guard(token, doorkeeper, programs)],
        client_max_size=MAX_BODY,
    )
    app[BASE] = base_url or ""
    app.on_response_prepare.append(_plain_headers)
    app.add_routes([*health.routes(probes), *routes])
    return app


def allowed_hosts(listen_host: str, base_url: str | None, extra: Iterable[str] = ()) -> set[str]:
    """The `hosts` for `build` that follow from the `[http]` table."""
    named = urlsplit(base_url).hostname if base_url else None
    return {host for host in (listen_host, named, *extra) if host and not host.startswith("/")}


def _host_guard(hosts: frozenset[str]) -> Middleware:
    """Refuse unknown Host headers: a web page must not reach us by a DNS name of its own (DNS rebinding).

    An IP address as Host cannot be rebound, so scrapers may use any.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _host_name(request.headers.get("Host", ""))
        if name is None or not (name == "localhost" or name in hosts or _is_address(name)):
            return web.Response(status=421, text="unknown Host header; list the name in http.hosts\n")
        return await handler(request)

    return guard


def _host_name(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _plain_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    # Not none at all: with that, browsers do not say of a form from which page it comes.
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("X-Frame-Options", "DENY")
