"""The outbox: what waits to be sent and what was refused."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

from aiohttp import web

from monitor.store.undelivered import UndeliveredState
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page
from monitor.web.console.paging import PAGE, ListPart, asked_for
from monitor.web.console.readable import readable, within

__all__ = ["routes"]

STATES = get_args(UndeliveredState)


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/outbox` and `/outbox/{id}`."""
    shown = _Outbox(console)
    return [web.get("/outbox", readable(shown.show)), web.get("/outbox/{id:[0-9a-f]{32}}", readable(shown.one))]


class _Outbox:
    def __init__(self, console: ConsoleContext) -> None:
        self._store = console.store

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "state", "sink", "after")
        state, sink = asked["state"], asked["sink"]
        if state and state not in STATES:
            raise web.HTTPBadRequest(text=f"state: has to be one of {', '.join(STATES)}\n")
        undelivered = self._store.undelivered
        try:
            listed = await within(
                undelivered.page(
                    states=[known for known in STATES if known == state],
                    sink=sink or None,
                    after=asked["after"],
                    limit=PAGE,
                )
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"after: {error}\n") from None
        said = {name: text for name, text in (("state", state), ("sink", sink)) if text}
        return await page(
            request,
            "outbox.html",
            part=ListPart(listed.entries, listed.total, listed.next),
            by_sink=await within(undelivered.by_sink()),
            said=said,
            states=STATES,
            address=f"/outbox?{urlencode(said)}&" if said else "/outbox?",
        )

    async def one(self, request: web.Request) -> web.Response:
        try:
            entry = await within(self._store.undelivered.get(request.match_info["id"]))
        except LookupError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        return await page(request, "notification.html", entry=entry)
