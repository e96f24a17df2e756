from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from monitor.common import httpd
from monitor.common.httpd import Bodies, serve
from monitor.web.app import build
from tests.monitor.web.test_app import probes

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def receiver(bodies: Bodies) -> AsyncIterator[int]:
    async def receive(request: web.Request) -> web.Response:
        async with bodies.read(request) as body:
            return web.Response(text=f"{len(body)}\n")

    routes = [web.post("/hooks/x", receive)]
    async with serve(build(probes(), routes=routes), "127.0.0.1", 0) as url:
        yield int(url.rpartition(":")[2])


async def send(port: int, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode() + body)
    await writer.drain()
    return reader, writer


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def post(length: int | None) -> str:
    how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /hooks/x HTTP/1.1\nHost: localhost\n{how}\n\n"


async def status(reader: asyncio.StreamReader) -> int:
    line = await asyncio.wait_for(reader.readline(), 120)
    return int(line.split()[1]) if line else 0


async def test_a_body_is_read_up_to_its_limit_whatever_its_header_says() -> None:
    async with receiver(Bodies(1000)) as port:
        reader, writer = await send(port, post(1000), b"x" * 1000)
        assert await status(reader) == 200
        await leave(writer)
        reader, writer = await send(port, post(1001), b"")
        assert await status(reader) == 413
        assert await asyncio.wait_for(reader.read(), 120) is not None  # closed: the rest is not read
        await leave(writer)
        reader, writer = await send(port, post(None), b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
        assert await status(reader) == 413
        await leave(writer)


async def test_bodies_under_way_share_a_bound_and_small_ones_always_pass() -> None:
    bodies = Bodies(1 << 20, shared=300_000, free=1000)
    async with receiver(bodies) as port:
        _, slow = await send(port, post(1 << 20), b"x" * 250_000)
        while bodies.left > 60_000:
            await asyncio.sleep(0.01)
        reader, other = await send(port, post(200_000), b"x" * 200_000)
        assert await status(reader) == 503
        await leave(other)
        reader, small = await send(port, post(1000), b"x" * 1000)
        assert await status(reader) == 200
        await leave(small)
        await leave(slow)
        while bodies.left != 300_000:  # given back, also by who went away
            await asyncio.sleep(0.01)


async def test_what_was_refused_is_not_held_by_its_error() -> None:
    """aiohttp keeps that until the sender has gone."""
    bodies, errors = Bodies(1_000_000, shared=300_000, free=0), list[web.HTTPException]()

    async def receive(request: web.Request) -> web.Response:
        try:
            async with bodies.read(request):
                return web.Response()
        except web.HTTPException as error:
            errors.append(error)
            raise

    async with serve(build(probes(), routes=[web.post("/hooks/x", receive)]), "127.0.0.1", 0) as url:
        reader, writer = await send(int(url.rpartition(":")[2]), post(900_000), b"x" * 900_000)
        assert await status(reader) == 503
        await leave(writer)
    frames = (frame for error in errors for frame, _ in traceback.walk_tb(error.__traceback__))
    held = [value for frame in frames for value in frame.f_locals.values() if isinstance(value, bytearray)]
    assert held == [b""]


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    bodies = Bodies(1 << 20, within=0.1)
    async with receiver(bodies) as port:
        reader, writer = await send(port, post(1000), b"x")
        assert await status(reader) == 408
        await leave(writer)
    assert bodies.left == httpd.SHARED


async def test_headers_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HEADERS_WITHIN", 0.2)
    async with receiver(Bodies(1000)) as port:
        reader, writer = await send(port, "POST /hooks/x HTTP/1.1\nHost: loc")

        async def dribble() -> None:
            with contextlib.suppress(OSError):
                while True:
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 120) == b""
        dribbling.cancel()
        await leave(writer)


def test_the_deadlines_are_short() -> None:
    assert httpd.HEADERS_WITHIN <= 10
    assert httpd.BODY_WITHIN <= 10


async def test_one_address_leaves_places_to_others() -> None:
    async with receiver(Bodies(1000)) as port:
        share = httpd.CONNECTIONS - httpd.CONNECTIONS // httpd.SPARED
        held = [await send(port, "GET /healthz HT") for _ in range(share)]
        reader, writer = await send(port, "GET /healthz HTTP/1.1\nHost: localhost\n\n")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 120) == b""
        await leave(writer)

        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert await status(reader) == 200
        for one in (writer, *(writer for _, writer in held)):
            await leave(one)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/64"),
        ("", None),
        (None, None),
    ],
)
def test_whose_places_are_counted_together(peer: object, address: str | None) -> None:
    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            assert name == "peername"
            return peer

    assert httpd._address(Transport()) == address


async def test_one_connection_too_many_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "SPARED", httpd.CONNECTIONS + 1)  # all places for one address
    async with receiver(Bodies(1000)) as port:
        held = [await send(port, "GET /healthz HT") for _ in range(httpd.CONNECTIONS)]
        reader, writer = await send(port, "GET /healthz HTTP/1.1\nHost: localhost\n\n")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 120) == b""
        await leave(writer)
        for _, one in held:
            await leave(one)
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200"):  # when they have gone there is room again
            reader, writer = await send(port, "GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n")
            with contextlib.suppress(ConnectionResetError):
                answer = await asyncio.wait_for(reader.read(), 120)
            await leave(writer)


SERVER = """
import asyncio, resource
from aiohttp import web
from monitor.github.source import GitHubConfig
from monitor.common.process import log_to_stderr
from monitor.common import httpd
from monitor.common.httpd import Bodies, serve
from monitor.web.app import build
from monitor.web.health import Probes
from monitor.web.hooks import Vendors, routes

async def main():
    log_to_stderr("error")
    config = GitHubConfig.model_validate({"name": "g", "type": "github", "org": "acme", "token": "env:HOME",
                                          "webhook_secret": "env:HOME"})
    async def keep(said):
        return True
    doors = routes(Vendors(), lambda: [config], keep, lambda source, what: None, problem=lambda *_: None)
    app = build(Probes(live=dict, ready=dict), routes=doors)
    async with serve(app, "127.0.0.1", 0) as url:
        print(url, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
        await asyncio.to_thread(input)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)

asyncio.run(main())
"""


async def test_forty_senders_of_unsigned_megabytes_take_no_memory() -> None:
    """40 connections took 1.1 GB, and 140 MB while what was refused was held until they had gone."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        url, before = child.stdout.readline().split()
        port, size = int(url.rpartition(":")[2]), 25 << 20
        head = f"POST /hooks/github HTTP/1.1\nHost: localhost\nX-Hub-Signature-256: sha256={'0' * 64}\n"
        head += f"Content-Length: {size}\n\n"

        async def attack() -> int:
            reader, writer = await send(port, head)
            with contextlib.suppress(OSError):
                for _ in range(size >> 16):
                    writer.write(bytes(1 << 16))
                    await writer.drain()
            answer = 0
            with contextlib.suppress(OSError):
                answer = await status(reader)
            await leave(writer)
            return answer

        answers = await asyncio.gather(*(attack() for _ in range(40)))
        child.stdin.write("\n")
        child.stdin.flush()
        after = child.stdout.readline()
    finally:
        child.kill()
        child.communicate()
    assert set(answers) <= {0, 401, 408, 503}
    assert int(after) - int(before) < 100 << 10  # KiB
