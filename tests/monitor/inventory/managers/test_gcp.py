"""Google's Secret Manager, by a key file and by the account of the machine."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.clients.client import ServiceError
from monitor.inventory.managers.gcp import GcpConfig, GcpManager
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class Google(Vendor):
    """`secrets`: name → values of its enabled versions, the newest first. `may`: what the account is permitted."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.secrets: dict[str, list[bytes]] = {"db": [b"new", b"old", b"older"], "bytes": [b"\x00\xff"], "none": []}
        self.secrets |= {"large": [b"x" * 65536], "empty": [b""]}
        self.secrets |= {f"s{number}": [f"{CANARY}-{number}".encode()] for number in range(257)}
        self.may = ["secretmanager.versions.list", "secretmanager.versions.access"]
        self.denied: set[str] = set()
        self.logins = 0
        self.tracked = 3600

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.path == "/computeMetadata/v1/instance/service-accounts/default/token":
            assert request.headers["Metadata-Flavor"] == "Google"
            return self._login()
        if request.path == "/token":
            given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            assert given["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            claims = jwt.decode(given["assertion"], KEY.public_key(), ["RS256"], audience=f"{self.url}/token")
            assert claims["iss"] == "m@acme.iam"
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            return self._login()
        return await super().answer(request, body)

    def _login(self) -> web.Response:
        self.logins += 1
        return web.json_response({"access_token": self.token, "expires_in": self.tracked, "token_type": "Bearer"})

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        path = where.partition(" ")[2].removeprefix("/v1/projects/acme/")
        if any(path.startswith(shut) for shut in self.denied):
            return web.json_response({"error": {"message": CANARY, "status": "PERMISSION_DENIED"}}, status=403)
        if where.startswith("POST") and path.endswith(":testIamPermissions"):
            return {"permissions": [one for one in orjson.loads(body)["permissions"] if one in self.may]}
        if path == "secrets" and query.keys() <= {"pageSize", "pageToken", "filter"}:
            names = [name for name in self.secrets if not query.get("filter") or name == query["filter"]]
            rows = [
                {
                    "name": f"projects/1/secrets/{name}", "createTime": "2026-01-01T00:00:00Z",
                    "labels": {"owner": "payments"}, "expireTime": "2027-01-01T00:00:00Z",
                }
                for name in names
            ]  # fmt: skip
            return page("secrets", rows, query)
        name = path.removeprefix("/v1/projects/1/secrets/").partition("/")[0]
        values = self.secrets[name]
        if path.endswith("/versions") and query["filter"] == "state:ENABLED":
            rows = [
                {"name": f"projects/1/secrets/{name}/versions/{number}", "createTime": f"2026-02-0{number}T00:00:00Z"}
                for number in range(len(values), 0, -1)
            ]
            return page("versions", rows, query)
        number = path.partition("/versions/")[2].removesuffix(":access")
        if not path.endswith(":access") or query:
            return None
        value = values[len(values) - int(number)]
        return {"name": path, "payload": {"data": base64.b64encode(value).decode(), "dataCrc32c": "1"}}


def page(key: str, rows: list[dict[str, str]], query: dict[str, str]) -> dict[str, Any]:
    """As Google writes it: nothing where there is nothing."""
    start = int(query.get("pageToken", "0"))
    end = start + int(query["pageSize"])
    more = {"nextPageToken": str(end)} if end < len(rows) else {}
    return {**({key: rows[start:end]} if rows[start:end] else {}), **more}


@pytest.fixture
async def server() -> AsyncIterator[Google]:
    async with Google() as fake:
        yield fake


@pytest.fixture(params=["key", "machine"])
def make(request: pytest.FixtureRequest, server: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {"name": "gcp", "type": "gcp", "project": "acme", "server": server.url}
    account = {"type": "service_account", "client_email": "m@acme.iam", "private_key": PEM, "private_key_id": "k1"}
    if request.param == "key":
        (tmp_path / "key.json").write_bytes(orjson.dumps({**account, "token_uri": f"{server.url}/token"}))
        given["key"] = f"file:{tmp_path / 'key.json'}"
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
    return lambda **keys: GcpManager(GcpConfig.model_validate({**given, **keys}))


async def test_of_the_only_version_that_is_read_no_other_can_be_told_to_be_gone(server: Google, make: Any) -> None:
    (only,) = await everything(make(filter="db", versions=1))
    assert (only.value, only.version) == (b"new", "")


async def test_all_secrets_in_their_newest_versions(server: Google, make: Any) -> None:
    found = await everything(make())
    assert len(found) == 2 + 1 + 2 + 257
    assert {held.name: held.value for held in found[3:5]} == {"large": b"x" * 65536, "empty": b""}
    assert [(held.name, held.value, held.version, held.standing) for held in found[:3]] == [
        ("db", b"new", "3", "current"), ("db", b"old", "2", "previous"), ("bytes", b"\x00\xff", "1", "current"),
    ]  # fmt: skip
    assert found[0].owner == "payments"
    assert found[0].created is not None
    assert found[0].rotated is not None
    assert (found[0].rotated - found[0].created) / 86_400 == 33
    assert found[0].expires is not None
    assert server.logins == 1
    (only,) = await everything(make(filter="bytes"))
    assert only.name == "bytes"


async def test_an_empty_project_and_a_secret_that_may_not_be_read(server: Google, make: Any) -> None:
    server.secrets = {"open": [b"v"], "shut": [b"w"], "hidden": [b"x"]}
    server.denied = {"/v1/projects/1/secrets/shut/versions/1:access", "/v1/projects/1/secrets/hidden/"}
    assert {held.name: held.value for held in await everything(make())} == {"open": b"v", "shut": None, "hidden": None}
    server.secrets = {}
    assert await everything(make()) == []


async def test_a_login_that_ends_is_renewed(server: Google, make: Any) -> None:
    server.secrets, server.tracked = {"a": [b"v"]}, 30
    before = time.time()
    await everything(make())
    assert time.time() > before
    assert server.logins == 3  # one a request


async def test_the_doctor(server: Google, make: Any) -> None:
    assert await diagnosis(make()) == []
    server.may = ["secretmanager.versions.list", "secretmanager.versions.add"]
    little, much = await diagnosis(make())
    assert little == "it lacks secretmanager.versions.access: grant roles/secretmanager.secretAccessor"
    assert much == "it has secretmanager.versions.add, which the monitor never needs"
    server.denied = {"secrets"}
    (nothing,) = await diagnosis(make())
    assert nothing.endswith("grant roles/secretmanager.viewer on the project")


async def test_whatever_goes_wrong(server: Google, make: Any) -> None:
    server.secrets = {"db": [b"new", b"old"], "s": [CANARY.encode()]}
    await hardships(server, make)


@pytest.mark.parametrize(
    "key", ["no json", "[]", "{}", '{"client_email": "m", "private_key": "canary-4be1d0"}', '{"private_key": 1}']
)
async def test_a_key_file_that_is_none(tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key)
    given = {"name": "gcp", "type": "gcp", "project": "acme", "key": f"file:{tmp_path / 'key'}"}
    with pytest.raises(ServiceError, match="`key` is no service account's key file") as caught:
        await everything(GcpManager(GcpConfig.model_validate(given)))
    assert CANARY not in f"{caught.value!r} {caught.value.__context__!r}"


def test_a_region_has_its_own_address() -> None:
    given = {"name": "gcp", "type": "gcp", "project": "acme", "location": "europe-west3"}
    one = GcpManager(GcpConfig.model_validate(given))
    assert one._server == "https://secretmanager.europe-west3.rep.googleapis.com"
    assert one._place == "projects/acme/locations/europe-west3"
