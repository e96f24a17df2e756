from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from monitor.common.http import Http

# Where the tests run in the background of a shell, an interrupt is ignored, by what they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=0.5, connect=0.5)
    yield client
    await client.close()
