"""Files that pages bring along: the style."""

from __future__ import annotations

from aiohttp import web

from monitor.web.console.pages import HERE

__all__ = ["routes"]

_STYLE = (HERE / "static" / "console.css").read_text("utf-8")


def routes() -> list[web.RouteDef]:
    """Each under its name at the top."""
    return [web.get("/console.css", _style)]


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=_STYLE, content_type="text/css", headers={"Cache-Control": "max-age=3600"})
