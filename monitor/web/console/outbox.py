"""The outbox: what waits to be sent and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args
from urllib.parse import urlencode

import structlog
from aiohttp import web

from monitor.store.undelivered import UndeliveredState
from monitor.web.console.context import ConsoleContext
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.pages import page
from monitor.web.console.paging import PAGE, ListPart, asked_for
from monitor.web.console.readable import within
from monitor.web.console.visitor import Posted, posted

__all__ = ["routes"]

log = structlog.get_logger(__name__)

STATES = get_args(UndeliveredState)
_AT_ONCE = 100  # notifications of a transaction, which holds up all others


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/outbox` and `/outbox/{id}`, and what is done with one and with all of a sink."""
    shown = _Outbox(console)
    verbs, one = "{verb:retry|discard}", "/outbox/{id:[0-9a-f]{32}}"
    return [
        web.get("/outbox", shown.show),
        web.get(one, shown.one),
        web.post(f"{one}/{verbs}", shown.act),
        web.post(f"/outbox/{verbs}", shown.act_on_all),
    ]


class _Outbox:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._redact = console.store, console.redact
        self._answers = FormAnswers()

    async def show(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "state", "sink", "after", ANSWER)
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
            answer=self._answers.shown(request),
            address=f"/outbox?{urlencode(said)}&" if said else "/outbox?",
        )

    async def one(self, request: web.Request) -> web.Response:
        try:
            entry = await within(self._store.undelivered.get(request.match_info["id"]))
        except LookupError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        return await page(request, "notification.html", entry=entry, answer=self._answers.shown(request))

    async def act(self, request: web.Request) -> web.Response:
        form, id_, verb = await posted(request, "responder"), request.match_info["id"], request.match_info["verb"]

        async def work() -> str:
            if not await self._do(verb, [id_], form):
                raise RefusedError("It is being sent, was sent, or was discarded meanwhile: nothing was done.")
            return (
                "It is tried at once." if verb == "retry" else f"Notification {id_} is discarded; its incidents stay."
            )

        back = f"/outbox/{id_}" if verb == "retry" else "/outbox"
        raise await self._answers.once(form, work, back)

    async def act_on_all(self, request: web.Request) -> web.Response:
        """Retry all of a sink; discard what it refused, as many as were shown."""
        form, verb = await posted(request, "responder"), request.match_info["verb"]
        sink, shown = form.get("sink"), form.get("shown")
        if not sink or not (shown.isascii() and shown.isdigit()):
            raise web.HTTPBadRequest(text="this form names no sink, or not how many were shown: load the page again\n")
        states: list[UndeliveredState] = ["pending", "dead"] if verb == "retry" else ["dead"]

        async def work() -> str:
            ids = await within(self._store.undelivered.ids(states=states, sink=sink))
            if verb == "discard" and len(ids) > int(shown):
                raise RefusedError(f"There are {len(ids):,} by now, and {int(shown):,} were shown: nothing was done.")
            done = [await self._do(verb, ids[start : start + _AT_ONCE], form) for start in range(0, len(ids), _AT_ONCE)]
            return f"{sum(done):,} {'are tried at once' if verb == 'retry' else 'are discarded; their incidents stay'}."

        raise await self._answers.once(form, work, f"/outbox?{urlencode({'sink': sink})}")

    async def _do(self, verb: str, ids: Sequence[str], form: Posted) -> int:
        """How many that was done with."""
        undelivered, actor = self._store.undelivered, await self._redact(form.by.name)
        change = undelivered.retry if verb == "retry" else undelivered.discard
        done = await change(ids, actor=actor, note=await self._redact(form.get("note")))
        log.info("outbox", verb=verb, actor=actor, notifications=len(done))
        return len(done)
