from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from monitor.inventory.managers.aws import AwsConfig
from monitor.inventory.managers.ssm import SsmConfig
from tests.fakes.moto import Aws, aws
from tests.fakes.setup import Setup
from tests.fakes.webhook import FakeWebhook


@pytest.fixture
def not_hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    # It would hold for the rest of the test process.
    monkeypatch.setattr("monitor.daemon.lifecycle.harden", lambda: None)


@pytest.fixture
async def hook() -> AsyncIterator[FakeWebhook]:
    async with FakeWebhook() as hook:
        yield hook


@pytest.fixture
def site(tmp_path: Path, hook: FakeWebhook, not_hardened: None) -> Setup:
    return Setup(tmp_path, hook)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """AWS, played once for all tests of it."""
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def documented() -> list[str]:
    """The actions that the documentation tells people to allow."""
    actions: list[str] = []
    for model in (AwsConfig, SsmConfig):
        policy = re.search(r'(?s)    (\{"Version".*?\]\}\]\})', inspect.cleandoc(model.__doc__ or ""))
        assert policy
        actions += json.loads(policy[1])["Statement"][0]["Action"]
    return actions
