from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.common.credential import Credential
from monitor.github.client import Client
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub


@pytest.fixture
async def github() -> AsyncIterator[FakeGitHub]:
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
async def client(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    client = Client.with_token(github.url, Credential("env:FAKE_GITHUB_TOKEN"))
    yield client
    await client.close()
