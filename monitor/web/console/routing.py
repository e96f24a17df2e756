"""Routes: which sinks are alerted to what, and where one incident would go."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from monitor.report.routed import DEFAULT, GRANTED, inhibition_row, labels_from, places_of, route_row, way_of
from monitor.store.silences import silencing
from monitor.web.console.context import ConsoleContext
from monitor.web.console.pages import page
from monitor.web.console.paging import asked_for
from monitor.web.console.readable import within

__all__ = ["routes"]

_LONGEST = 20  # labels


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/routes`."""
    return [web.get("/routes", _Routes(console).show)]


class _Routes:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._redact = console.store, console.redact

    async def show(self, request: web.Request) -> web.Response:
        asked = {name: await self._redact(text) for name, text in asked_for(request, "labels", "incident").items()}
        ways, wrong, granted = [], "", {}
        try:
            if asked["incident"]:
                ways = await self._of_stored(asked["incident"])
            elif asked["labels"]:
                given = shlex.split(asked["labels"])
                if len(given) > _LONGEST:
                    raise ValueError(f"{_LONGEST} labels at most")
                names = {text.partition("=")[0] for text in given}
                granted = {name: text for name, text in GRANTED.items() if name not in names}
                ways = [await self._way(labels_from(given), {})]
        except (ValueError, LookupError) as error:
            wrong = str(error)
        policy = self._store.policy
        return await page(
            request,
            "routes.html",
            status=400 if wrong else 200,
            asked=asked,
            wrong=wrong,
            ways=ways,
            granted=granted,
            default="" if policy.routes else DEFAULT,
            routes=[route_row(place, route) for place, route in enumerate(policy.effective, 1)],
            inhibitions=[inhibition_row(place, one) for place, one in enumerate(policy.inhibitions, 1)],
        )

    async def _of_stored(self, ref: str) -> list[dict[str, Any]]:
        incident = await within(self._store.incidents.get(ref))
        held = await within(self._store.groups.held(incident.id))
        return [await self._way(place, held) for place in places_of(incident)]

    async def _way(self, labels: Mapping[str, str], held: Mapping[str, str]) -> dict[str, Any]:
        rules, _ = await within(self._store.silences.list())
        return way_of(silencing(self._store.policy, rules), labels, held, time.time())
