"""The pages of the console, served from a store of their own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from detectors.fingerprint import fingerprint
from monitor.common.notification import IncidentView
from monitor.config.config import parse
from monitor.domain.incidents import Incident
from monitor.domain.model import Finding
from monitor.snapshot import Snapshot
from monitor.sources.standing import SourceStanding
from monitor.status import document
from monitor.store import Joined, Store
from monitor.store.cases import IncidentCase
from monitor.store.drills import UnderWayError
from monitor.web.console import pages
from monitor.web.console.case import fields
from monitor.web.console.context import DueRotation
from monitor.web.console.live import LiveUpdates
from monitor.web.console.outcomes import RefusedError
from monitor.web.console.visitor import VISITOR, Visitor
from tests.fakes.notifications import NOW

KEY = b"k" * 32
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SPILLED = "what nobody may see"


def page_about(shown: IncidentView) -> str:
    """As who may only read it sees it, without a store."""
    seen = (shown.first_seen.timestamp(), shown.last_seen.timestamp(), shown.occurrences)
    facts = (shown.fingerprint, shown.rule, shown.name, shown.severity, "high", shown.state, shown.masked)
    case = IncidentCase(Incident(shown.id, *facts, *seen), Joined(), (), 0, None, None, None, (), 0)  # type: ignore[arg-type]
    what = fields(case, shown, None, Visitor(), NOW)
    return pages.render("incident.html", NOW, said=None, asked=None, can_ask=False, degraded=None, **what)


def finding(number: int, **changes: object) -> Finding:
    facts: dict[str, object] = {
        "id": f"{number:032x}",
        "rule": "github-pat",
        "name": "GitHub personal access token",
        "severity": "critical",
        "confidence": "high",
        "fingerprint": fingerprint(KEY, b"value %d" % number),
        "masked": "ghp_a1…",
        "source": "app",
        "path": "/var/log/app.log",
        "generation": "g",
        "offset": number,
        "time": 1_700_000_000.0,
        "line": number + 1,
        "runbook": "github-token",
    }
    return Finding(**(facts | changes))  # type: ignore[arg-type]


async def masked(text: str) -> str:
    """As the daemon does it with what its rules find."""
    return text.replace(SPILLED, "[masked]")


class Drilling:
    """As the daemon begins drills; nobody follows them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known, self.paging, self.refusal = ["app", "bus"], ["pager"], ""

    def sources(self) -> Sequence[str]:
        return self.known

    def pagers(self) -> Sequence[str]:
        return self.paging

    async def place(self, source: str) -> str:
        if source not in self.known:
            raise LookupError(source)
        if self.refusal:
            raise RefusedError(self.refusal)
        return "/var/log/drill.log"

    async def begin(self, source: str, rule: str, *, pages: bool, actor: str, once: str) -> str:
        facts: dict[str, Any] = {"pages": pages, "by": actor, "source": source, "rule": rule, "alone": True}
        try:
            await self.store.drills.begin(once, [fingerprint(KEY, once.encode())], **facts)
        except UnderWayError as error:
            raise RefusedError(str(error)) from None
        return await self.place(source)


class Pages:
    def __init__(self, store: Store, session: aiohttp.ClientSession, live: LiveUpdates) -> None:
        self.store, self._session, self.live = store, session, live
        self.url = ""
        self.who = Visitor()  # sends what follows
        self.works = True
        self.config = parse("", Path("config.toml"))
        self.snapshot, self.standings = Snapshot(), list[SourceStanding]()
        self.refusal: Exception | None = None  # of sinks that are tried
        self.tried: list[tuple[str, str]] = []
        self.due: list[DueRotation] = []
        self.rotated: list[tuple[str, str, str]] = []
        self.rules = {"github-pat", "jwt"}
        self.drilling = Drilling(store)

    async def rotations(self) -> Sequence[DueRotation]:
        return self.due

    async def rotate(self, secret: str, why: str, actor: str) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.rotated.append((secret, why, actor))
        return "ab" * 8

    async def try_sink(self, name: str, by: str) -> str:
        self.tried.append((name, by))
        if self.refusal is not None:
            raise self.refusal
        return "ticket 7"

    async def post(self, path: str, status: int = 200, *, once: str = "", **fields: str) -> str:
        """Send a form as the page would, and follow to its answer; of a refusal what it says."""
        sent = {"form": self.who.form, "once": once or self.who.once, **fields}
        headers = {**BROWSER, "Origin": self.url}
        async with self._session.post(f"{self.url}{path}", data=sent, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return self._read(answer, text)

    async def status(self) -> dict[str, Any]:
        """As the daemon does it."""
        self.snapshot.store = replace(self.snapshot.store, degraded=self.store.degraded)
        daemon = {"phase": "watching", "problems": {}}
        return document(self.config, self.snapshot, self.standings, host="web1", daemon=daemon)

    def work(self) -> None:
        """As the daemon does it, but for what needs its configuration."""

        async def do() -> None:
            while self.works and await self.store.requests.apply(lambda incident, name: None):
                pass

        self.working = asyncio.create_task(do())

    @property
    def sign_in(self) -> Middleware:
        @web.middleware
        async def sign_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[VISITOR] = self.who
            return await handler(request)

        return sign_in

    async def get(self, path: str, status: int = 200, *, plain: bool = False) -> str:
        async with self._session.get(f"{self.url}{path}", headers=BROWSER) as answer:
            assert answer.status == status, path
            text = await answer.text()
            return text if plain else self._read(answer, text)

    @staticmethod
    def _read(answer: aiohttp.ClientResponse, text: str) -> str:
        """A page; of one that refuses what it says, as it is written there."""
        if answer.content_type == "text/plain":
            return text
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        wrong = r"<style|\son\w+\s*=|\sstyle\s*=|javascript:|<script(?! src=\"/static/[\w.]+\" defer></script>)"
        assert not re.search(wrong, text)
        said = re.search(r'<p role="alert" class="said refused">(.*?)</p>', text, re.S)
        return said[1].replace("&#39;", "'") if said and 400 <= answer.status < 500 else text
