"""Fly.io's Machines API: names, ages and digests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.clients.client import ServiceError
from monitor.inventory.managers.fly import FlyConfig, FlyManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships


class Fly(Vendor):
    def __init__(self) -> None:
        super().__init__(f"FlyV1 {CANARY}", scheme="")
        times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-02-01T00:00:00Z"}
        self.apps = {"web": [{"name": "KEY", "digest": "d1", **times}], "worker": [{"name": "KEY", "digest": "d2"}]}
        self.denied = ""

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        app = where.removeprefix("GET /v1/apps/").removesuffix("/secrets")
        if app == self.denied:
            return web.json_response({"error": f"unauthorized {CANARY}"}, status=403)
        return {"secrets": self.apps[app]} if app in self.apps and not query else None


@pytest.fixture
async def server() -> AsyncIterator[Fly]:
    async with Fly() as fake:
        yield fake


@pytest.fixture
def make(server: Fly, tmp_path: Path) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "fly", "type": "fly", "server": server.url, "token": f"file:{tmp_path / 'token'}"}
    return lambda *apps: FlyManager(FlyConfig.model_validate({**given, "apps": apps or ("web", "worker")}))


async def test_names_ages_and_digests(make: Any) -> None:
    found = await everything(make())
    assert [(held.name, held.value, held.digest) for held in found] == [
        ("web/KEY", None, "d1"),
        ("worker/KEY", None, "d2"),
    ]
    assert found[0].created is not None
    assert found[0].rotated is not None
    assert found[0].rotated - found[0].created == 31 * 86_400


async def test_another_kind_of_token(server: Fly, make: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("plain-token")
    server.token, server.scheme = "plain-token", "Bearer "
    assert len(await everything(make())) == 2


async def test_many(server: Fly, make: Any) -> None:
    server.apps["web"] = [{"name": f"S{number}", "digest": "d"} for number in range(50_000)]
    assert len(await everything(make("web"))) == 50_000


async def test_the_doctor_and_who_may_not(server: Fly, make: Any) -> None:
    assert await diagnosis(make()) == []
    server.denied = "worker"
    (little,) = await diagnosis(make())
    assert little.startswith("inventory fly: worker: HTTP 403")
    assert CANARY not in little
    with pytest.raises(ServiceError, match="worker: HTTP 403"):
        await everything(make())


async def test_whatever_goes_wrong(server: Fly, make: Any) -> None:
    await hardships(server, make)
