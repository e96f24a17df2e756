from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.match.engine import Engine
from detectors.rules.load import load_rules
from detectors.rules.template import expand

KEY = b"k" * 32


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.build(load_rules(["vcs/github", "keys"]))


@pytest.fixture
def token() -> Callable[[int], str]:
    """The nth synthetic GitHub token."""
    return lambda n: expand("ghp_{alnum:30}{crc32}", n)
