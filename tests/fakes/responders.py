"""People at the pages of the console, each signed in: they load a page, and send a form that they find there."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.common.httpd import serve
from monitor.report.view import Links
from monitor.store import Store
from monitor.web import app, console
from monitor.web.console.visitor import VISITOR, Role, Visitor
from monitor.web.health import Probes
from tests.fakes.console import BROWSER, Pages, masked

__all__ = ["Answered", "Person", "at_pages", "form_for"]

_FORM = re.compile(r'(?s)<form method="post" action="([^"]*)">(.*?)</form>')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
_FACTS = ("name", "role", "form")


@dataclass(frozen=True)
class Answered:
    """A page at the end of its redirects. `said`: what came of the form, without markup."""

    status: int
    text: str
    address: str

    @property
    def said(self) -> str:
        inside = re.search(r'(?s)<p (?:id="said" role="status"|role="alert")[^>]*>(.*?)</p>', self.text)
        return html.unescape(re.sub("<[^>]+>", "", inside[1])) if inside else ""


def form_for(text: str, verb: str, **given: str) -> dict[str, str]:
    """The fields of the first form on a page for this verb whose hidden fields are the given ones, and under an empty
    name where it is sent to."""
    for action, inside in _FORM.findall(text):
        fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(inside)}
        same = all(fields.get(name, value) == value for name, value in given.items())
        if fields.get("verb", action.rsplit("/", 1)[-1]) == verb and same:
            return fields | given | {"": html.unescape(action)}
    raise AssertionError(f"no form {verb} {given}")


class Person:
    """`pressed`: how many pages they loaded and forms they sent."""

    def __init__(self, url: str, session: aiohttp.ClientSession, name: str = "ada", role: Role = "admin") -> None:
        self._url, self._session, self.name, self.role, self.pressed = url, session, name, role, 0

    async def get(self, path: str) -> Answered:
        self.pressed += 1
        async with self._session.get(f"{self._url}{path}", headers=self._facts) as answer:
            return Answered(answer.status, await answer.text(), answer.url.path_qs)

    async def form(self, path: str, verb: str, **given: str) -> dict[str, str]:
        """As `form_for`, of a page."""
        return form_for((await self.get(path)).text, verb, **given)

    async def send(self, fields: dict[str, str], **headers: str) -> Answered:
        self.pressed += 1
        sent = {name: text for name, text in fields.items() if name}
        async with self._session.post(
            f"{self._url}{fields['']}", data=sent, headers=self._facts | {"Origin": self._url} | headers
        ) as answer:
            return Answered(answer.status, await answer.text(), answer.url.path_qs)

    async def press(self, path: str, verb: str, **given: str) -> Answered:
        return await self.send(await self.form(path, verb, **given))

    @property
    def _facts(self) -> dict[str, str]:
        return BROWSER | dict(zip(_FACTS, (self.name, self.role, f"{self.name:f<32}"), strict=True))


@asynccontextmanager
async def at_pages(
    store: Store, redact: Callable[[str], Awaitable[str]] = masked, **given: Any
) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The pages; who comes says in headers who they are, as sign-in would know. `given`: what the daemon gives."""

    @web.middleware
    async def sign_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        name, role, form = (request.headers.get(fact, "") for fact in _FACTS)
        if name:
            request[VISITOR] = Visitor(name, role, form)  # type: ignore[arg-type]
        return await handler(request)

    async with aiohttp.ClientSession() as session:
        pages = Pages(store, session, console.LiveUpdates(store))
        links = Links(console="", runbooks="/runbooks")
        context = console.ConsoleContext(store, links, redact, pages.status, pages.live, pages.try_sink, **given)
        application = app.build(Probes(live=dict, ready=dict), routes=console.routes(context))
        application.middlewares.append(sign_in)
        async with serve(application, "127.0.0.1", 0) as url:
            yield url, session
