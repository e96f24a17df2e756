"""What the documentation says of access."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def documented() -> list[str]:
    """The actions that the documentation tells people to allow."""
    text = (Path(__file__).parents[4] / "docs/inventory.md").read_text(encoding="utf-8")
    policy = re.search(r'(?s)    (\{"Version".*?\]\}\]\})\n', text)
    assert policy
    return list(json.loads(policy[1])["Statement"][0]["Action"])
