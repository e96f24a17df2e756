"""1Password's Connect server: vaults, items and their concealed fields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.clients.client import ServiceError
from monitor.inventory.managers.onepassword import OnePasswordConfig, OnePasswordManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships


def field(label: str, value: str | None, kind: str = "CONCEALED", **more: Any) -> dict[str, Any]:
    return {"id": label, "label": label, "type": kind, **({} if value is None else {"value": value}), **more}


class Connect(Vendor):
    """`items`: vault → item → its fields."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.vaults = {"v1": "production", "v2": "stage"}
        self.titles = {"i1": "database", "i2": "same", "i3": "same"}
        section = {"section": {"id": "s", "label": "replica"}}
        self.items: dict[str, dict[str, list[dict[str, Any]] | None]] = {
            "v1": {
                "i1": [
                    field("username", "app", "STRING", purpose="USERNAME"),
                    field("password", f"{CANARY}-one", purpose="PASSWORD"),
                    field("password", f"{CANARY}-two", **section),
                    field("one-time", "otpauth://totp/x", "OTP"),
                    field("again", "a"),
                    field("again", "b"),
                    field("unset", None),
                    field("website", "https://example.org", "URL"),
                ],
                "i2": [field("token", "x" * 65536)],
                "i3": [field("token", "")],
            },
            "v2": {"i1": None},
        }
        self.denied: set[str] = set()

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        path = where.removeprefix("GET /v1/")
        if path in self.denied:
            return web.json_response({"status": 403, "message": f"no {CANARY}"}, status=403)
        parts = path.split("/")
        if parts == ["vaults"]:
            return [{"id": number, "name": name, "items": 3} for number, name in self.vaults.items()]
        if len(parts) not in (3, 4) or parts[2] != "items" or query:
            return None
        items = self.items[parts[1]]
        if len(parts) == 3:
            return [self._item(number) for number in items]
        fields = items[parts[3]]
        return {**self._item(parts[3]), **({} if fields is None else {"fields": fields})}

    def _item(self, number: str) -> dict[str, Any]:
        times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-02-01T00:00:00Z"}
        return {
            "id": number,
            "title": self.titles[number],
            "category": "LOGIN",
            "version": 4,
            "tags": ["critical"],
            **times,
        }


@pytest.fixture
async def server() -> AsyncIterator[Connect]:
    async with Connect() as fake:
        yield fake


def maker(server: Connect, tmp_path: Path, *vaults: str) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "onepassword", "type": "onepassword", "server": server.url, "vaults": vaults}
    config = OnePasswordConfig.model_validate({**given, "token": f"file:{tmp_path / 'token'}"})
    return lambda: OnePasswordManager(config)


async def test_concealed_fields(server: Connect, tmp_path: Path) -> None:
    found = await everything(maker(server, tmp_path)())
    assert {held.name: held.value for held in found} == {
        "production/database.password": f"{CANARY}-one".encode(),
        "production/database.replica.password": f"{CANARY}-two".encode(),
        "production/database.one-time": b"otpauth://totp/x",
        "production/database.again": b"a",
        "production/database.again.2": b"b",
        "production/same (i2).token": b"x" * 65536,
        "production/same (i3).token": b"",
    }
    assert len(found) == 7
    first = found[0]
    assert (first.version, first.tags) == ("", ("critical",))
    assert first.created is not None
    assert first.rotated is not None
    assert first.rotated - first.created == 31 * 86_400


async def test_some_vaults_by_name_or_id(server: Connect, tmp_path: Path) -> None:
    for vault in ("v1", "production"):
        assert len(await everything(maker(server, tmp_path, vault)())) == 7
    assert await everything(maker(server, tmp_path, "stage")()) == []
    with pytest.raises(ServiceError, match="there is no 'elsewhere', or the token may not read it"):
        await everything(maker(server, tmp_path, "v1", "elsewhere")())


async def test_an_item_that_may_not_be_read(server: Connect, tmp_path: Path) -> None:
    server.denied = {"vaults/v1/items/i2"}
    found = {held.name: held.value for held in await everything(maker(server, tmp_path)())}
    assert found["production/same (i2)"] is None


async def test_the_doctor(server: Connect, tmp_path: Path) -> None:
    assert await diagnosis(maker(server, tmp_path, "production")()) == []
    server.denied = {"vaults/v2/items"}
    little, much = await diagnosis(maker(server, tmp_path)())
    assert little.endswith("grant the token read access to the vault")
    assert much.startswith("the token reads 2 vaults, all of them")
    server.vaults = {}
    assert await diagnosis(maker(server, tmp_path)()) == ["the token may read no vault: grant it one"]


async def test_whatever_goes_wrong(server: Connect, tmp_path: Path) -> None:
    await hardships(server, maker(server, tmp_path))
