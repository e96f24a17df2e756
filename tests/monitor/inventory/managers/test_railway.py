"""Railway's GraphQL API: shared variables, those of services, and sealed ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from monitor.clients.client import ServiceError
from monitor.inventory.managers.railway import RailwayConfig, RailwayManager
from tests.fakes.server import Fault
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

WHERE = {"project": "p-1", "environment": "e-1"}


class Railway(Vendor):
    """`variables`: service (None: all) → name → value; `sealed`: (service, name)."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token", header="Project-Access-Token", scheme="")
        self.services = {"s-1": "web", "s-2": "worker"}
        self.variables: dict[str | None, dict[str, str]] = {
            None: {"SHARED": f"{CANARY}-shared"},
            "s-1": {"KEY": "one", "EMPTY": "", "LARGE": "x" * 65536, "RAILWAY_PUBLIC_DOMAIN": "web.up.railway.app"},
            "s-2": {"KEY": "two", "JSON": '{"a": "x"}'},
        }
        self.sealed = [("s-2", "SEALED")]
        self.size = 2
        self.denied = False
        self.account = False

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        assert where == "POST /graphql/v2"
        asked = orjson.loads(body)
        text, given = asked["query"], asked["variables"]
        if self.denied:
            return {"errors": [{"message": f"Not Authorized {CANARY}"}], "data": None}
        if "projectToken" in text:
            return {"data": {"projectToken": {"projectId": "p-1", "environmentId": "e-1"}}}
        if "me {" in text:
            return {"data": {"me": {"id": "u"}}} if self.account else {"errors": [{"message": "Not Authorized"}]}
        after = given.pop("after", None)
        if "services(" in text:
            assert given == {"project": "p-1"}
            nodes: list[Any] = [{"id": number, "name": name} for number, name in self.services.items()]
            return {"data": {"project": {"services": self._page(nodes, after)}}}
        if "environment(" in text:
            assert given == WHERE
            known = [(service, name) for service, held in self.variables.items() for name in held] + self.sealed
            nodes = [
                {
                    "name": name, "serviceId": service, "isSealed": (service, name) in self.sealed,
                    "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-02-01T00:00:00.000Z",
                }
                for service, name in known
            ]  # fmt: skip
            return {"data": {"environment": {"name": "production", "variables": self._page(nodes, after)}}}
        service = given.pop("service")
        assert given == WHERE
        return {"data": {"variables": self.variables[service]}}

    def _page(self, nodes: list[Any], after: str | None) -> dict[str, Any]:
        start = int(after or 0)
        end = start + self.size
        about = {"hasNextPage": end < len(nodes), "endCursor": str(end)}
        return {"edges": [{"node": node} for node in nodes[start:end]], "pageInfo": about}


@pytest.fixture
async def server() -> AsyncIterator[Railway]:
    async with Railway() as fake:
        yield fake


def maker(server: Railway, tmp_path: Path, **keys: str) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "railway", "type": "railway", "server": f"{server.url}/graphql/v2"}
    given |= keys or {"project_token": f"file:{tmp_path / 'token'}"}
    config = RailwayConfig.model_validate(given)
    return lambda: RailwayManager(config)


async def test_shared_and_of_services_and_sealed(server: Railway, tmp_path: Path) -> None:
    found = await everything(maker(server, tmp_path)())
    assert {held.name: held.value for held in found} == {
        "SHARED": f"{CANARY}-shared".encode(),
        "web/KEY": b"one",
        "web/EMPTY": b"",
        "web/LARGE": b"x" * 65536,
        "worker/KEY": b"two",
        "worker/JSON.a": b"x",
        "worker/SEALED": None,
    }
    assert found[-1].tags == ("sealed",)
    assert all(held.environment == "production" for held in found)
    assert found[0].created is not None
    assert found[0].rotated is not None
    assert found[0].rotated - found[0].created == 31 * 86_400


async def test_part_of_an_answer_beside_an_error_is_not_the_whole(server: Railway, tmp_path: Path) -> None:
    body = orjson.dumps({"data": {"variables": {"KEY": CANARY}}, "errors": [{"message": f"timeout {CANARY}"}]})
    server.faults.extend([None, None, None, None, None, Fault(200, body=body.decode())])
    with pytest.raises(ServiceError, match="an error, or only a part") as caught:
        await everything(maker(server, tmp_path)())
    assert CANARY not in repr(caught.value)


async def test_the_doctor(server: Railway, tmp_path: Path) -> None:
    make = maker(server, tmp_path)
    assert await diagnosis(make()) == []
    server.denied = True
    (little,) = await diagnosis(make())
    assert little.endswith("make a token for this project and environment")
    assert CANARY not in little

    server.denied, server.header, server.scheme = False, "Authorization", "Bearer "
    make = maker(server, tmp_path, token=f"file:{tmp_path / 'token'}", project="p-1", environment_id="e-1")
    (much,) = await diagnosis(make())
    assert "one of a workspace" in much
    server.account = True
    (more,) = await diagnosis(make())
    assert "one of an account" in more
    assert len(await everything(make())) == 7


def test_one_token() -> None:
    for wrong in ({}, {"token": "env:T"}, {"token": "env:T", "project_token": "env:P"}, {"project_token": "plain"}):
        with pytest.raises(ValidationError):
            RailwayConfig.model_validate({"name": "r", "type": "railway", **wrong})


async def test_whatever_goes_wrong(server: Railway, tmp_path: Path) -> None:
    await hardships(server, maker(server, tmp_path))


async def test_a_connection_that_does_not_end(server: Railway, tmp_path: Path) -> None:
    server.size = 0
    with pytest.raises(ServiceError, match="does not lead on"):
        await everything(maker(server, tmp_path)())
