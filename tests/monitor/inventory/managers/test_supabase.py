"""Supabase's Management API, as its OpenAPI document has it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from monitor.clients.client import ServiceError
from monitor.inventory.managers.supabase import SupabaseConfig, SupabaseManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

REF = "abcdefghijklmnopqrst"
ENDS = int(time.time()) + 86_400
LEGACY = jwt.encode({"role": "service_role", "ref": REF, "exp": ENDS}, "s" * 32, algorithm="HS256")


class Supabase(Vendor):
    """`denied`: paths that the token may not read."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.denied: set[str] = set()
        self.missing: set[str] = set()
        self.legacy = True
        self.projects = [{"id": REF, "name": "one"}]
        self.jwt_secret = {"jwt_secret": f"{CANARY}-jwt"}

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        path = where.removeprefix("GET /v1/").removeprefix(f"projects/{REF}/")
        if path in self.denied:
            return web.json_response({"message": f"Forbidden {CANARY}"}, status=403)
        if path in self.missing:
            return web.json_response({"message": f"Not found {CANARY}"}, status=404)
        if path == "api-keys" and query != {"reveal": "true"}:
            return None
        times = {"inserted_at": "2026-01-02T03:04:05Z", "updated_at": "2026-02-02T03:04:05.123Z"}
        answers: dict[str, Any] = {
            "projects": self.projects,
            "api-keys/legacy": {"enabled": self.legacy},
            "api-keys": [
                {"name": "anon", "id": "anon", "type": "legacy", "api_key": f"{CANARY}-anon"},
                {"name": "service_role", "id": "service_role", "type": "legacy", "api_key": LEGACY, "hash": "h2"},
                {"name": "default", "id": "u-1", "type": "publishable", "api_key": f"{CANARY}-pub", **times},
                {"name": "gateway", "id": "u-2", "type": "secret", "api_key": f"{CANARY}-key", "hash": "h4", **times},
                {"name": "sealed", "id": "u-3", "type": "secret", "api_key": None, **times},
            ],
            "config/auth/signing-keys": {
                "keys": [
                    {"id": "k-1", "algorithm": "ES256", "status": "in_use", "created_at": "2026-01-01T00:00:00Z"},
                    {"id": "k-2", "algorithm": "HS256", "status": "previously_used", "public_jwk": None},
                    {"id": "k-3", "algorithm": "RS256", "status": "revoked"},
                    {"id": "k-4", "algorithm": "ES256", "status": "standby"},
                ]
            },
            "postgrest": {"db_schema": "public", "max_rows": 1000, **self.jwt_secret},
            "secrets": [{"name": "STRIPE", "value": "ab12", "updated_at": "2026-03-01T00:00:00Z"}],
        }  # fmt: skip
        return answers.get(path)


@pytest.fixture
async def server() -> AsyncIterator[Supabase]:
    async with Supabase() as fake:
        yield fake


@pytest.fixture
def made(server: Supabase, tmp_path: Path) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "supabase", "type": "supabase", "project": REF, "server": server.url}
    config = SupabaseConfig.model_validate({**given, "token": f"file:{tmp_path / 'token'}"})
    return lambda: SupabaseManager(config)


async def test_which_keys_exist_and_how_they_stand(made: Any) -> None:
    found = {held.name: held for held in await everything(made())}
    assert {name: held.value for name, held in found.items()} == {
        "legacy/anon": None,
        "legacy/service_role": LEGACY.encode(),
        "api-keys/default": None,
        "api-keys/gateway": f"{CANARY}-key".encode(),
        "api-keys/sealed": None,
        "jwt-signing-key": None,
        "jwt-signing-key/k-2": None,
        "jwt-signing-key/k-3": None,
        "jwt-signing-key/k-4": None,
        "jwt-secret": f"{CANARY}-jwt".encode(),
        "edge-functions/STRIPE": None,
        "database-password": None,
    }
    standings = {name: held.standing for name, held in found.items() if held.standing != "current"}
    assert standings == {"jwt-signing-key/k-2": "previous", "jwt-signing-key/k-3": "retired"}
    assert found["legacy/service_role"].expires == ENDS
    assert found["legacy/anon"].tags == ("legacy", "public")
    assert found["api-keys/default"].tags == ("publishable", "public")
    gateway = found["api-keys/gateway"]
    assert gateway.created is not None
    assert gateway.rotated is not None
    assert 30 < (gateway.rotated - gateway.created) / 86_400 < 32
    assert (gateway.digest, gateway.version) == ("h4", "u-2")
    assert found["edge-functions/STRIPE"].digest == "ab12"


async def test_legacy_keys_that_are_switched_off_are_retired(server: Supabase, made: Any) -> None:
    server.legacy = False
    found = {held.name: held.standing for held in await everything(made())}
    assert (found["legacy/service_role"], found["api-keys/gateway"]) == ("retired", "current")


async def test_a_jwt_secret_that_may_not_be_read_or_is_not_given(server: Supabase, made: Any) -> None:
    server.denied = {"postgrest"}
    assert {held.name: held.value for held in await everything(made())}["jwt-secret"] is None
    server.denied, server.jwt_secret = set(), {}
    assert {held.name: held.value for held in await everything(made())}["jwt-secret"] is None


async def test_a_project_that_never_had_legacy_keys_or_signing_keys(server: Supabase, made: Any) -> None:
    server.missing = {"api-keys/legacy", "config/auth/signing-keys"}
    found = {held.name for held in await everything(made())}
    assert {"api-keys/gateway", "jwt-secret"} <= found
    assert not {name for name in found if name.startswith("jwt-signing-key")}
    server.missing = {"api-keys"}
    with pytest.raises(ServiceError, match="no such project: check `project`") as caught:
        await everything(made())
    assert CANARY not in repr(caught.value)


async def test_the_doctor(server: Supabase, made: Any) -> None:
    assert await diagnosis(made()) == []
    server.denied = {"postgrest", "api-keys"}
    keys, rest = await diagnosis(made())
    assert keys.endswith("give the token secrets:read")
    assert rest.endswith("give the token rest:read")
    server.denied = set()
    server.projects.append({"id": "b" * 20, "name": "other"})
    (more,) = await diagnosis(made())
    assert more.startswith("the token reaches 1 more project(s)")


async def test_whatever_goes_wrong(server: Supabase, made: Any) -> None:
    await hardships(server, made)
