"""GitHub's secrets: names and ages, page by page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.clients.client import ServiceError
from monitor.inventory.managers.github import GitHubActionsConfig, GitHubActionsManager
from tests.fakes.server import Fault
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

ROW = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-02-01T00:00:00Z"}


class GitHub(Vendor):
    """`lists`: path → (key, rows). `short`: so many rows fewer than it says."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        self.lists: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self.scopes: str | None = None
        self.short = 0

    def secrets(self, path: str, *names: str, **more: Any) -> None:
        self.lists[path] = ("secrets", [{"name": name, **ROW, **more} for name in names])

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        path = where.removeprefix("GET /")
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        if path not in self.lists or not query.keys() <= {"per_page", "page"} or not 1 <= size <= 100:
            return None
        key, rows = self.lists[path]
        shown = rows[: len(rows) - self.short][size * (page - 1) : size * page]
        headers = {} if self.scopes is None else {"X-OAuth-Scopes": self.scopes}
        return web.json_response({"total_count": len(rows), key: shown}, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[GitHub]:
    async with GitHub() as fake:
        fake.secrets("repos/acme/app/actions/secrets", *(f"S{number}" for number in range(101)))
        fake.lists["repos/acme/app/environments"] = ("environments", [{"name": "prod/eu"}, {"name": "stage"}])
        fake.secrets("repos/acme/app/environments/prod/eu/secrets", "S1")
        fake.secrets("repos/acme/app/environments/stage/secrets")
        fake.secrets("repos/acme/app/dependabot/secrets", "NPM")
        yield fake


def maker(server: GitHub, tmp_path: Path, **keys: Any) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {"name": "actions", "type": "github-actions", "base_url": server.url, "token": f"file:{tmp_path / 'token'}"}
    config = GitHubActionsConfig.model_validate({**given, **(keys or {"repo": "acme/app"})})
    return lambda: GitHubActionsManager(config)


async def test_a_repository_and_its_environments(server: GitHub, tmp_path: Path) -> None:
    make = maker(server, tmp_path, repo="acme/app", stores=["actions", "dependabot"])
    found = await everything(make())
    assert [held.name for held in found] == [*(f"S{number}" for number in range(101)), "dependabot/NPM", "prod/eu/S1"]
    assert all(held.value is None for held in found)
    last = found[-1]
    assert last.environment == "prod/eu"
    assert last.created is not None
    assert last.rotated is not None
    assert last.rotated - last.created == 31 * 86_400


async def test_an_organisation(server: GitHub, tmp_path: Path) -> None:
    server.secrets("orgs/acme/actions/secrets", "DEPLOY", visibility="private")
    (held,) = await everything(maker(server, tmp_path, org="acme")())
    assert (held.name, held.tags) == ("DEPLOY", ("visibility=private",))


async def test_fifty_thousand_in_a_stream(server: GitHub, tmp_path: Path) -> None:
    server.secrets("orgs/acme/actions/secrets", *(f"S{number}" for number in range(50_000)))
    one = maker(server, tmp_path, org="acme")()
    count = 0
    async for held in one.held():
        assert held.name == f"S{count}"
        count += 1
    await one.close()
    assert count == 50_000
    assert len(server.requests) == 500


async def test_fewer_than_it_says_is_not_the_whole(server: GitHub, tmp_path: Path) -> None:
    server.short = 1
    with pytest.raises(ServiceError, match="100 of 101 came"):
        await everything(maker(server, tmp_path)())


async def test_a_limit_that_is_a_403(server: GitHub, tmp_path: Path) -> None:
    ends = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()))}
    server.faults.extend([Fault(403, {"Retry-After": "0.01"}), Fault(403, ends)])
    one = maker(server, tmp_path)()
    one.client.first_retry = 0.001
    assert len(await everything(one)) == 102
    server.always = Fault(403, echo=True)
    with pytest.raises(ServiceError, match="give the token read access to secrets") as caught:
        await everything(maker(server, tmp_path)())
    assert CANARY not in repr(caught.value)


async def test_the_doctor(server: GitHub, tmp_path: Path) -> None:
    make = maker(server, tmp_path)
    assert await diagnosis(make()) == []
    server.scopes = "repo, delete_repo"
    (much,) = await diagnosis(make())
    assert "a classic one with repo, and delete_repo, which may write" in much
    server.always = Fault(403, echo=True)
    (little,) = await diagnosis(make())
    assert "give the token read access" in little
    server.always = Fault(404, echo=True)
    with pytest.raises(ServiceError, match="no such repository"):
        await diagnosis(make())


def test_a_repository_or_an_organisation() -> None:
    for wrong in (
        {},
        {"repo": "acme/app", "org": "acme"},
        {"repo": "acme"},
        {"org": "a/b"},
        {"org": "a", "stores": []},
    ):
        with pytest.raises(ValidationError):
            GitHubActionsConfig.model_validate({"name": "a", "type": "github-actions", "token": "env:T", **wrong})


async def test_whatever_goes_wrong(server: GitHub, tmp_path: Path) -> None:
    await hardships(server, maker(server, tmp_path))
