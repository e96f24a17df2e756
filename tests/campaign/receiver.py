"""The webhook's other end: a real HTTP server that goes wrong as it is told and remembers what it took, and when."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from tests.fakes.server import Fault
from tests.fakes.webhook import FakeWebhook

__all__ = ["Receiver"]

_FAULTS = {
    "429": Fault(429, headers={"Retry-After": "1"}),
    "500": Fault(500),
    "503": Fault(503, headers={"Retry-After": "0"}),
    "reset": Fault(reset=True),
    "cut": Fault(cut=True),
    "lost": Fault(500, after=True),
    "hang": Fault(hang=True),
    "down": Fault(reset=True),  # for connections that stand; new ones are refused
    "404": Fault(404),
    "401": Fault(401),
}


class Receiver(FakeWebhook):
    """`arrived`: fingerprint → when it first came, by the monotonic clock."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: dict[str, float] = {}
        self.ids: dict[str, set[str]] = {}  # fingerprint → ids of its incident
        self.first: dict[str, set[str]] = {}  # fingerprint → ids of the notifications that told it as new
        self.sent: list[str] = []  # ids of the notifications taken
        self.notices: list[str] = []  # what the monitor told about itself
        self.limit: int | None = None  # bytes of the largest body it takes
        self._down = False

    @property
    def well(self) -> bool:
        return self.always is None

    async def turn(self, mode: str) -> None:
        """Go wrong as `mode` says; "well": mended."""
        if mode == "well":
            self.always = None
            self._release.set()
            self._release = asyncio.Event()
            if self._down:
                await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
            self._down = False
            return
        self.always = _FAULTS[mode]
        if mode == "down" and not self._down:
            self._down = True
            for site in list(self._runner.sites):
                await site.stop()

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self.limit is not None and len(body) > self.limit:
            return web.Response(status=413)
        response = await super().answer(request, body)
        self._take(self.payloads.pop())
        return response

    def _take(self, payload: dict[str, Any]) -> None:
        now = time.monotonic()
        self.sent.append(payload["id"])
        if not payload["incidents"]:
            self.notices.append(f"{payload.get('title')}: {payload.get('text')}")
        for incident in payload["incidents"]:
            known = incident["fingerprint"]
            self.arrived.setdefault(known, now)
            self.ids.setdefault(known, set()).add(incident["id"])
            if payload["reason"] == "new":
                self.first.setdefault(known, set()).add(payload["id"])
