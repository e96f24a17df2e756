"""The aiohttp application: health, and whatever routes hooks and the console add.

Built from plain callables, so that it runs alone in a test. Listens on loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.common.credential import Credential
from monitor.web import auth, health
from monitor.web.limits import CONNECTIONS, HEADERS_WITHIN, Door, Tls

__all__ = ["allowed_hosts", "build", "serve"]

SHUTDOWN_TIMEOUT = 5.0  # seconds that open requests get to finish
MAX_BODY = 64 << 10  # of what is no hook: those read their bodies themselves (monitor.web.limits.Bodies)
LINGER = 1.0  # seconds for what a refused sender still sends, so that it sees the answer


def build(
    probes: health.Probes,
    *,
    hosts: Iterable[str] = (),
    routes: Iterable[web.RouteDef] = (),
    token: Credential | None = None,
) -> web.Application:
    """The application. `hosts`: names (without port) it may be addressed by, beside loopback and IP addresses.

    `routes` come from hooks and console modules; `token`: what pages ask for (monitor.web.auth).
    """
    named = _host_guard(frozenset(host.lower() for host in hosts))
    app = web.Application(middlewares=[named, auth.guard(token)], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_plain_headers)
    app.add_routes([*health.routes(probes), *routes])
    return app


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, *, connections: int = CONNECTIONS, tls: Tls | None = None
) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address in use as `http://HOST:PORT` (the real port when `port` is 0).

    A `host` that is an absolute path is a unix socket, for its owner and group; its address is `unix:PATH`.
    `connections` and `tls`: see `Door`. Bodies come as they were sent, still compressed.
    Raises OSError when the address cannot be bound.
    """
    # Access logs would carry query strings, and those may hold anything.
    runner = web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        logger=_logger(),
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        keepalive_timeout=HEADERS_WITHIN,
        lingering_time=LINGER,
        auto_decompress=False,  # of nobody whom we do not know, and within limits of our own
    )
    await runner.setup()
    assert runner.server is not None
    loop, door = asyncio.get_running_loop(), Door(runner.server, connections, tls)
    listening: asyncio.Server | None = None
    try:
        if host.startswith("/"):
            listening = await loop.create_unix_server(door, sock=_unix_socket(host))
            yield f"unix:{host}"
        else:
            listening = await loop.create_server(door, host, port)
            bound = listening.sockets[0].getsockname()
            shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            yield f"http{'s' if tls else ''}://{shown}:{bound[1]}"
    finally:
        if listening is not None:
            listening.close()
        await door.close()
        await runner.cleanup()
        if listening is not None and host.startswith("/"):
            with contextlib.suppress(OSError):
                os.unlink(host)


def _unix_socket(path: str) -> socket.socket:
    """Bound, with mode 0660 from the start. One that an earlier process left behind is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        bound.bind(path)
    except BaseException:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


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


def _logger() -> logging.Logger:
    """aiohttp logs a failed request with its traceback, and that quotes what was sent: keep only the type."""

    def without_exception(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0]:
            record.msg = f"{record.getMessage()}: {record.exc_info[0].__name__}"
            record.args = ()
        record.exc_info = record.exc_text = None
        return True

    logger = logging.getLogger("monitor.web")
    logger.filters = [without_exception]
    return logger


async def _plain_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
