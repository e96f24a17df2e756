from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.cli.running import NoAnswerError, daemon_status
from monitor.common.httpd import serve
from monitor.config.config import Config, parse
from monitor.web.app import build
from monitor.web.health import Probes
from monitor.web.status import routes


def settings(listen: str, extra: str = "") -> Config:
    return parse(f'[http]\nlisten = "{listen}"\n{extra}', Path("config.toml"))


def asked(listen: str, extra: str = "") -> dict[str, Any] | str:
    try:
        return daemon_status(settings(listen, extra))
    except NoAnswerError as error:
        return str(error)


async def test_whom_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"daemon": {}, "sources": [], "sinks": []}

    async def tell() -> dict[str, Any]:
        return answer

    app = build(Probes(live=dict, ready=dict), routes=routes(tell))
    async with serve(app, f"{tmp_path}/http", 0) as unix:
        assert await asyncio.to_thread(asked, unix) == answer
    async with serve(app, "0.0.0.0", 0) as url:
        port = url.rpartition(":")[2]
        assert await asyncio.to_thread(asked, f"0.0.0.0:{port}") == answer
    assert "Connection refused" in await asyncio.to_thread(asked, f"127.0.0.1:{port}")
    assert "names no port" in await asyncio.to_thread(asked, "127.0.0.1:0")
    assert "names no port" in await asyncio.to_thread(asked, "")

    seen: list[str | None] = []

    async def other(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text=bodies.pop(), status=404 if not bodies else 200)

    bodies = ["nothing", "[1]", "<html>"]
    runner = web.AppRunner(wrong := web.Application())
    wrong.router.add_get("/status", other)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", int(port))
    await site.start()
    try:
        monkeypatch.setenv("TOKEN", "t" * 20)
        for words in ("is no exposure monitor", "is no exposure monitor", "answers 404"):
            said = await asyncio.to_thread(asked, f"127.0.0.1:{port}", 'token = "env:TOKEN"')
            assert words in said
        assert seen == [f"Bearer {'t' * 20}"] * 3
    finally:
        await runner.cleanup()
