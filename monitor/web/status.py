"""`/status`: how the monitor is, as JSON (monitor.status). For whoever may read pages, as it names paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

__all__ = ["routes"]


def routes(tell: Callable[[], Awaitable[dict[str, Any]]]) -> list[web.RouteDef]:
    async def status(_request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(await tell()), content_type="application/json")

    return [web.get("/status", status)]
