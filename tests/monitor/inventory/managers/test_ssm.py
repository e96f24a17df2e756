"""The Parameter Store as moto plays it, and a larger one than moto would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from monitor.clients.client import ServiceError
from monitor.inventory.managers.ssm import SsmConfig, SsmManager
from tests.fakes.moto import Aws
from tests.fakes.server import FakeServer, Fault
from tests.fakes.vendor import diagnosis, everything

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CANARY = "canary-90aa17"


def manager(url: str, tmp_path: Path, key: tuple[str, str] = ("AKIAX", "s" * 40), **keys: Any) -> SsmManager:
    (tmp_path / "id").write_text(key[0])
    (tmp_path / "secret").write_text(key[1])
    given = {"name": "params", "type": "ssm", "region": "us-east-1", "server": url, **keys}
    given |= {"access_key_id": f"file:{tmp_path / 'id'}", "secret_access_key": f"file:{tmp_path / 'secret'}"}
    one = SsmManager(SsmConfig.model_validate(given))
    one.client.first_retry = 0.001
    return one


async def test_a_path_with_its_history(cloud: Aws, tmp_path: Path, documented: list[str]) -> None:
    key = cloud.user("params", documented)
    cloud._unchecked(100)
    client = cloud.client("ssm")
    for value in ("first", "second", "third"):
        client.put_parameter(Name="/app/prod/KEY", Value=value, Type="SecureString", Overwrite=True)
    for number in range(25):
        client.put_parameter(Name=f"/app/prod/deep/K{number:02}", Value=f"v{number}", Type="SecureString")
    client.put_parameter(Name="/app/prod/HOST", Value="db.example.org", Type="String")
    client.put_parameter(Name="/app/stage/KEY", Value="elsewhere", Type="SecureString")
    client.close()
    cloud._unchecked(0)

    found = await everything(manager(cloud.url, tmp_path, key, path="/app/prod", versions=2))
    assert len(found) == 27
    assert [(one.value, one.version, one.standing) for one in found if one.name == "/app/prod/KEY"] == [
        (b"third", "3", "current"), (b"second", "2", "previous"),
    ]  # fmt: skip
    assert all(one.rotated is not None for one in found)
    plain = await everything(manager(cloud.url, tmp_path, key, path="/app/prod", plain=True))
    assert ("/app/prod/HOST", b"db.example.org") in {(one.name, one.value) for one in plain}
    assert len(plain) == 27
    assert {one.version for one in plain} == {""}, "of the only one that is read no other can be told to be gone"


async def test_who_may_too_little_and_too_much(cloud: Aws, tmp_path: Path, documented: list[str]) -> None:
    assert await diagnosis(manager(cloud.url, tmp_path, cloud.user("p-fits", documented), versions=2)) == []
    assert await diagnosis(manager(cloud.url, tmp_path, cloud.user("p-much", "ssm:*"))) == [
        "it may change parameters (ssm:DeleteParameter), which the monitor never needs"
    ]
    nothing = cloud.user("p-nothing")
    few, history = await diagnosis(manager(cloud.url, tmp_path, nothing, versions=2))
    assert "allow ssm:GetParametersByPath" in few
    assert "allow ssm:GetParameterHistory" in history
    with pytest.raises(ServiceError, match="inventory params: GetParametersByPath: HTTP 403 AccessDenied"):
        await everything(manager(cloud.url, tmp_path, nothing))


class Parameters(FakeServer):
    """Many parameters, ten a page. `cut`: the page that comes without its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.cut = 0, -1

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        given = orjson.loads(body)
        if request.headers.get("X-Amz-Target") != "AmazonSSM.GetParametersByPath" or given["MaxResults"] > 10:
            self.problems.append(str(given))
        if given["ParameterFilters"] != [{"Key": "Type", "Option": "Equals", "Values": ["SecureString"]}]:
            self.problems.append("not the filter")
        start = int(given.get("NextToken", "0"))
        rows = [
            {"Name": f"/p/{number}", "Value": f"{CANARY}-{number}", "Version": 1, "LastModifiedDate": 1.7e9}
            for number in range(start, start + 10)
        ]
        if start == self.cut:
            return web.json_response({"message": CANARY})
        more = {"NextToken": str(start + 10)} if start + 10 < self.count else {}
        return web.json_response({"Parameters": rows, **more})


@pytest.mark.parametrize("size", [1000, pytest.param(50_000, marks=pytest.mark.campaign)])
async def test_many_in_a_stream(tmp_path: Path, size: int) -> None:
    async with Parameters() as server:
        server.count = size
        server.requests = Forgetful()
        one = manager(server.url, tmp_path)
        count = 0
        async for held in one.held():
            assert held.name == f"/p/{count}"
            count += 1
        await one.close()
    assert count == size


class Forgetful(list[Any]):
    """Keeps nothing of what it is given."""

    def append(self, item: Any) -> None:
        pass


async def test_half_a_page_in_the_midst(tmp_path: Path) -> None:
    async with Parameters() as server:
        server.count, server.cut = 100, 50
        server.faults.append(Fault(400, body='{"__type": "ThrottlingException"}'))
        with pytest.raises(ServiceError, match="no Parameters in it") as caught:
            await everything(manager(server.url, tmp_path))
        assert CANARY not in repr(caught.value)


class History(FakeServer):
    """A parameter in its first version, that expires."""

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        row = {"Name": "/p", "Value": f"{CANARY}-1", "Version": 1, "LastModifiedDate": 1.7e9}
        if request.headers["X-Amz-Target"] == "AmazonSSM.GetParameterHistory":
            ends = {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "2024-01-02T03:04:05.000Z"}}
            texts = ('{"Type": "NoChangeNotification"}', "{", orjson.dumps(ends).decode())
            row["Policies"] = [{"PolicyText": text, "PolicyStatus": "Pending"} for text in texts]
        return web.json_response({"Parameters": [row]})


async def test_when_it_expires_is_known_from_its_history(tmp_path: Path) -> None:
    async with History() as server:
        [held] = await everything(manager(server.url, tmp_path, versions=2))
        assert (held.standing, held.expires) == ("current", 1_704_164_645.0)
        [held] = await everything(manager(server.url, tmp_path))
        assert held.expires is None
