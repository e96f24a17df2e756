from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from tests.detectors import texts

KEY = b"k" * 32


@pytest.fixture(scope="session")
def engine() -> Engine:
    return texts.engine("vcs/github", "keys")


@pytest.fixture
def token() -> Callable[[int], str]:
    """The nth synthetic GitHub token."""
    return lambda n: expand("ghp_{alnum:30}{crc32}", n)
