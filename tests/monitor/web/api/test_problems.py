from __future__ import annotations

import json

import aiohttp
from aiohttp import web

from monitor.common.httpd import serve
from monitor.web.app import build
from tests.fakes.console import SPILLED
from tests.monitor.web.test_app import probes


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError(SPILLED)


async def test_what_nobody_expected_is_answered_without_its_words() -> None:
    routes = [web.get("/api/v1/broken", broken), web.get("/broken", broken)]
    async with serve(build(probes(), routes=routes), "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/v1/broken") as answer:
            assert (answer.status, answer.content_type) == (500, "application/problem+json")
            said = json.loads(await answer.text())
            assert said["title"] == "Internal Server Error"
            assert SPILLED not in said["detail"]
        async with session.get(f"{url}/nothing") as answer:
            assert answer.content_type == "text/plain"
