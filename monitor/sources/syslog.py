"""Syslog, RFC 5424 and RFC 3164, over UDP, TCP, TLS and a datagram socket. Of no use to a `monitor run --once`.

The protocol has no answer: what was received and not yet kept when the monitor is killed is gone, and who sent it does
not know. What the kernel dropped before we read it is counted by the kernel, and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import structlog

from monitor.common.backoff import backoff
from monitor.common.tasks import cancel
from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake
from monitor.scanning.blocks import Cutter
from monitor.sources.base import SourceConfig, nothing_yet
from monitor.sources.datagrams import (
    Drops,
    bind_datagrams,
    leave_datagrams,
    left_datagrams,
    read_datagrams,
    resolved,
    rest_of_datagrams,
)
from monitor.sources.framing import Frames, Piece
from monitor.sources.peers import Peers
from monitor.sources.pem import Joiner
from monitor.sources.settle import SourceQueue
from monitor.sources.syslog_config import Address, SyslogConfig, address
from monitor.sources.tls import TlsError, TlsIdentity

__all__ = ["SyslogSource", "about"]

log = structlog.get_logger(__name__)

_MARK = "listening"  # key of the only position
_READ = 1 << 16
_SOON = 0.25  # seconds after which a message that has as many bytes as were counted is whole
_QUIET = 2.0  # seconds after which a message without its end is scanned but for its last word, perhaps half a value
_OPEN = 30.0  # seconds after which it is scanned with that
_SILENT = 60.0  # seconds after which a connection gives way to a new one, when all are taken
_HANDSHAKE = 10.0  # seconds for TLS
_FIRST, _LONGEST = 1.0, 30.0  # seconds before an address is tried again
_LOOK = 1.0  # seconds between looks at the kernel's figures
_REST = 0.1  # seconds without a byte after which a connection holds nothing more at the end
_LAST = 2.0  # seconds for that at most
_DRAIN = 3.0  # seconds for what waits for the scanner at the end

Look = Callable[[], object]  # what is to be looked at every second

_HEADS = (
    # RFC 5424: priority, version, time, host, program, process
    re.compile(rb"<\d{1,3}>1 \S{1,64} (?P<host>\S{1,255}) (?P<app>\S{1,48}) (?P<pid>\S{1,128}) "),
    # RFC 3164, and what its senders make of it: the time may be ISO 8601 or left out, and so may the host
    re.compile(
        rb"<\d{1,3}>(?:[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)? |\d{4}-\d\d-\d\d[T ]\S{8,24} )?"
        rb"(?:(?P<host>[\w.:-]{0,254}[\w.-]) )?(?P<app>[\w./@-]{1,48})(?:\[(?P<pid>\d{1,10})\])?:(?: |$)"
    ),
)


@dataclass(slots=True, eq=False)
class _Connection:
    """One of TCP or TLS."""

    peer: str
    frames: Frames
    task: asyncio.Task[Any]
    generation: str = field(default_factory=lambda: secrets.token_hex(8))
    heard: float = field(default_factory=time.monotonic)
    cutter: Cutter | None = None  # of a message that comes in parts

    @property
    def half(self) -> bool:
        return self.frames.waiting or (self.cutter is not None and self.cutter.waiting > 0)


class SyslogSource:
    """See `SyslogConfig`. `listening`: the addresses in use, with their real ports."""

    Config: ClassVar[type[SourceConfig]] = SyslogConfig
    present = staticmethod(nothing_yet)

    def __init__(self, config: SyslogConfig, intake: Intake, key: bytes) -> None:
        self.config = config
        self.listening: dict[str, tuple[str, int]] = {}
        self._intake = intake
        self._queue = SourceQueue(intake)
        self._joiner = Joiner()
        self._peers = Peers(config.allow, config.rate)
        self._connections: set[_Connection] = set()
        self._tried: set[str] = set()
        self._begun = asyncio.Event()  # each address was tried

    async def run(self, once: bool) -> None:
        """Listen until cancelled, and scan then what was received; with `once`, return."""
        if once:
            await self._intake.started()
            return
        tasks = [asyncio.create_task(self._queue.run())]
        tasks += [asyncio.create_task(self._serve(text)) for text in self.config.listen]
        try:
            await self._begun.wait()
            self._close_left()
            await self._open()
            await self._intake.started()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await asyncio.gather(*(cancel(task) for task in tasks[1:]))
            await cancel(tasks[0])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    await self._queue.drain()
                    await self._intake.record((), self._mark(open_=False))
            if left := self._queue.waiting:
                self._intake.missed("stopped", left)

    async def _open(self) -> None:
        """Note that we listen. Who listened before and did not say that it stopped was killed with what it had."""
        saved = (await self._intake.positions()).get(_MARK)
        if saved is not None and saved.get("open"):
            self._intake.missed("killed", 0, unit="messages")
        await self._intake.record((), self._mark(open_=True))

    def _close_left(self) -> None:
        """What was left at addresses that are none any more, now that the new ones are listened at."""
        left = self._intake.handles
        while left:
            (figure, _), descriptor = left.popitem()
            bound = socket.socket(fileno=descriptor)
            bound.setblocking(False)
            host, port = bound.getsockname()[:2]
            where = Address("udp", host, port)
            rest_of_datagrams(bound, self._taker(where))
            self._dropped(Drops(bound, figure), where)
            bound.close()

    def _mark(self, *, open_: bool) -> tuple[Position, ...]:
        return (Position(self.config.name, _MARK, {"open": open_}),)

    # Listening

    async def _serve(self, text: str) -> None:
        """One address, tried again for as long as it takes."""
        where = address(text)
        failures = 0
        while True:
            try:
                opened = self._tcp(where) if where.kind in ("tcp", "tls") else self._datagrams(where)
                async with opened as (bound, look):
                    self.listening[text] = bound
                    self._intake.degraded(text, None)
                    self._try(text)
                    log.info("listening", source=self.config.name, address=text, port=bound[1])
                    await self._watch(look)
            except (OSError, TlsError) as error:
                failures += 1
                self._intake.degraded(text, _why(error, where))
                self._try(text)
                await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))
            finally:
                self.listening.pop(text, None)

    def _try(self, text: str) -> None:
        self._tried.add(text)
        if self._tried >= set(self.config.listen):
            self._begun.set()

    async def _watch(self, look: Look) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_LOOK)
            look()
            if len(self._connections) < self.config.max_connections:
                self._intake.degraded("connections", None)

    # Datagrams

    @contextlib.asynccontextmanager
    async def _datagrams(self, where: Address) -> AsyncIterator[tuple[tuple[str, int], Look]]:
        left = None
        if where.kind == "udp" and self._intake.handles:
            family, there = await asyncio.to_thread(resolved, where.host, where.port)
            left = left_datagrams(self._intake.handles, family, there)
        bound, figure = left or (None, None)
        if bound is None:
            bound = await asyncio.to_thread(bind_datagrams, where.host, where.port, int(self.config.mode, 8))
        take = self._taker(where)

        def cut(count: int) -> None:
            self._intake.missed("too_long", count, f"{where.kind}:{where.host}")

        drops = Drops(bound, figure) if where.kind == "udp" else None
        reading = asyncio.create_task(read_datagrams(bound, self._queue.room, lambda: self._queue.full, take, cut))
        place: os.stat_result | None = None
        on = False  # another may go on with it
        try:
            if where.kind == "unix":
                place = os.stat(where.host)
            name = (where.host, 0) if where.kind == "unix" else bound.getsockname()[:2]
            yield name, partial(self._look_at, where, reading, drops, place)
        except asyncio.CancelledError:
            on = True
            raise
        finally:
            await cancel(reading)
            rest_of_datagrams(bound, take, cut)
            if drops is not None:
                self._dropped(drops, where)
            if drops is not None and on:
                leave_datagrams(self._intake.handles, bound, drops.last)
            else:
                bound.close()
            with contextlib.suppress(OSError):
                if place is not None and os.path.samestat(os.stat(where.host), place):
                    os.unlink(where.host)

    def _taker(self, where: Address) -> Callable[[bytes, Any], None]:
        generation, at = secrets.token_hex(8), 0

        def take(data: bytes, sender: Any) -> None:
            nonlocal at
            peer = sender[0] if where.kind == "udp" else ""
            if data.strip() and self._admitted(data, peer):
                self._put(self._record(data, peer, generation, at))
            at += len(data) + 1

        return take

    def _look_at(
        self, where: Address, reading: asyncio.Task[Any], drops: Drops | None, place: os.stat_result | None
    ) -> None:
        """Raises what has ended the reading, without which nothing is heard, and OSError where senders find no socket
        any more. That of another program is left to it."""
        if reading.done():
            reading.result()
        if drops is not None:
            self._dropped(drops, where)
        if place is not None:
            ours = os.path.samestat(os.stat(where.host), place)
            self._intake.degraded(f"unix:{where.host}", None if ours else "another program listens there now")

    def _admitted(self, data: bytes, peer: str) -> bool:
        if not peer:
            return True  # of this host
        if not self._peers.allowed(peer):
            self._intake.malformed("peer_refused")
            return False
        if not self._peers.within(peer):
            self._intake.missed("rate", len(data), f"datagrams of {peer}")
            return False
        return True

    def _dropped(self, drops: Drops, where: Address) -> None:
        if count := drops.new():
            self._intake.missed("udp_dropped", count, f"{where.kind}:{where.host}:{where.port}", unit="datagrams")

    # Connections

    @contextlib.asynccontextmanager
    async def _tcp(self, where: Address) -> AsyncIterator[tuple[tuple[str, int], Look]]:
        identity = await asyncio.to_thread(TlsIdentity, self.config) if where.kind == "tls" else None
        mine: set[asyncio.Task[Any]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer, identity))
            mine.add(task)
            task.add_done_callback(mine.discard)

        server = await asyncio.start_server(connected, where.host, where.port, limit=_READ)
        if identity is not None:
            mine.add(asyncio.create_task(identity.keep(self._intake)))
        try:
            yield server.sockets[0].getsockname()[:2], lambda: None
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(_REST)  # who has connected by now is heard
            server.close()
            await asyncio.gather(*(cancel(task) for task in mine))

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: TlsIdentity | None
    ) -> None:
        """From its beginning to its end; whatever a sender does ends here."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(peer, Frames(self.config.max_message), task)
        try:
            if not self._welcome(connection):
                return
            # Who loses its power says no goodbye.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if identity is not None:
                await writer.start_tls(identity.context, ssl_handshake_timeout=_HANDSHAKE)
            await self._read(reader, connection)
        except ssl.SSLError:
            self._intake.malformed("tls_handshake")
        except (OSError, TimeoutError):
            pass  # it broke off; what came was taken
        finally:
            self._connections.discard(connection)
            self._take(connection, connection.frames.flush(over=True))
            writer.transport.abort()

    def _welcome(self, connection: _Connection) -> bool:
        if not self._peers.allowed(connection.peer):
            self._intake.malformed("peer_refused")
            return False
        most = self.config.max_connections
        if len(self._connections) >= most:
            silent = min(self._connections, key=lambda one: one.heard)
            if silent.heard > time.monotonic() - _SILENT:
                self._intake.malformed("connection_refused")
                self._intake.degraded("connections", f"all {most} are taken: raise max_connections, or limit allow")
                return False
            self._connections.discard(silent)
            silent.task.cancel()
        self._connections.add(connection)
        return True

    async def _read(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        try:
            while await self._hear(reader, connection):
                pass
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LAST):
                    while data := await asyncio.wait_for(reader.read(_READ), _REST):
                        self._take(connection, connection.frames.feed(data))
            raise

    async def _hear(self, reader: asyncio.StreamReader, connection: _Connection) -> bool:
        """The next bytes, or a pause. Whether there may be more."""
        await self._queue.room()
        silent = time.monotonic() - connection.heard
        pauses = [_SOON if connection.frames.whole else _QUIET, _OPEN] if connection.half else []
        wait = next((pause - silent for pause in pauses if pause > silent), 0.0 if pauses else None)
        try:
            async with asyncio.timeout(wait):
                data = await reader.read(_READ)
        except TimeoutError:
            over = time.monotonic() - connection.heard >= _OPEN
            pieces = connection.frames.flush(words=not over)
            self._take(connection, pieces, quiet=over or bool(pieces))
            return True
        if not data:
            return False
        connection.heard = time.monotonic()
        count = self._take(connection, connection.frames.feed(data))
        if wait := self._peers.take(connection.peer, count):
            await asyncio.sleep(wait)
        return True

    def _take(self, connection: _Connection, pieces: Iterable[Piece], *, quiet: bool = False) -> int:
        """Gives how many messages came to their end."""
        ended = 0
        for piece in pieces:
            ended += not piece.more
            if connection.cutter is None and not piece.more:
                if piece.data.strip():
                    self._put(self._record(piece.data, connection.peer, connection.generation, piece.start))
                continue
            if connection.cutter is None:
                head = self._record(piece.data, connection.peer, connection.generation, piece.start)
                where = (head.source, head.path, head.generation)
                connection.cutter = Cutter(*where, line=None, most=0, attributes=head.attributes)
            self._put(connection.cutter.feed(piece.data))
            if not piece.more:
                self._put(connection.cutter.flush())
                connection.cutter = None
        if quiet and connection.cutter is not None:
            self._put(connection.cutter.flush())
        return ended

    def _put(self, block: Block | None) -> None:
        if block is None:
            return
        self._queue.put(block)
        if not self._joiner.wants(block):
            return
        origin = f"{block.attributes.get('peer')} {block.path} {block.attributes.get('pid')}"
        if (key := self._joiner.feed(origin, block)) is not None:
            self._queue.put(key)

    def _record(self, data: bytes, peer: str, generation: str, at: int) -> Block:
        attributes = about(data)
        if peer:
            attributes["peer"] = peer
        who = (attributes.get("host") or peer, attributes.get("service"))
        return Block(
            source=self.config.name,
            path="/".join(name for name in who if name) or "syslog",
            generation=f"{generation}-{at:x}",
            offset=0,
            data=data,
            time=time.time(),
            attributes=attributes,
        )


def about(message: bytes) -> dict[str, str]:
    """Host, service and process, as far as the message names them."""
    for head in _HEADS:
        if found := head.match(message):
            names = {"host": found["host"], "service": found["app"], "pid": found["pid"]}
            return {name: value.decode("utf-8", "replace") for name, value in names.items() if value and value != b"-"}
    return {}


def _why(error: Exception, where: Address) -> str:
    if isinstance(error, socket.gaierror):
        return f"{where.host} is no address of this host"
    if isinstance(error, PermissionError) and where.kind != "unix":
        return f"port {where.port} may not be used by this user; docs/sources.md tells how it may"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
