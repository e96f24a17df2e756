"""A vendor's API for tests of what reads it: who asks is checked, and all that can go wrong does, at every step."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any, Protocol

import pytest
from aiohttp import web

from monitor.clients.client import ProviderClient, ServiceError
from monitor.inventory.held import HeldSecret, Manager
from monitor.inventory.managers.base import members
from tests.fakes.server import FakeServer, Fault

CANARY = "canary-4be1d0"


class Vendor(FakeServer):
    """`token`: what is let in, as `header` (with `scheme` before it) has it. Answers come from `reply`."""

    def __init__(self, token: str, *, header: str = "Authorization", scheme: str = "Bearer ") -> None:
        super().__init__()
        self.token, self.header, self.scheme = token, header, scheme

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.headers.get(self.header) != f"{self.scheme}{self.token}":
            return web.json_response({"message": f"Unauthorized {request.headers.get(self.header)}"}, status=401)
        found = self.reply(f"{request.method} {urllib.parse.unquote(request.path)}", dict(request.query), body)
        if isinstance(found, web.Response):
            return found
        if found is None:
            self.problems.append(f"{request.method} {request.path_qs}")
            return web.json_response({"message": f"Not Found {CANARY}"}, status=404)
        return web.json_response(found)

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        """The answer to `METHOD /path` as JSON, or as a Response; None: there is no such thing."""
        raise NotImplementedError


class Made(Manager, Protocol):
    """What every provider's class has beside the contract."""

    client: ProviderClient


async def everything(one: Manager) -> list[HeldSecret]:
    """What it holds, taken apart as it is before it is kept."""
    try:
        return [member async for held in one.held() for member in members(held)]
    finally:
        await one.close()


async def diagnosis(one: Manager) -> list[str]:
    try:
        return await one.doctor()
    finally:
        await one.close()


async def hardships(server: Vendor, make: Callable[[], Made]) -> None:
    """Limits are waited out; a failure from any request of a reading on ends it with an error that holds nothing."""

    def made() -> Made:
        one = make()
        one.client.first_retry = 0.0001
        return one

    server.requests.clear()
    whole = await everything(made())
    requests = len(server.requests)
    assert whole
    limit = Fault(429, {"Retry-After": "0.001"}, echo=True)
    server.faults.extend([limit, Fault(503), limit, Fault(reset=True)])
    assert await everything(made()) == whole

    token = server.token
    for broken in (
        Fault(401, echo=True),
        Fault(500, echo=True),
        Fault(200, body="[1]"),
        Fault(200, body=f"<p>{CANARY}"),
    ):
        for step in range(requests):
            server.faults.extend([None] * step)
            server.always = broken  # from that request on
            with pytest.raises(ServiceError, match=r"^inventory [a-z]+: ") as caught:
                await everything(made())
            told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
            assert CANARY not in told
            assert token not in told
            server.faults.clear()
            server.always = None
