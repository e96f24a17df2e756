"""Vercel's API: variables by environment, values one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.inventory.managers.vercel import VercelConfig, VercelManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

TIMES = {"createdAt": 1_700_000_000_000, "updatedAt": 1_700_086_400_000}


def variable(number: str, key: str, kind: str, target: Any, value: str = "encrypted!", **more: Any) -> dict[str, Any]:
    return {"id": number, "key": key, "type": kind, "target": target, "value": value, **TIMES, **more}


class Vercel(Vendor):
    """`rows`: variables, `size` a page; `values`: id → the value in the clear."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.size = 3
        self.rows = [
            variable("e1", "KEY", "encrypted", ["production"]),
            variable("e2", "KEY", "encrypted", ["preview"], gitBranch="next"),
            variable("e3", "SEALED", "sensitive", ["production", "preview"]),
            variable("e4", "OPEN", "plain", "development", f"{CANARY}-plain"),
            variable("e5", "VERCEL_URL", "system", ["production"]),
            variable("e6", "OWN", "encrypted", [], customEnvironmentIds=["env_1"]),
            variable("e7", "LARGE", "encrypted", ["production"]),
            variable("e8", "EMPTY", "encrypted", ["production"]),
        ]
        self.values = {"e1": "live", "e2": "test", "e6": "own", "e7": "x" * 65536, "e8": ""}
        self.denied: set[str] = set()
        self.current: dict[str, Any] = {"scopes": [{"type": "team"}], "expiresAt": 1}

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        if query.pop("teamId", None) != "team_1":
            self.problems.append("not the team's")
        path = where.removeprefix("GET /")
        if path in self.denied:
            return web.json_response({"error": {"code": "forbidden", "message": CANARY}}, status=403)
        if path == "v5/user/tokens/current":
            return {"token": self.current}
        if path == "v10/projects/app/env":
            start = int(query.get("until", "0"))
            end = start + self.size
            following = end if end < len(self.rows) else None
            return {"envs": self.rows[start:end], "pagination": {"count": self.size, "next": following, "prev": None}}
        number = path.removeprefix("v1/projects/app/env/")
        if number not in self.values or query:
            return None
        row = next(row for row in self.rows if row["id"] == number)
        return {**row, "value": self.values[number], "decrypted": True}


@pytest.fixture
async def server() -> AsyncIterator[Vercel]:
    async with Vercel() as fake:
        yield fake


@pytest.fixture
def make(server: Vercel, tmp_path: Path) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "vercel", "type": "vercel", "project": "app", "team": "team_1", "server": server.url}
    config = VercelConfig.model_validate({**given, "token": f"file:{tmp_path / 'token'}"})
    return lambda: VercelManager(config)


async def test_one_key_in_several_environments(make: Any) -> None:
    found = await everything(make())
    assert [(held.name, held.value, held.environment) for held in found] == [
        ("production/KEY", b"live", "production"),
        ("preview/next/KEY", b"test", "preview"),
        ("production/SEALED", None, "production"),
        ("preview/SEALED", None, "preview"),
        ("development/OPEN", f"{CANARY}-plain".encode(), "development"),
        ("env_1/OWN", b"own", "env_1"),
        ("production/LARGE", b"x" * 65536, "production"),
        ("production/EMPTY", b"", "production"),
    ]
    assert (found[0].created, found[0].rotated) == (1_700_000_000.0, 1_700_086_400.0)
    assert found[2].tags == ("sensitive",)


async def test_a_value_that_may_not_be_read(server: Vercel, make: Any) -> None:
    server.denied = {"v1/projects/app/env/e1"}
    found = await everything(make())
    assert (found[0].name, found[0].value) == ("production/KEY", None)


async def test_the_doctor(server: Vercel, make: Any) -> None:
    assert await diagnosis(make()) == []
    server.current = {"scopes": [{"type": "user"}]}
    assert await diagnosis(make()) == [
        "the token reaches all that its user may change: use one whose scope is the team",
        "the token never expires: make one that does",
    ]
    server.denied = {"v10/projects/app/env"}
    (little,) = await diagnosis(make())
    assert little.endswith("give the token access to the team and the project")


async def test_whatever_goes_wrong(server: Vercel, make: Any) -> None:
    server.rows, server.size = server.rows[:3], 2
    await hardships(server, make)
