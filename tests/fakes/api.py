"""A program that uses the API, and holds each answer against the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator

from monitor import runbook
from monitor.accounts.tokens import fresh, stored
from monitor.common.httpd import serve
from monitor.domain.incidents import Incident
from monitor.report.view import Links
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.web import api, console
from monitor.web import app as web
from monitor.web.api.openapi import document
from monitor.web.health import Probes
from tests.fakes.console import Pages, masked

__all__ = ["ApiProgram", "serving"]


class ApiProgram:
    """`seen`: operations, and how they were answered."""

    def __init__(self, pages: Pages, session: aiohttp.ClientSession) -> None:
        self.pages, self.store, self.session = pages, pages.store, session
        self.token = ""
        self.seen: set[tuple[str, int]] = set()
        self.headers: Mapping[str, str] = {}

    async def holds(self, role: str = "admin", scope: str = "act", name: str = "deploy", lasts: float = 60.0) -> str:
        """From now on a token of its own."""
        self.token = fresh()
        given: Any = {"role": role, "scope": scope, "lasts": lasts}
        await self.store.tokens.add(stored(self.token), name, **given, actor="root")
        return self.token

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        return await self.ask("GET", path, status, headers=headers)

    async def post(self, path: str, status: int = 200, *, key: str = "", **body: Any) -> Any:
        return await self.ask("POST", path, status, json=body, headers={"Idempotency-Key": key} if key else {})

    async def ask(
        self, method: str, path: str, status: int, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        sent = {**({"Authorization": f"Bearer {self.token}"} if self.token else {}), **(headers or {})}
        url = f"{self.pages.url}/api/v1/{path}"
        async with self.session.request(method, url, headers=sent, **more) as answer:
            text = await answer.text()
            assert answer.status == status, text
            self.headers = answer.headers
            body = json.loads(text)
            self._fits(method, path, status, answer.content_type, body)
            return body

    async def stream(self) -> bytes:
        """The first event that says something."""
        url = f"{self.pages.url}/api/v1/events"
        async with self.session.get(url, headers={"Authorization": f"Bearer {self.token}"}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            self.seen.add(("events", answer.status))
            return await answer.content.readuntil(b"}\n\n")

    def _fits(self, method: str, path: str, status: int, content: str, body: Any) -> None:
        described = document()
        bare = "/api/v1/" + path.partition("?")[0]
        known = next((one for one in described["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), bare)), None)
        operation = known and described["paths"][known].get(method.lower())
        if operation is None:
            answer = described["components"]["responses"]["Problem"]
        else:
            self.seen.add((operation["operationId"], status))
            answer = operation["responses"][str(status)]
            if "$ref" in answer:
                answer = described["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        schema = answer["content"][content]["schema"]
        Draft202012Validator(
            {**schema, "components": described["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
        ).validate(body)
        if status >= 400:
            assert body["status"] == status
            assert len(body["detail"]) > 20


@asynccontextmanager
async def serving(folder: Path, *, people: Sequence[str] = ("bob",), **more: Any) -> AsyncIterator[ApiProgram]:
    """The API and the pages. `more`: of `web.build`."""

    async def named() -> Sequence[str]:
        return people

    def offers(incident: Incident) -> Sequence[tuple[str, int]]:
        return [("revoke", 2), ("rotate", 1)]

    procedure = Procedure("high", book=runbook.load)
    async with (
        await Store.open(folder / "state.db", Policy(), procedure=procedure) as store,
        aiohttp.ClientSession() as session,
    ):
        shown = Pages(store, session, console.LiveUpdates(store))
        links = Links(console="", runbooks="/runbooks")
        context = console.ConsoleContext(
            *(store, links, masked, shown.status, shown.live, shown.try_sink),
            offers=offers,
            people=named,
            work=shown.work,
            rules=lambda: shown.rules,
        )
        application = web.build(
            Probes(live=dict, ready=dict),
            routes=[*api.routes(context), *console.routes(context)],
            programs=api.TokenDoor(store),
            **more,
        )
        async with serve(application, "127.0.0.1", 0) as shown.url, shown.live.running():
            yield ApiProgram(shown, session)
