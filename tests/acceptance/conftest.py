from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.harness import Monitor


@pytest.fixture(autouse=True)
def warm_starts(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that is started here finds its rules compiled, as on every start but the first."""
    monkeypatch.setattr(Monitor, "cache", warm)
