from __future__ import annotations

import asyncio
import base64
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from monitor.common.credential import Credential
from monitor.common.httpd import serve
from monitor.web.app import build
from tests.monitor.web.test_app import probes


async def page(request: web.Request) -> web.Response:
    return web.Response(text="page")


ROUTES = [web.get("/incidents", page), web.post("/hooks/x", page)]
TOKEN = Credential("env:PAGE_TOKEN")
ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture
async def session(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    monkeypatch.setenv("PAGE_TOKEN", "open sesame")
    async with aiohttp.ClientSession() as session:
        yield session


async def get(session: aiohttp.ClientSession, url: str, **headers: str) -> int:
    async with session.get(url, headers=headers) as answer:
        return answer.status


async def test_without_a_token_this_host_needs_none(session: aiohttp.ClientSession) -> None:
    for host in ("127.0.0.1", "::1"):
        async with serve(build(probes(), routes=ROUTES), host, 0) as url:
            assert await get(session, f"{url}/incidents") == 200


async def test_where_there_is_one_a_proxy_that_does_not_say_for_whom_it_asks_needs_it_as_well(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """It looks like somebody on this host."""
    async with serve(build(probes(), routes=ROUTES, token=TOKEN), "127.0.0.1", 0) as url:
        assert await get(session, f"{url}/incidents") == 401
        assert await get(session, f"{url}/incidents", Authorization="Bearer open sesame") == 200
    async with serve(build(probes(), routes=ROUTES, token=TOKEN), str(tmp_path / "http"), 0):
        connector: Any = aiohttp.UnixConnector(str(tmp_path / "http"))
        async with aiohttp.ClientSession(connector=connector) as beside:
            assert await get(beside, "http://localhost/incidents") == 401


async def test_what_is_no_text_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGE_TOKEN", "open sesame")
    async with serve(build(probes(), routes=ROUTES, token=TOKEN), "127.0.0.1", 0) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /incidents HTTP/1.0\r\nHost: localhost\r\nVia: x\r\nAuthorization: Bearer \xff\r\n\r\n")
        assert b" 401 " in await reader.readline()
        writer.close()


async def test_elsewhere_needs_it(session: aiohttp.ClientSession) -> None:
    async with serve(build(probes(), routes=ROUTES, token=TOKEN), "127.0.0.1", 0) as url:
        basic = base64.b64encode(b"me:open sesame").decode()
        for given, status in (
            ({}, 401),
            ({"Authorization": "Bearer open sesame"}, 200),
            ({"Authorization": f"Basic {basic}"}, 200),
            ({"Authorization": "Bearer open"}, 401),
            ({"Authorization": "Bearer "}, 401),
            ({"Authorization": "Basic !"}, 401),
            ({"Authorization": "Basic /w=="}, 401),
            ({"Authorization": "open sesame"}, 401),
        ):
            assert await get(session, f"{url}/incidents", **ELSEWHERE, **given) == status, given
        for path in ("/healthz", "/readyz", "/metrics"):
            assert await get(session, url + path, **ELSEWHERE) == 200
        async with session.post(f"{url}/hooks/x", headers=ELSEWHERE) as answer:  # signed, each in its way
            assert answer.status == 200


async def test_without_a_token_elsewhere_sees_nothing(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(build(probes(), routes=ROUTES), "127.0.0.1", 0) as url:
        assert await get(session, f"{url}/incidents", **ELSEWHERE) == 403
    monkeypatch.delenv("PAGE_TOKEN")
    async with serve(build(probes(), routes=ROUTES, token=TOKEN), "127.0.0.1", 0) as url:
        assert await get(session, f"{url}/incidents", **ELSEWHERE) == 503


async def test_an_address_of_this_host_that_is_not_loopback_is_elsewhere(session: aiohttp.ClientSession) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this host has no address but loopback")
        address = probe.getsockname()[0]
    async with serve(build(probes(), routes=ROUTES), "0.0.0.0", 0) as url:
        port = url.rpartition(":")[2]
        assert await get(session, f"http://{address}:{port}/incidents") == 403
        assert await get(session, f"http://127.0.0.1:{port}/incidents") == 200


async def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "http"
    for _ in range(2):  # one that is left behind is replaced
        async with serve(build(probes(), routes=ROUTES), str(path), 0) as address:
            assert address == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            connector: Any = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as session:
                assert await get(session, "http://localhost/incidents") == 200
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
