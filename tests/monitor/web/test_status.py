from __future__ import annotations

from typing import Any

import aiohttp

from monitor.common.httpd import serve
from monitor.web.app import build
from monitor.web.health import Probes
from monitor.web.status import routes


async def test_it_is_json_for_this_host_only() -> None:
    async def tell() -> dict[str, Any]:
        return {"sources": [{"name": "a"}]}

    app = build(Probes(live=dict, ready=dict), routes=routes(tell))
    async with serve(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/status") as answer:
            assert answer.status == 200
            assert await answer.json() == {"sources": [{"name": "a"}]}
        async with session.get(f"{url}/status", headers={"X-Forwarded-For": "192.0.2.1"}) as answer:
            assert answer.status == 403
