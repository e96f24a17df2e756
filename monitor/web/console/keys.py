"""What keys do on the pages, told where there is no script as well."""

from __future__ import annotations

from aiohttp import web

from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page

__all__ = ["routes"]


def routes(_console: ConsoleContext) -> list[web.RouteDef]:
    """`/keys`."""
    return [web.get("/keys", _show)]


async def _show(request: web.Request) -> web.Response:
    return await page(request, "keys.html")
