"""Azure's Key Vault, by an application, a pod's identity and a machine's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.clients.client import ServiceError
from monitor.inventory.managers.azure import AzureConfig, AzureManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships


class Azure(Vendor):
    """`secrets`: name → (value, enabled) of its versions, the oldest first."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.secrets: dict[str, list[tuple[str, bool]]] = {
            "db": [("oldest", True), ("old", True), ("new", True)],
            "off": [("was", True), ("is", False)],
            **{f"s{number}": [(f"{CANARY}-{number}", True)] for number in range(28)},
        }
        self.denied: set[str] = set()
        self.writes = False
        self.elsewhere = False

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()} if request.path != "/" else {}
        if request.path == "/acme/oauth2/v2.0/token":
            proof = given.pop("client_secret", None) or given.pop("client_assertion")
            kind = given.pop("client_assertion_type", None)
            assert proof in (f"{CANARY}-secret", f"{CANARY}-proof")
            assert (kind is None) == proof.endswith("-secret")
            assert given == {"grant_type": "client_credentials", "client_id": "app", "scope": "https://0.0.1/.default"}
            return self._login()
        if request.path == "/metadata/identity/oauth2/token":
            assert request.headers["Metadata"] == "true"
            assert dict(request.query) == {"api-version": "2018-02-01", "resource": "https://0.0.1"}
            return self._login()
        if request.query.get("api-version") != "7.4":
            self.problems.append(request.path_qs)
        return await super().answer(request, body)

    def _login(self) -> web.Response:
        return web.json_response({"access_token": self.token, "expires_in": "3599", "token_type": "Bearer"})

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        path = where.partition(" ")[2]
        if path in self.denied:
            return web.json_response({"error": {"code": "Forbidden", "message": CANARY}}, status=403)
        if where.startswith("PATCH"):
            assert path.startswith("/secrets/exposure-monitor-doctor/")
            return web.json_response({"error": {"message": CANARY}}, status=404 if self.writes else 403)
        if path == "/secrets":
            return self._page(path, [{"id": f"{self.url}/secrets/{name}"} for name in self.secrets], query)
        name, _, version = path.removeprefix("/secrets/").partition("/")
        if version == "versions":
            rows = [
                {
                    "id": f"{self.url}/secrets/{name}/v{number}", "tags": {"env": "production"},
                    "attributes": {"enabled": enabled, "created": 1_000_000 + number, "exp": 2_000_000},
                }
                for number, (_, enabled) in enumerate(self.secrets[name])
            ]  # fmt: skip
            return self._page(path, rows, query)
        value, enabled = self.secrets[name][int(version.removeprefix("v"))]
        if not enabled:
            self.problems.append("a disabled version was asked for")
        return {"id": f"{self.url}/secrets/{name}/{version}", "value": value, "attributes": {"enabled": True}}

    def _page(self, path: str, rows: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        start, size = int(query.get("$skiptoken", "0")), int(query["maxresults"])
        assert 1 <= size <= 25
        server = "https://elsewhere.example.org" if self.elsewhere else self.url
        link = f"{server}{path}?api-version=7.4&$skiptoken={start + size}&maxresults={size}"
        return {"value": rows[start : start + size], "nextLink": link if start + size < len(rows) else None}


@pytest.fixture
async def server() -> AsyncIterator[Azure]:
    async with Azure() as fake:
        yield fake


@pytest.fixture(params=["application", "pod", "machine"])
def make(request: pytest.FixtureRequest, server: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {"name": "azure", "type": "azure", "vault": server.url, "login": server.url}
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
    if request.param == "application":
        (tmp_path / "secret").write_text(f"{CANARY}-secret")
        given |= {"tenant": "acme", "client_id": "app", "client_secret": f"file:{tmp_path / 'secret'}"}
    elif request.param == "pod":
        (tmp_path / "proof").write_text(f"{CANARY}-proof")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "proof"))
        monkeypatch.setenv("AZURE_TENANT_ID", "acme")
        monkeypatch.setenv("AZURE_CLIENT_ID", "app")
    return lambda **keys: AzureManager(AzureConfig.model_validate({**given, **keys}))


async def test_of_the_only_version_that_is_read_no_other_can_be_told_to_be_gone(server: Azure, make: Any) -> None:
    assert {held.version for held in await everything(make(versions=1))} == {""}


async def test_versions_and_pages(server: Azure, make: Any) -> None:
    found = await everything(make())
    assert [(held.name, held.value, held.version, held.standing) for held in found[:4]] == [
        ("db", b"new", "v2", "current"),
        ("db", b"old", "v1", "previous"),
        ("off", None, "v1", "retired"),
        ("off", b"was", "v0", "previous"),
    ]
    assert len(found) == 4 + 28
    new = found[0]
    assert (new.created, new.rotated, new.expires) == (1_000_000.0, 1_000_002.0, 2_000_000.0)
    assert new.environment == "production"


async def test_a_link_to_another_server_is_not_followed(server: Azure, make: Any) -> None:
    server.elsewhere = True
    with pytest.raises(ServiceError, match="a link leads from the vault to another server"):
        await everything(make())


async def test_what_may_not_be_read_is_known_by_name(server: Azure, make: Any) -> None:
    server.secrets = {"a": [("v", True)], "b": [("w", True)], "c": [("x", True)]}
    server.denied = {"/secrets/b/v0", "/secrets/c/versions"}
    assert {held.name: held.value for held in await everything(make())} == {"a": b"v", "b": None, "c": None}


async def test_the_doctor(server: Azure, make: Any) -> None:
    assert await diagnosis(make()) == []
    server.denied, server.writes = {"/secrets/db/v2"}, True
    little, much = await diagnosis(make())
    assert little == "it may not read db: give it the role Key Vault Secrets User"
    assert much == "it may change secrets, which the monitor never needs: take Set and Delete away"
    server.denied = {"/secrets"}
    (nothing,) = await diagnosis(make())
    assert "the role Key Vault Secrets User" in nothing


async def test_whatever_goes_wrong(server: Azure, make: Any) -> None:
    server.secrets = {"db": [("old", True), ("new", True)], "s": [(CANARY, True)]}
    await hardships(server, make)


def test_an_application_is_whole() -> None:
    given = {"name": "a", "type": "azure", "vault": "https://acme.vault.azure.net"}
    with pytest.raises(ValidationError, match="needs tenant and client_id"):
        AzureConfig.model_validate({**given, "client_secret": "env:S"})
    assert AzureManager(AzureConfig.model_validate(given))._audience == "https://vault.azure.net"
