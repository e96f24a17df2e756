"""Doppler's API: a service token's own config, and all configs of a project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.inventory.managers.doppler import DopplerConfig, DopplerManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships


def secret(computed: str | None, visibility: str = "masked") -> dict[str, Any]:
    return {"raw": computed, "computed": computed, "rawVisibility": visibility, "computedVisibility": visibility}


class Doppler(Vendor):
    """`configs`: name → its secrets; the token's own is `prd`."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        own = {name: secret("x") for name in ("DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG")}
        self.configs: dict[str, dict[str, Any]] = {
            "prd": {
                **own,
                "KEY": secret(f"{CANARY}-prd"),
                "EMPTY": secret(""),
                "LARGE": secret("x" * 65536),
                "RESTRICTED": secret(None, "restricted"),
                "JSON": secret('{"a": "x", "b": ["y"]}'),
            },
            **{f"dev_{number}": {"KEY": secret(f"{CANARY}-{number}")} for number in range(44)},
        }
        self.kind, self.denied = "service_token", False

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        if where == "GET /v3/me":
            return {"type": self.kind, "slug": "s", "name": "monitor"}
        if self.denied:
            return web.json_response({"messages": [CANARY], "success": False}, status=403)
        if where == "GET /v3/configs" and query.keys() == {"project", "page", "per_page"}:
            size, page = int(query["per_page"]), int(query["page"])
            names = list(self.configs)[size * (page - 1) : size * page]
            return {"page": page, "configs": [{"name": name, "environment": name[:3]} for name in names]}
        if where == "GET /v3/configs/config/secrets" and query.pop("include_dynamic_secrets") == "false":
            assert query.get("project", "app") == "app"
            return {"secrets": self.configs[query.get("config", "prd")]}
        return None


@pytest.fixture
async def server() -> AsyncIterator[Doppler]:
    async with Doppler() as fake:
        yield fake


def maker(server: Doppler, tmp_path: Path, **keys: Any) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "doppler", "type": "doppler", "server": server.url, "token": f"file:{tmp_path / 'token'}", **keys}
    config = DopplerConfig.model_validate(given)
    return lambda: DopplerManager(config)


@pytest.mark.parametrize("keys", [{}, {"project": "app", "config": "prd"}])
async def test_one_config(server: Doppler, tmp_path: Path, keys: dict[str, str]) -> None:
    found = await everything(maker(server, tmp_path, **keys)())
    assert {held.name: held.value for held in found} == {
        "KEY": f"{CANARY}-prd".encode(), "EMPTY": b"", "LARGE": b"x" * 65536, "RESTRICTED": None,
        "JSON.a": b"x", "JSON.b.0": b"y",
    }  # fmt: skip
    assert found[3].tags == ("visibility=restricted",)


async def test_all_configs_of_a_project(server: Doppler, tmp_path: Path) -> None:
    found = await everything(maker(server, tmp_path, project="app")())
    assert len(found) == 6 + 44
    last = found[-1]
    assert (last.name, last.value, last.environment) == ("dev_43/KEY", f"{CANARY}-43".encode(), "dev")
    assert len(server.requests) == 3 + 45


async def test_fifty_thousand(server: Doppler, tmp_path: Path) -> None:
    server.configs["prd"] = {f"S{number}": secret(f"{number}") for number in range(50_000)}
    one = maker(server, tmp_path)()
    assert len([held async for held in one.held()]) == 50_000
    await one.close()


async def test_the_doctor(server: Doppler, tmp_path: Path) -> None:
    make = maker(server, tmp_path)
    assert await diagnosis(make()) == []
    server.kind, server.denied = "personal", True
    much, little = await diagnosis(make())
    assert much == "the token is a personal token, which may change all that its owner may: use a service token"
    assert little.endswith("give the token read access to the config")
    assert CANARY not in little


def test_a_config_has_its_project() -> None:
    with pytest.raises(ValidationError, match="config needs project"):
        DopplerConfig.model_validate({"name": "d", "type": "doppler", "token": "env:T", "config": "prd"})


@pytest.mark.parametrize("project", ["", "app"])
async def test_whatever_goes_wrong(server: Doppler, tmp_path: Path, project: str) -> None:
    for name in list(server.configs)[2:]:
        del server.configs[name]
    await hardships(server, maker(server, tmp_path, project=project))
