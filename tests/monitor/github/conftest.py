from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from monitor.clients.storage import Storage
from monitor.common.credential import Credential
from monitor.github.client import GitHubClient
from monitor.github.listing import ADVICE, RunListing
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub
from tests.fakes.github_actions import FakeActions


@pytest.fixture
async def github() -> AsyncIterator[FakeGitHub]:
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
async def client(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GitHubClient]:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    client = GitHubClient.with_token(github.url, Credential("env:FAKE_GITHUB_TOKEN"))
    yield client
    await client.close()


@pytest.fixture
async def actions(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeActions]:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeActions.token)
    async with FakeActions() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def listing(actions: FakeActions) -> AsyncIterator[RunListing]:
    client = GitHubClient.with_token(actions.url, Credential("env:FAKE_GITHUB_TOKEN"), advice=ADVICE)
    client.first_retry = 0.001
    storage = Storage(private=True, clear=True)
    yield RunListing(client, storage, Counter[str]().update)
    await storage.close()
    await client.close()
