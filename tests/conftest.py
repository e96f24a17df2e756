from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.common.http import Http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=0.5, connect=0.5)
    yield client
    await client.close()
