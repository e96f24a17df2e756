"""AWS, played once for all tests of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.moto import Aws, aws


@pytest.fixture(scope="session")
def documented() -> list[str]:
    """The actions that the documentation tells people to allow."""
    text = (Path(__file__).parents[4] / "docs/inventory.md").read_text(encoding="utf-8")
    policy = re.search(r'(?s)    (\{"Version".*?\]\}\]\})\n', text)
    assert policy
    return list(json.loads(policy[1])["Statement"][0]["Action"])


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server
