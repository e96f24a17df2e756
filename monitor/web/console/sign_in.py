"""`/sign-in` and `/sign-out`."""

from __future__ import annotations

import asyncio
import math
from urllib.parse import urlencode

import structlog
from aiohttp import web

from monitor.accounts.passwords import LONGEST, check, hashed, outdated
from monitor.common.user_name import user_name
from monitor.store.users import User
from monitor.web.console.context import ConsoleContext
from monitor.web.console.origin import address_of, local_path
from monitor.web.console.pages import page
from monitor.web.console.sessions import Reception, patient
from monitor.web.console.visitor import form_of, posted, visitor

__all__ = ["routes"]

log = structlog.get_logger(__name__)

_QUEUE = 100  # passwords that may wait to be looked at
_WRONG = "The name or the password is wrong."


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """Of sign-in, where there is one."""
    if console.reception is None:
        return []
    shown = _SignIn(console.reception)
    return [
        web.get("/sign-in", shown.show),
        web.post("/sign-in", patient(shown.enter)),
        web.post("/sign-out", patient(shown.leave)),
    ]


class _SignIn:
    def __init__(self, reception: Reception) -> None:
        self._reception, self._users = reception, reception.store.users
        self._turn = asyncio.Lock()
        self._waiting: set[str] = set()  # addresses, each with one password that waits

    async def show(self, request: web.Request) -> web.Response:
        back = local_path(request.query.get("next", ""))
        if visitor(request).name:
            raise web.HTTPSeeOther(back)
        said = "Your session has ended. Sign in, then do it again." if "ended" in request.query else ""
        return await self._page(request, back, said)

    async def _page(
        self, request: web.Request, back: str, said: str, *, name: str = "", status: int = 200, after: int = 0
    ) -> web.Response:
        settings = self._reception.settings
        openid = f"/sign-in/openid?{urlencode({'next': back})}" if settings.openid else ""
        answer = await page(
            request, "sign_in.html", status=status, back=back, said=said, name=name, settings=settings, openid=openid
        )
        if after:
            answer.headers["Retry-After"] = str(after)
        return answer

    async def enter(self, request: web.Request) -> web.Response:
        fields = await form_of(request)
        back, settings = local_path(fields.get("next", "")), self._reception.settings
        if not settings.sign_in:
            raise web.HTTPForbidden(text="nobody signs in here with a password: console.sign_in is false\n")
        try:
            name = user_name(fields.get("name", ""))
        except ValueError:
            name = ""  # somebody may have typed the password there: it is not shown again
        address, guesses = address_of(request, settings.proxies), self._reception.guesses
        if (seconds := math.ceil(guesses.wait(address, name))) > 0:
            self._reception.counts["password", "held"] += 1
            return await self._page(
                request, back, f"Too many wrong passwords from here. Try again in {_spoken(seconds)}.",
                name=name, status=429, after=seconds,
            )  # fmt: skip
        if address in self._waiting or (len(self._waiting) >= _QUEUE and not guesses.familiar(address)):
            said = "Another password is being looked at. Try again."
            return await self._page(request, back, said, name=name, status=429, after=1)
        self._waiting.add(address)
        try:
            user = await self._known(name, fields.get("password", ""))
        finally:
            self._waiting.discard(address)
        answer = web.Response(status=303, headers={"Location": back})
        if user is not None and await self._reception.begin(
            request, answer, user.name, "password", password=user.password
        ):
            guesses.right(address, name)
            log.info("signed in", user=user.name, address=address)
            return answer
        guesses.wrong(address, name)
        self._reception.counts["password", "refused"] += 1
        # Neither shown nor logged unless there is such a user: it may be somebody's password.
        known = user if user is not None else await self._users.find(name)
        log.warning("a sign-in was refused", user=known.name if known else "unknown", address=address)
        return await self._page(request, back, _WRONG, status=401)

    async def _known(self, name: str, password: str) -> User | None:
        """Who has this password and may sign in. It takes as long where there is nobody of this name."""
        async with self._turn:
            user = await self._users.find(name)
            right = await check(user.password if user is not None else None, password)
            if user is None or not right or user.disabled or len(password) > LONGEST:
                return None
            if outdated(user.password):
                await self._users.renew(name, user.password, await asyncio.to_thread(hashed, password))
                return await self._users.find(name)
            return user

    async def leave(self, request: web.Request) -> web.Response:
        await posted(request, "viewer")
        answer = web.Response(status=303, headers={"Location": "/sign-in"})
        await self._reception.end(request, answer)
        return answer


def _spoken(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"
