from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.common.http import Http
from tests import folders
from tests.detectors import texts
from tests.fakes.forks import Forks

# What the tests start is compiled to bytecode once, wherever the tests were started without.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Where the tests run in the background of a shell, an interrupt is ignored, by what they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=10.0, connect=10.0)
    yield client
    await client.close()


_session = contextlib.ExitStack()


def pytest_configure() -> None:
    _session.enter_context(folders.session())


def pytest_unconfigure() -> None:
    _session.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of this folder first, as some are long: at the end one would run alone, beside a worker without work."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(scope="session")
def forks() -> Forks:
    return Forks.shared()


@pytest.fixture(scope="session")
def warm() -> Path:
    cache = texts.warm()
    assert cache is not None
    return cache
