"""What a stranger may take of us before we know who it is: connections, time and memory, each bounded.

All that bodies can hold is `CONNECTIONS` × (aiohttp's read buffer of 128 KiB + `FREE`) + `SHARED`: some 60 MiB, however
many send and however slowly.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from monitor.common.tasks import cancel

__all__ = ["CONNECTIONS", "HEADERS_WITHIN", "Bodies", "Door", "Tls"]

CONNECTIONS = 128
HEADERS_WITHIN = 10.0  # seconds for the headers of a request, from the connection or the answer before
BODY_WITHIN = 10.0  # seconds; GitHub itself gives up after so many
FREE = 64 << 10  # bytes of a body that are taken whatever else is under way: a usual alert is smaller
SHARED = 32 << 20  # bytes beyond those, of all bodies under way


Tls = Callable[[], ssl.SSLContext]


class Door:
    """Makes the protocol of each connection; one too many is closed at once.

    `tls`: asked for a context by each connection, which counts from its beginning: a handshake takes memory, too.
    """

    def __init__(self, server: web.Server, most: int = CONNECTIONS, tls: Tls | None = None) -> None:
        self._server, self._most, self._tls = server, most, tls
        self._greeting: set[asyncio.Task[None]] = set()

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self._server.connections) + len(self._greeting) >= self._most:
            return _Closed()
        return self._server() if self._tls is None else _Greeting(self._greet)

    def _greet(self, transport: asyncio.Transport) -> None:
        task = asyncio.create_task(self._handshake(transport))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _handshake(self, transport: asyncio.Transport) -> None:
        assert self._tls is not None
        loop, protocol = asyncio.get_running_loop(), self._server()
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


class _Greeting(asyncio.Protocol):
    """A connection before its handshake."""

    def __init__(self, greet: Callable[[asyncio.Transport], None]) -> None:
        self._greet = greet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()  # what comes is for the handshake
        self._greet(transport)


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


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
        body, taken = bytearray(), 0
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
            yield body
        finally:
            self.left += taken


def _refused(answer: web.HTTPException) -> web.HTTPException:
    # Or the rest of the body would be read, to be thrown away.
    answer.force_close()
    return answer
