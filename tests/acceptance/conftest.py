from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Monitor


@pytest.fixture(scope="session", autouse=True)
def warm_starts(warm: Path) -> Iterator[None]:
    """A monitor that is started here finds its rules compiled, as on every start but the first."""
    Monitor.cache = warm
    yield
    Monitor.cache = None
