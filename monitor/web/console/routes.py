"""All addresses of the pages; each file of this room has its own."""

from __future__ import annotations

from aiohttp import web

from monitor.web.console import (
    account,
    bulk,
    checklist,
    drills,
    incident,
    incidents,
    keys,
    noise,
    openid,
    outbox,
    overview,
    records,
    routing,
    sign_in,
    silences,
    sinks,
    sources,
    static,
    trail,
)
from monitor.web.console.context import ConsoleContext

__all__ = ["routes"]


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """Of the console. Order counts: what is named goes before what is any id."""
    system = (sources, sinks, outbox, overview, checklist, noise, silences, routing, records, drills, trail)
    files = (incidents, bulk, incident, *system, keys, sign_in, openid, account)
    return [*(route for file in files for route in file.routes(console)), *console.live.routes(), *static.routes()]
