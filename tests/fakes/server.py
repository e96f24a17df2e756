"""A real aiohttp server that fails on command and keeps what it was sent. The vendors' fakes build on it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.fakes.clock import turn


@dataclass(frozen=True)
class Fault:
    """How one request goes wrong. `status` with `body` (`echo`: all that was sent), or `hang`, `reset` or `cut`."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    echo: bool = False
    hang: bool = False  # take the request, never answer
    passes: float = 0  # seconds by which the clock of this loop is turned meanwhile, for a client that waits in it, too
    reset: bool = False  # RST instead of an answer
    cut: bool = False  # a status line and half a body
    after: bool = False  # the request takes effect first: what a lost answer looks like


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FakeServer:
    """`async with FakeServer() as server`. Leaving it fails when a request broke the vendor's rules (`problems`)."""

    def __init__(self) -> None:
        self.faults: deque[Fault | None] = deque()  # used up one a request, None does nothing; then all is well
        self.always: Fault | None = None
        self.tls: ssl.SSLContext | None = None
        self.requests: list[Received] = []
        self.problems: list[str] = []
        self._release = asyncio.Event()

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """The vendor's answer to a request."""
        return web.Response(text="ok")

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._release.set()
        await self._runner.cleanup()
        if kind is None:
            assert self.problems == []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Received(request.method, request.path_qs, dict(request.headers), body))
        fault = self.faults.popleft() if self.faults else self.always
        if fault is None and request.method == "HEAD":  # whether it is there, as `monitor check --environment` asks
            return web.Response()
        if fault is None:
            return await self.answer(request, body)
        if fault.after:
            await self.answer(request, body)
        if fault.hang:
            turn(fault.passes)
            await self._release.wait()
        if fault.hang or fault.reset:
            return reset(request)
        if fault.cut:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"half")
            return reset(request)
        text = fault.body
        if fault.echo:
            text += f"{request.url} {dict(request.headers)} {body.decode('utf-8', 'replace')}"
        return web.Response(status=fault.status, headers=fault.headers, text=text)


def reset(request: web.Request) -> web.Response:
    """Break the connection off instead of an answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


FAULTS: dict[str, Fault] = {
    "400": Fault(400, echo=True),
    "401": Fault(401, echo=True),
    "403": Fault(403, echo=True),
    "404": Fault(404, echo=True),
    "410": Fault(410, echo=True),
    "429": Fault(429, headers={"Retry-After": "7"}, echo=True),
    "500": Fault(500, echo=True),
    "503": Fault(503, headers={"Retry-After": "3"}, echo=True),
    "redirect": Fault(307, headers={"Location": "http://127.0.0.1:9/elsewhere"}, echo=True),
    "hang": Fault(hang=True, passes=60),
    "reset": Fault(reset=True),
    "cut": Fault(cut=True),
    "nonsense": Fault(599, body="\x00\x1b[31m" + "\ud7ff" * 300_000),
}
PERMANENT = frozenset({"400", "401", "403", "404", "410", "redirect"})
