from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.common.httpd import serve
from monitor.web.app import allowed_hosts, build
from monitor.web.health import Checks, Probes


def probes(
    live: Callable[[], Checks] = lambda: {"loop": None}, ready: Callable[[], Checks] = lambda: {"engine": None}
) -> Probes:
    return Probes(live=live, ready=ready, registry=CollectorRegistry())


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9321", 200),
        ("127.0.0.1:9321", 200),
        ("[::1]:9321", 200),
        ("10.1.2.3", 200),
        ("monitor.example.org", 200),
        ("evil.example.com", 421),
        ("monitor.example.org.evil.example.com", 421),
        ("[", 421),
        ("", 421),
    ],
)
async def test_unknown_host_headers_are_refused(session: aiohttp.ClientSession, host: str, status: int) -> None:
    hosts = allowed_hosts("127.0.0.1", "https://monitor.example.org/", ["other"])
    assert hosts == {"127.0.0.1", "monitor.example.org", "other"}
    async with (
        serve(build(probes(), hosts=hosts), "127.0.0.1", 0) as url,
        session.get(f"{url}/healthz", headers={"Host": host}) as answer,
    ):
        assert answer.status == status


async def raw(url: str, request: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 120)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n",
    ],
)
async def test_no_answer_says_which_server_it_is(request_bytes: bytes) -> None:
    async with serve(build(probes()), "127.0.0.1", 0) as url:
        answer = await raw(url, request_bytes)
    assert answer.startswith(b"HTTP/1.")
    assert b"server:" not in answer.lower()
    assert b"aiohttp" not in answer.lower()


async def test_a_malformed_request_is_answered_and_not_repeated_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(build(probes()), "127.0.0.1", 0) as url:
        answer = await raw(url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nbad header with canary-value\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 400")
    assert "canary-value" not in caplog.text
    assert "Error handling request" in caplog.text


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tok\x01en: {}",
        "GET / HTTP/1.1\r\nHost: a\r\n{} bad: x",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0{}",
        "G{{}} /{} HTTP/9",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: {}",
    ],
)
async def test_an_answer_repeats_nothing_of_a_bad_header(head: str, caplog: pytest.LogCaptureFixture) -> None:
    value = "canary-of-a-header"
    async with serve(build(probes()), "127.0.0.1", 0) as url:
        answer = await raw(url, f"{head.format(value)}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"417")
    assert value.encode() not in answer
    assert value not in caplog.text


async def test_routes_of_other_modules_join_and_share_the_guards(session: aiohttp.ClientSession) -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async with serve(build(probes(), routes=[web.post("/hooks/example", hook)]), "127.0.0.1", 0) as url:
        async with session.post(f"{url}/hooks/example", data=io.BytesIO(b"x" * 20_000)) as answer:
            assert await answer.text() == "20000"
            assert answer.headers["Cache-Control"] == "no-store"
        async with session.post(f"{url}/hooks/example", headers={"Host": "evil"}) as answer:
            assert answer.status == 421


async def test_a_failing_probe_is_an_error_that_shows_nothing(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Checks:
        raise RuntimeError("value-of-something")

    async with serve(build(probes(live=broken)), "127.0.0.1", 0) as url:
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 500
            assert "value-of-something" not in await answer.text()
    assert "value-of-something" not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_a_taken_port_is_an_os_error() -> None:
    async with serve(build(probes()), "127.0.0.1", 0) as url:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(build(probes()), "127.0.0.1", int(url.rsplit(":", 1)[1])):
                pass


async def test_ipv6_addresses_are_bracketed() -> None:
    try:
        async with serve(build(probes()), "::1", 0) as url:
            assert url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
