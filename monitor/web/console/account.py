"""`/account`: one's own sessions, and one's password."""

from __future__ import annotations

import asyncio
import math

from aiohttp import web

from monitor.accounts.passwords import check, hashed, weak
from monitor.web.console.context import ConsoleContext
from monitor.web.console.origin import address_of
from monitor.web.console.pages import page
from monitor.web.console.sessions import SESSION, OpenSession, Reception, patient
from monitor.web.console.visitor import posted, visitor

__all__ = ["routes"]

_SAID = {
    "password": "The password is changed, and your other sessions have ended.",
    "ended": "The session has ended.",
    "others": "Your other sessions have ended.",
}


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """Of who is signed in, where there is a sign-in."""
    if console.reception is None:
        return []
    mine = _Account(console.reception)
    return [
        web.get("/account", patient(mine.show)),
        web.post("/account/password", patient(mine.change)),
        web.post("/account/sessions", patient(mine.end)),
    ]


class _Account:
    def __init__(self, reception: Reception) -> None:
        self._reception, self._store = reception, reception.store

    async def show(self, request: web.Request) -> web.Response:
        return await self._page(request, _SAID.get(request.query.get("done", ""), ""))

    async def _page(self, request: web.Request, said: str = "", wrong: str = "", status: int = 200) -> web.Response:
        if not visitor(request).name:
            raise web.HTTPForbidden(text="nobody is signed in here\n")
        mine = request.get(SESSION)
        listed = []
        if mine is not None:
            known, idle = mine.known, self._reception.settings.idle
            listed = list(await self._store.sessions.of(known.user, known.way, idle))
        return await page(request, "account.html", status=status, mine=mine, sessions=listed, said=said, wrong=wrong)

    async def change(self, request: web.Request) -> web.Response:
        form, mine = await posted(request, "viewer"), _session(request)
        user = mine.known.user
        address, guesses = address_of(request, self._reception.settings.proxies), self._reception.guesses
        if mine.known.way != "password":
            raise web.HTTPForbidden(text="who signed you in has your password\n")
        if (seconds := guesses.wait(address, user)) > 0:
            wrong = f"Too many wrong passwords. Try again in {math.ceil(seconds)} s."
            return await self._page(request, wrong=wrong, status=429)
        known, fresh = await self._store.users.find(user), form.get("fresh")
        if known is None or not await check(known.password, form.get("password")):
            guesses.wrong(address, user)
            return await self._page(request, wrong="That is not your present password.", status=400)
        if why := "the two are not the same" if fresh != form.get("again") else weak(fresh, user):
            return await self._page(request, wrong=f"Not changed: {why}.", status=400)
        stored = await asyncio.to_thread(hashed, fresh)
        await self._store.users.set_password(user, stored, actor=form.by.name, keep=mine.known.id)
        answer = web.Response(status=303, headers={"Location": "/account?done=password"})
        await self._reception.rotate(request, answer)
        return answer

    async def end(self, request: web.Request) -> web.Response:
        form, mine = await posted(request, "viewer"), _session(request)
        which, known = form.get("which"), mine.known
        only = {"only": which} if which else {"keep": known.id}
        await self._store.sessions.revoke(known.user, known.way, actor=form.by.name, **only)
        raise web.HTTPSeeOther(f"/account?done={'ended' if which else 'others'}")


def _session(request: web.Request) -> OpenSession:
    mine: OpenSession | None = request.get(SESSION)
    if mine is None:
        raise web.HTTPForbidden(text="nobody is signed in here with a session\n")
    return mine
