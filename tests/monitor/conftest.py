from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
