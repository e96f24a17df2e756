"""An HTTP server for strangers: what one may take before we know who it is is bounded, in connections, time and memory.

All that bodies can hold is `CONNECTIONS` × (aiohttp's read buffer of 128 KiB + `FREE`) + `SHARED`: some 60 MiB, however
many send and however slowly.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web

from monitor.common.tasks import cancel

__all__ = ["Bodies", "Tls", "given", "neighbourhood", "serve"]

CONNECTIONS = 128
SPARED = 4  # one place in so many is for others than the address that has all the rest
HEADERS_WITHIN = 10.0  # seconds for the headers of a request, from the connection or the answer before
SHUTDOWN_TIMEOUT = 5.0  # seconds that open requests get to finish
LINGER = 1.0  # seconds for what a refused sender still sends, so that it sees the answer
BODY_WITHIN = 10.0  # seconds; GitHub itself gives up after so many
FREE = 64 << 10  # bytes of a body that are taken whatever else is under way: a usual alert is smaller
SHARED = 32 << 20  # bytes beyond those, of all bodies under way


Tls = Callable[[], ssl.SSLContext]


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


def _logger() -> logging.Logger:
    """aiohttp logs a failed request with its traceback, and that quotes what was sent: keep only the type."""

    def without_exception(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0]:
            record.msg = f"{record.getMessage()}: {record.exc_info[0].__name__}"
            record.args = ()
        record.exc_info = record.exc_text = None
        return True

    logger = logging.getLogger("monitor.httpd")
    logger.filters = [without_exception]
    return logger


class Door:
    """Lets a connection in; one too many is closed at once, of all or of one address.

    `tls`: asked for a context by each connection, which counts from its beginning: a handshake takes memory, too.
    """

    def __init__(self, server: web.Server, most: int = CONNECTIONS, tls: Tls | None = None) -> None:
        self._server, self._most, self._tls = server, most, tls
        self._greeting: dict[asyncio.Task[None], asyncio.Transport] = {}

    def __call__(self) -> asyncio.BaseProtocol:
        return _Threshold(self._enter)

    def _enter(self, transport: asyncio.Transport) -> None:
        if self._full(_address(transport)):
            transport.abort()
        elif self._tls is None:
            protocol = self._protocol()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        else:
            transport.pause_reading()  # what comes is for the handshake
            task = asyncio.create_task(self._handshake(transport))
            self._greeting[task] = transport
            task.add_done_callback(self._greeting.pop)

    def _protocol(self) -> web.RequestHandler:
        protocol = self._server()
        protocol.__class__ = _Discreet  # aiohttp lets nobody say which class it makes
        return protocol

    def _full(self, address: str | None) -> bool:
        inside = [*(one.transport for one in self._server.connections), *self._greeting.values()]
        share = self._most - self._most // SPARED
        if address is None or len(inside) < share:
            return len(inside) >= self._most
        return len(inside) >= self._most or sum(_address(one) == address for one in inside) >= share

    async def _handshake(self, transport: asyncio.Transport) -> None:
        assert self._tls is not None
        loop, protocol = asyncio.get_running_loop(), self._protocol()
        try:
            secure = await loop.start_tls(
                transport, protocol, self._tls(), server_side=True, ssl_handshake_timeout=HEADERS_WITHIN
            )
        except (OSError, TimeoutError):  # also what ssl raises
            transport.abort()
            return
        assert secure is not None
        protocol.connection_made(secure)

    async def close(self) -> None:
        """End handshakes under way."""
        for task in list(self._greeting):
            await cancel(task)


class _Discreet(web.RequestHandler):
    """Answers what is no proper request without a word of it: a header may be a credential."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        return super().handle_error(request, status, exc, message and _said(status))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPExpectationFailed):
            resp.text = _said(resp.status)
        return await super().finish_response(request, resp, start_time)


def _said(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}\n"


class _Threshold(asyncio.Protocol):
    """A connection until it is known where it comes from."""

    def __init__(self, enter: Callable[[asyncio.Transport], None]) -> None:
        self._enter = enter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._enter(transport)


def _address(transport: asyncio.BaseTransport | None) -> str | None:
    """Who it is that must leave places to others: an address, of IPv6 a network of 64 bits. None: a unix socket."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return neighbourhood(str(peer[0])) if isinstance(peer, tuple) else None


def neighbourhood(host: str) -> str:
    """Who counts as one for limits: an address, of IPv6 a network of 64 bits. Raises ValueError for what is none."""
    number = ip_address(host.partition("%")[0])
    if not isinstance(number, IPv6Address):
        return str(number)
    return str(number.ipv4_mapped or ip_network((number, 64), strict=False))


class Bodies:
    """Reads bodies of at most `most` bytes, `shared` of all together, each `within` so many seconds."""

    def __init__(self, most: int, *, shared: int = SHARED, within: float = BODY_WITHIN, free: int = FREE) -> None:
        self.most, self.within, self.free = most, within, free
        self.left = shared

    @asynccontextmanager
    async def read(self, request: web.Request) -> AsyncIterator[bytearray]:
        """The body; what it takes is given back at the end of the block. Raises web.HTTPException with the answer."""
        if (request.content_length or 0) > self.most:
            raise _refused(web.HTTPRequestEntityTooLarge(self.most, request.content_length or 0, text="too large\n"))
        body, taken, whole = bytearray(), 0, False
        try:
            try:
                async with asyncio.timeout(self.within):
                    while part := await request.content.readany():
                        if len(body) + len(part) > self.most:
                            raise _refused(web.HTTPRequestEntityTooLarge(self.most, len(body), text="too large\n"))
                        more = max(0, len(body) + len(part) - self.free) - taken
                        if more > self.left:
                            busy = web.HTTPServiceUnavailable(text="too much is under way; try again later\n")
                            busy.headers["Retry-After"] = "1"
                            raise _refused(busy)
                        self.left -= more
                        taken += more
                        body += part
            except TimeoutError:
                raise _refused(web.HTTPRequestTimeout(text="the body took too long\n")) from None
            whole = True
            yield body
        finally:
            self.left += taken
            if not whole:
                body.clear()  # aiohttp keeps what was raised, and this frame with it, until the sender has gone


def _refused(answer: web.HTTPException) -> web.HTTPException:
    # Or the rest of the body would be read, to be thrown away.
    answer.force_close()
    return answer


def given(header: str) -> str:
    """The token in an Authorization header (of a bearer, or the password of a user), empty without one."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return ""
