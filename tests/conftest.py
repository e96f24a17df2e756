from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from monitor.common.http import Http
from tests import folders
from tests.detectors import texts
from tests.fakes.forks import Forks

# What the tests start is compiled to bytecode once, wherever the tests were started without.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# It writes line by line where it would by itself; also, one server forks off for all environments then (fakes/forks).
os.environ.pop("PYTHONUNBUFFERED", None)

# Where the tests run in the background of a shell, an interrupt is ignored, by what they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=10.0, connect=10.0)
    yield client
    await client.close()


def pytest_runtest_teardown() -> None:
    """Commands that a test calls say where their log goes; that holds for it alone."""
    if (structlog := sys.modules.get("structlog")) is not None:
        structlog.reset_defaults()


_session = contextlib.ExitStack()


def pytest_configure() -> None:
    gc.set_threshold(100_000, 20, 20)  # a fifth of what tests cost, otherwise
    _session.enter_context(folders.session())


def pytest_unconfigure() -> None:
    _session.close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Next to nothing made while collecting is garbage: looking for it took a third of the time, most of it where the
    assertions of a clean clone are rewritten. What is there by then stays, and is looked through no more either."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


_LONG = {Path(__file__).parent / name for name in ("", "acceptance", "campaign")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait long come first in each worker, of which each has as many in a row to begin with: all with one
    worker, they would be left for the end, when nobody has work beside them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.path.parent in _LONG]
    rest = [item for item in items if item.path.parent not in _LONG]
    bounds = [len(rest) * number // workers for number in range(workers + 1)]
    items[:] = [
        item
        for number in range(workers)
        for item in (*long[number::workers], *rest[bounds[number] : bounds[number + 1]])
    ]


@pytest.fixture(scope="session")
def forks() -> Forks:
    return Forks.shared()


@pytest.fixture(scope="session")
def warm() -> Path:
    cache = texts.warm()
    assert cache is not None
    return cache
