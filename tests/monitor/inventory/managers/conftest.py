"""AWS, played once for all tests of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.moto import Aws, aws


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server
