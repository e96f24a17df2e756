"""The pages with sign-in, and browsers that visit them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.web import Request, Response
from aiohttp.web import get as web_get

from monitor import runbook
from monitor.accounts.passwords import hashed
from monitor.accounts.people import Role
from monitor.accounts.settings import SignInConfig
from monitor.common.credential import Credential
from monitor.common.http import Http
from monitor.common.httpd import serve
from monitor.report.view import Links
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.web import app as web
from monitor.web import console
from monitor.web.health import Probes
from tests.fakes.console import SPILLED, masked

__all__ = ["PASSWORD", "Browser", "Signing", "form_in", "signing"]

PASSWORD = "correct horse battery"
_STORED = ""


def stored() -> str:
    """The hash of PASSWORD: a tenth of a second, once."""
    global _STORED
    _STORED = _STORED or hashed(PASSWORD)
    return _STORED


def form_in(text: str) -> dict[str, str]:
    """What a form of a page carries beside what people fill in: the first on it."""
    carried = re.search(r'name="form" value="(\w+)"><input type="hidden" name="once" value="([\w-]+)"', text)
    assert carried is not None, text
    return {"form": carried[1], "once": carried[2]}


class Browser:
    """One that keeps cookies, follows nothing by itself, and says where its forms come from."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, status: int = 200, **headers: str) -> str:
        answer, text = await self.ask("GET", path, headers=headers)
        assert answer.status == status, (path, answer.status, text)
        return text

    async def ask(
        self, method: str, path: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[aiohttp.ClientResponse, str]:
        sent = {"Accept": "text/html", **self.headers, **(headers or {})}
        if self.cookies:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if method == "POST":
            sent.setdefault("Origin", self.url if self.url.startswith("http") else "http://localhost")
        host = self.url if self.url.startswith("http") else "http://localhost"
        sent = {name: value for name, value in sent.items() if value != "-"}
        async with self.session.request(
            method, f"{host}{path}", data=fields, headers=sent, allow_redirects=False
        ) as answer:
            for name, cookie in answer.cookies.items():
                self.cookies[name] = cookie.value
                if cookie["max-age"] == "0":
                    del self.cookies[name]
            return answer, await answer.text()

    async def post(self, path: str, fields: Mapping[str, str], status: int = 303, **headers: str) -> str:
        """Where it leads, or the page that it is answered with."""
        answer, text = await self.ask("POST", path, fields, headers)
        assert answer.status == status, (path, answer.status, text)
        return answer.headers["Location"] if status == 303 else text

    async def form(self, page: str, path: str, fields: Mapping[str, str], status: int = 303) -> str:
        """A form of a page as somebody sends it there."""
        return await self.post(path, {**form_in(await self.get(page)), **fields}, status)

    async def sign_in(self, name: str, password: str = PASSWORD, status: int = 303, **fields: str) -> str:
        return await self.post("/sign-in", {"name": name, "password": password, **fields}, status)


class Signing:
    """`settings`: may be exchanged, as by a reload."""

    def __init__(self, store: Store, settings: SignInConfig) -> None:
        self.store, self.settings = store, settings
        self.url = ""
        self.reception: Any = None

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        connector: Any = None
        if self.url.startswith("unix:"):
            connector = aiohttp.UnixConnector(self.url.removeprefix("unix:"))
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector) as session:
            yield Browser(self.url, session)

    async def user(self, name: str, role: Role = "responder") -> None:
        await self.store.users.add(name, stored(), role, actor="root")

    @asynccontextmanager
    async def signed_in(self, name: str = "ana", role: Role = "responder") -> AsyncIterator[Browser]:
        await self.user(name, role)
        async with self.browser() as browser:
            await browser.sign_in(name)
            yield browser


async def nothing() -> dict[str, Any]:
    return {}


async def broken(request: Request) -> Response:
    """A page with a mistake in it."""
    raise RuntimeError(SPILLED)


async def tried(name: str, by: str) -> str:
    return f"{name} by {by}"


@asynccontextmanager
async def signing(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    token: Credential | None = None,
    base_url: str | None = None,
    clock: Any = None,
    **settings: Any,
) -> AsyncIterator[Signing]:
    """`settings`: of the table [console]."""
    table = SignInConfig.model_validate({"sign_in": True, **settings})
    options: dict[str, Any] = {"clock": clock} if clock else {}
    async with await Store.open(folder / "state.db", Policy(), secret=b"s" * 32, node="one", **options) as store:
        store.procedure = Procedure(None, book=runbook.load)
        made = Signing(store, table)
        made.reception = console.Reception(store, lambda: made.settings, http := Http())
        links, live = Links(console="", runbooks="/runbooks"), console.LiveUpdates(store, made.reception.still)
        context = console.ConsoleContext(store, links, masked, nothing, live, tried, made.reception)
        application = web.build(
            Probes(live=dict, ready=dict),
            hosts=web.allowed_hosts(host, base_url),
            routes=[*console.routes(context), web_get("/broken", broken)],
            token=token,
            doorkeeper=made.reception,
            base_url=base_url,
            redact=masked,
        )
        try:
            async with serve(application, host, 0) as made.url:
                yield made
        finally:
            await http.close()
