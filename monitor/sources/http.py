"""Logs that others push over HTTP, in the forms their shippers speak. Answered once what was found in them is safe.

Nothing of a body is read before its sender is known, and no more is taken than fits: the others are told to come again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, Self

import structlog
from aiohttp import web
from pydantic import Field, field_validator, model_validator

from monitor.common.backoff import backoff
from monitor.common.credential import Credential, CredentialError
from monitor.common.http import CLEAR, loopback
from monitor.common.httpd import Bodies, given, serve
from monitor.common.listen import split_listen
from monitor.common.process import spare_memory
from monitor.common.tasks import cancel
from monitor.domain.model import Block
from monitor.intake.protocol import Intake
from monitor.sources import bulk, hec
from monitor.sources.base import SourceConfig, nothing_yet
from monitor.sources.lines import from_lines
from monitor.sources.peers import Peers
from monitor.sources.pushed import BodyCounter, BodyError, Pushed, blocks
from monitor.sources.settle import settle
from monitor.sources.tls import TlsConfig, TlsError, TlsIdentity
from monitor.sources.unpack import unpack

__all__ = ["HttpSource", "HttpSourceConfig"]

log = structlog.get_logger(__name__)

_WITHIN = 30.0  # seconds for a body to come
_ANSWER = 8.0  # seconds for the database; OpenTelemetry's clients wait for ten
_AGAIN = {"Retry-After": "5"}
_TAKEN = 2  # bodies, of the largest that are taken, that may wait
_BATCH, _BYTES = 4096, 4 << 20  # records that are settled together, and about how much of them
_LARGE = 2 << 20  # bytes of a body, after which what is free goes back: each thread would keep as much for itself
_AT_ONCE = 2  # bodies that are taken apart at a time: in memory they are many times what they were
_FIRST, _LONGEST = 1.0, 30.0  # seconds before the address is tried again

# What a body of `POST /` may say that it is. Whatever of these it is, it is text.
_TEXTS = ("json", "text", "xml", "form", "octet-stream", "logplex", "gzip", "zstd", "gelf", "log")
_MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
_SAMPLE, _CONTROLS = 4096, bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1b\b"})

Read = Callable[[bytes], Iterator[Pushed]]


EXAMPLE = """
# Logs that others push: OpenTelemetry (OTLP/HTTP), Loki's API, Splunk's events, Elastic's _bulk, Fluent Bit, JSON.
#[[sources]]
#name = "pushed"
#type = "http"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
#listen = "127.0.0.1:4318"      # or "unix:/PATH"
#token = "credential:push-token"    # default: none; senders show it as bearer token, password, Splunk or ApiKey
#insecure = false               # true: the token may travel unencrypted
#allow = ["127.0.0.0/8"]        # default: whoever can reach it
#max_body = 16777216            # bytes, unpacked
#max_connections = 128
#certificate = "/etc/ssl/certs/monitor.pem"    # default: none; for https
#private_key = "file:/etc/ssl/private/monitor.key"  # default: none
#client_ca = "/etc/ssl/certs/internal-ca.pem"  # default: none; who connects must show a certificate of it
"""


class HttpSourceConfig(TlsConfig):
    """Takes logs that others push: OpenTelemetry, Loki's API, Splunk's events, Elastic's `_bulk`, Fluent Bit, lines of
    JSON ([what it takes where](sources.md#pushed-logs)).

    - `listen`: `HOST:PORT`, or `unix:/PATH`. From elsewhere than this host it needs `token` or `client_ca`
    - `token`: what senders show, as a bearer token, as the password of any user, or as Splunk's and Elastic's do
    - `insecure`: `true`: the token may travel unencrypted; otherwise, through the network, only with `certificate`
    - `max_body`: bytes of a body, unpacked; two of these may be under way together, and as much wait
    - `max_connections`: of which one address gets three quarters

    **Reads** at least once: a request is answered once what was found is safe; who gets no answer sends again, and what
    was sent again has the same ids. **Can lose** what the sender gives up: it gets 503 with `Retry-After` under
    pressure. What was refused is counted in `malformed_total`.
    """

    reach: ClassVar[tuple[str, ...]] = ("listen",)
    type: Literal["http"] = "http"
    listen: str = "127.0.0.1:4318"
    token: Credential | None = None
    insecure: bool = False
    max_body: int = Field(default=16 << 20, ge=1024, le=256 << 20)
    max_connections: int = Field(default=128, ge=1, le=10_000)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        split_listen(value)
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
    """See `HttpSourceConfig`. `address`: where it listens, once it does."""

    Config: ClassVar[type[SourceConfig]] = HttpSourceConfig
    present = staticmethod(nothing_yet)

    def __init__(self, config: HttpSourceConfig, intake: Intake, key: bytes) -> None:
        self.config = config
        self.address: str | None = None
        self._intake, self._key = intake, key
        self._peers = Peers(config.allow, None)
        self._bodies = Bodies(config.max_body, shared=_TAKEN * config.max_body, within=_WITHIN)
        self._apart = asyncio.Semaphore(_AT_ONCE)
        # Of our own, and as few: each thread that handled large bodies keeps some of that memory.
        self._threads = ThreadPoolExecutor(_AT_ONCE, f"http-{config.name}")

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
        identity = await asyncio.to_thread(TlsIdentity, config) if config.certificate else None
        app = web.Application(middlewares=[self._known])
        app.on_response_prepare.append(_plain)
        app.add_routes(
            [
                web.post("/v1/logs", self._otlp),
                web.post("/loki/api/v1/push", self._loki),
                web.post("/", self._lines),
                web.get("/ready", _ready),
                *(web.post(path, self._hec) for path in (*hec.EVENTS, *hec.RAW)),
                *(web.get(path, _said(hec.HEALTHY)) for path in hec.HEALTH),
                web.post(f"{hec.PREFIX}/ack", _said(hec.NO_RECEIPTS, 400)),
                *(add(path, self._bulk) for add in (web.post, web.put) for path in ("/_bulk", "/{index}/_bulk")),
                web.get("/", _said(bulk.ABOUT, headers=bulk.HEADERS)),
                web.get("/_license", _said(bulk.LICENSE, headers=bulk.HEADERS)),
                web.get("/_cluster/health", _said(bulk.HEALTH, headers=bulk.HEADERS)),
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
        if answer is not None:
            self._intake.malformed("unauthorized" if answer.status == 401 else "peer_refused")
            answer.force_close()  # or the body would be read, to be thrown away
            return _worded(request, answer)
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            return _worded(request, error)
        return response

    async def _stranger(self, request: web.Request) -> web.Response | None:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if isinstance(peer, tuple) and not self._peers.allowed(peer[0]):
            return web.Response(status=403, text="not from there: see allow\n")
        token = self.config.token
        if token is None or request.path in hec.HEALTH:
            # A page in somebody's browser could otherwise push to this host.
            web_page = "Origin" in request.headers and not self.config.client_ca
            return web.Response(status=403, text="web pages need a token\n") if web_page else None
        try:
            wanted = await asyncio.to_thread(token.resolve, "token")
        except CredentialError as error:
            self._intake.degraded("token", str(error))
            return web.Response(status=503, text="the token cannot be read\n", headers=_AGAIN)
        self._intake.degraded("token", None)
        shown = _shown(request.headers.get("Authorization", ""))
        if any(hmac.compare_digest(one.encode("utf-8", "replace"), wanted.encode()) for one in shown):
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
        return web.Response(body=otlp.answer(await self._take(request, read), form), content_type=form)

    async def _loki(self, request: web.Request) -> web.Response:
        from monitor.sources import loki

        if request.content_type == "application/json":
            await self._take(request, loki.from_json)
        else:
            await self._take(request, loki.from_protobuf, encoding="snappy")
        return web.Response(status=204)

    async def _lines(self, request: web.Request) -> web.Response:
        if request.content_type in _MSGPACK:
            from monitor.sources import fluent

            await self._take(request, fluent.from_msgpack)
        elif any(kind in request.content_type for kind in _TEXTS):
            await self._take(request, _text_lines)
        else:
            self._intake.malformed("binary")
            raise web.HTTPUnsupportedMediaType(text="lines of text, JSON, or msgpack as application/msgpack\n")
        return web.Response(status=204)

    async def _hec(self, request: web.Request) -> web.Response:
        read = hec.from_events if request.path in hec.EVENTS else _text_lines
        status, said = hec.answer(await self._take(request, read))
        return web.Response(status=status, body=said, content_type="application/json")

    async def _bulk(self, request: web.Request) -> web.Response:
        begun, asked = time.monotonic(), bulk.Bulk()
        counter = await self._take(request, asked.read)
        said = await asyncio.to_thread(asked.answer, counter, int((time.monotonic() - begun) * 1000))
        return web.Response(body=said, content_type="application/json", headers=bulk.HEADERS)

    async def _take(self, request: web.Request, read: Read, encoding: str = "") -> BodyCounter:
        """Returns once what was found is safe. Raises web.HTTPException with the answer."""
        encoding = request.headers.get("Content-Encoding", encoding).strip().lower()
        counter = BodyCounter()
        try:
            await self._settle(request, encoding, read, counter)
        except web.HTTPRequestEntityTooLarge as error:
            self._intake.malformed("too_large")
            failure: web.HTTPException = error
        except BodyError as error:
            self._intake.malformed(error.kind)
            failure = web.HTTPBadRequest(text=f"{error}\n")
            failure.set_status(error.status)
        except TimeoutError:
            failure = web.HTTPServiceUnavailable(text="it could not be kept in time\n", headers=_AGAIN)
        else:
            for _ in counter.bad:
                self._intake.malformed("record")
            return counter
        try:
            raise failure
        finally:
            del failure  # or the two hold each other, and what was read of the body, until somebody collects them

    async def _settle(self, request: web.Request, encoding: str, read: Read, counter: BodyCounter) -> None:
        async with contextlib.AsyncExitStack() as held:
            body = await held.enter_async_context(self._bodies.read(request))
            async with asyncio.timeout(_ANSWER), self._apart:
                text = await self._to_end(unpack, body, encoding, self.config.max_body)
                del body  # two of them take twice the memory
                await held.aclose()
                large = len(text) > _LARGE
                work = self._read(blocks(self.config.name, self._key, read(text), counter))
                del text
                try:
                    await work
                finally:
                    if large:
                        await self._to_end(spare_memory)

    async def _read(self, records: Iterator[Block]) -> None:
        ended: list[Exception] = []
        while batch := await self._to_end(_some, records, ended):
            await settle(self._intake, batch)
        if ended:
            raise ended.pop()

    async def _to_end(self, work: Callable[..., Any], *given: Any) -> Any:
        """In a thread. What nobody waits for any more is done all the same, and holds its place until then."""
        task = asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise
        finally:
            del task  # or it and its exception hold each other


class BinaryError(BodyError):
    """A body that is not text."""

    kind, status = "binary", 415


def _some(records: Iterator[Block], ended: list[Exception]) -> list[Block]:
    """`ended`: gets the error at which they end. What came before it is kept all the same."""
    batch, size = [], 0
    try:
        for block in records:
            batch.append(block)
            size += len(block.data)
            if len(batch) >= _BATCH or size >= _BYTES:
                break
    except BodyError as error:
        # Another one: this one has been where the body is held, which is to go.
        ended.append(type(error)(*error.args))
    return batch


def _text_lines(body: bytes) -> Iterator[Pushed]:
    """Raises BinaryError: of a thousand characters of a log none is a control character, of other things many are."""
    sample = body[:_SAMPLE]
    if len(sample) - len(sample.translate(None, _CONTROLS)) > max(2, len(sample) // 50):
        raise BinaryError("neither text nor what its Content-Type says")
    return from_lines(body)


def _shown(header: str) -> list[str]:
    """What an Authorization header may show as the token: of Splunk's forwarders, Elastic's, and whoever else."""
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "splunk":
        return [value]
    if scheme.lower() != "apikey":
        return [given(header)]
    try:
        plain = base64.b64decode(value, validate=True).decode()
    except ValueError:
        return [value]
    return [value, plain, plain.partition(":")[2]]  # of a pair of id and key


def _worded(request: web.Request, answer: web.Response) -> web.Response:
    """A refusal as the sender knows it. Never the exception it may be: that is kept with all it went through."""
    status, headers, kind = answer.status, {**answer.headers}, "application/json"
    headers.pop("Content-Type", None)
    headers.pop("Content-Length", None)
    if request.path.startswith(hec.PREFIX):
        status, said = hec.refusal(status, "Authorization" in request.headers)
    elif request.path.endswith("/_bulk") or (request.path.startswith("/_") and request.method != "POST"):
        said = bulk.refusal(status, answer.text or "")
        headers |= bulk.HEADERS
    else:
        said, kind = (answer.text or "").encode(), "text/plain"
    worded = web.Response(status=status, body=said, content_type=kind, headers=headers)
    if answer.keep_alive is False:
        worded.force_close()
    return worded


def _said(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """Whatever is asked there, this is the answer."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    return answer


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


async def _plain(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
