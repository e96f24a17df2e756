from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

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
    text = (Path(__file__).parents[2] / "docs/inventory.md").read_text(encoding="utf-8")
    policy = re.search(r'(?s)    (\{"Version".*?\]\}\]\})\n', text)
    assert policy
    return list(json.loads(policy[1])["Statement"][0]["Action"])
