"""Logs that others push over HTTP: OTLP, Loki's push, and lines. Answered once what was found in them is safe.

Nothing of a body is read before its sender is known, and no more is taken than fits: the others are told to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any, ClassVar, Literal, Self

import structlog
from aiohttp import web
from pydantic import Field, field_validator, model_validator

from monitor.common.backoff import backoff
from monitor.common.credential import Credential, CredentialError
from monitor.common.http import CLEAR, loopback
from monitor.common.listen import split_listen
from monitor.common.tasks import cancel
from monitor.intake import Intake
from monitor.model import Block
from monitor.sources.base import SourceConfig
from monitor.sources.peers import Peers, networks
from monitor.sources.pushed import FormError, Pushed, blocks
from monitor.sources.settle import settle
from monitor.sources.tls import Identity, TlsConfig, TlsError
from monitor.sources.unpack import Budget, BusyError, PackedError, unpack
from monitor.web.app import serve
from monitor.web.auth import given
from monitor.web.limits import Bodies

__all__ = ["HttpConfig", "HttpSource"]

log = structlog.get_logger(__name__)

_WITHIN = 30.0  # seconds for a body to come
_ANSWER = 8.0  # seconds for the database; OpenTelemetry's clients wait for ten
_AGAIN = {"Retry-After": "5"}
_TAKEN = 4  # bodies, of the largest that are taken, that may be under way
_BATCH = 4096  # records that are settled together
_AT_ONCE = 2  # bodies that are taken apart at a time: in memory they are many times what they were
_FIRST, _LONGEST = 1.0, 30.0  # seconds before the address is tried again

Read = Callable[[bytes], Iterator[Pushed]]


class HttpConfig(TlsConfig):
    """`type = "http"`. `token`: what senders show as a bearer token or as a password. `max_body`: bytes, unpacked."""

    type: Literal["http"] = "http"
    listen: str = "127.0.0.1:4318"
    token: Credential | None = None
    insecure: bool = False
    allow: tuple[str, ...] = ()
    max_body: int = Field(default=16 << 20, ge=1024, le=256 << 20)
    max_connections: int = Field(default=128, ge=1, le=10_000)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        split_listen(value)
        return value

    @field_validator("allow")
    @classmethod
    def _allow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        host, _ = split_listen(self.listen)
        if host.startswith("/") or loopback(host):
            return self
        if not (self.token or self.client_ca):
            raise ValueError("listen is open to other machines: set token, or certificate and client_ca")
        if self.token and not (self.certificate or self.insecure):
            raise ValueError(f"token {CLEAR}")
        return self


class HttpSource:
    """See `HttpConfig`. `address`: where it listens, once it does."""

    Config: ClassVar[type[SourceConfig]] = HttpConfig

    def __init__(self, config: HttpConfig, intake: Intake, key: bytes) -> None:
        self.config = config
        self.address: str | None = None
        self._intake = intake
        self._key = key
        self._peers = Peers(config.allow, None)
        self._bodies = Bodies(config.max_body, shared=_TAKEN * config.max_body, within=_WITHIN)
        self._budget = Budget(_TAKEN * config.max_body)
        self._apart = asyncio.Semaphore(_AT_ONCE)

    @staticmethod
    def present(config: HttpConfig) -> dict[str, tuple[int, int]]:
        """Nothing of before; but the monitor is not ready before this source listens."""
        return {}

    async def run(self, once: bool) -> None:
        """Listen until cancelled, and answer then what is under way; with `once`, return."""
        failures = 0
        while not once:
            try:
                async with self._served() as self.address:
                    self._intake.degraded("listen", None)
                    log.info("listening", source=self.config.name, address=self.address)
                    await self._intake.started()
                    await asyncio.Event().wait()
            except (OSError, TlsError) as error:
                failures += 1
                message = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
                self._intake.degraded("listen", f"{self.config.listen}: {message}")
                await self._intake.started()
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))
            finally:
                self.address = None
        await self._intake.started()

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[str]:
        config = self.config
        identity = await asyncio.to_thread(Identity, config) if config.certificate else None
        app = web.Application(middlewares=[self._known])
        app.on_response_prepare.append(_plain)
        app.add_routes(
            [
                web.post("/v1/logs", self._otlp),
                web.post("/loki/api/v1/push", self._loki),
                web.post("/", self._lines),
                web.get("/ready", _ready),
            ]
        )
        host, port = split_listen(config.listen)
        keeping = asyncio.create_task(identity.keep(self._intake)) if identity else None
        tls = (lambda: identity.context) if identity else None
        try:
            async with serve(app, host, port, connections=config.max_connections, tls=tls) as address:
                yield address
        finally:
            if keeping is not None:
                await cancel(keeping)

    # Who may

    @web.middleware
    async def _known(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """From the headers alone."""
        answer = await self._stranger(request)
        if answer is None:
            response: web.StreamResponse = await handler(request)
            return response
        self._intake.malformed("unauthorized" if answer.status == 401 else "peer_refused")
        answer.force_close()  # or the body would be read, to be thrown away
        return answer

    async def _stranger(self, request: web.Request) -> web.Response | None:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if isinstance(peer, tuple) and not self._peers.allowed(peer[0]):
            return web.Response(status=403, text="not from there: see allow\n")
        token = self.config.token
        if token is None:
            # A page in somebody's browser could otherwise push to this host.
            web_page = "Origin" in request.headers and not self.config.client_ca
            return web.Response(status=403, text="web pages need a token\n") if web_page else None
        try:
            wanted = await asyncio.to_thread(token.resolve, "token")
        except CredentialError as error:
            self._intake.degraded("token", str(error))
            return web.Response(status=503, text="the token cannot be read\n", headers=_AGAIN)
        self._intake.degraded("token", None)
        shown = given(request.headers.get("Authorization", "")).encode("utf-8", "replace")
        if hmac.compare_digest(shown, wanted.encode()):
            return None
        return web.Response(
            status=401, text="the token is needed\n", headers={"WWW-Authenticate": 'Bearer, Basic realm="logs"'}
        )

    # What comes

    async def _otlp(self, request: web.Request) -> web.Response:
        from monitor.sources import otlp

        form = request.content_type
        if form not in ("application/json", "application/x-protobuf"):
            raise web.HTTPUnsupportedMediaType(text="OTLP comes as application/x-protobuf or application/json\n")
        read = otlp.from_json if form == "application/json" else otlp.from_protobuf
        await self._take(request, read)
        # An empty ExportLogsServiceResponse: nothing was refused.
        return web.Response(body=b"{}" if form == "application/json" else b"", content_type=form)

    async def _loki(self, request: web.Request) -> web.Response:
        from monitor.sources import loki

        if request.content_type == "application/json":
            await self._take(request, loki.from_json)
        else:
            await self._take(request, loki.from_protobuf, encoding="snappy")
        return web.Response(status=204)

    async def _lines(self, request: web.Request) -> web.Response:
        from monitor.sources import lines

        await self._take(request, lines.from_lines)
        return web.Response(status=204)

    async def _take(self, request: web.Request, read: Read, encoding: str = "") -> None:
        """Returns once what was found is safe. Raises web.HTTPException with the answer."""
        encoding = request.headers.get("Content-Encoding", encoding).strip().lower()
        try:
            async with self._bodies.read(request) as body:
                text = await asyncio.to_thread(unpack, bytes(body), encoding, self.config.max_body, self._budget)
            try:
                async with asyncio.timeout(_ANSWER):
                    await self._settle(text, read)
            finally:
                self._budget.take(-len(text))
        except web.HTTPRequestEntityTooLarge as error:
            self._intake.malformed("too_large")
            failure: web.HTTPException = error
        except FormError as error:
            self._intake.malformed("form")
            failure = web.HTTPBadRequest(text=f"{error}\n")
        except PackedError as error:
            self._intake.malformed("too_large" if error.large else "packed")
            failure = web.HTTPBadRequest(text=f"{error}\n")
            if error.large:
                failure = web.HTTPRequestEntityTooLarge(self.config.max_body, len(body), text=f"{error}\n")
        except BusyError:
            failure = web.HTTPTooManyRequests(text="too much is under way\n", headers=_AGAIN)
        except TimeoutError:
            failure = web.HTTPServiceUnavailable(text="it could not be kept in time\n", headers=_AGAIN)
        else:
            return
        raise failure

    async def _settle(self, text: bytes, read: Read) -> None:
        async with self._apart:
            records = blocks(self.config.name, self._key, read(text))
            while batch := await asyncio.to_thread(_some, records):
                await settle(self._intake, batch)


def _some(records: Iterator[Block]) -> list[Block]:
    return list(islice(records, _BATCH))


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


async def _plain(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
