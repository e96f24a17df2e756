from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from sinks.http import Http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The client as the monitor uses it, with a patience that suits tests."""
    client = Http(timeout=0.5, connect=0.5)
    yield client
    await client.close()


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """`credential(name, value)` puts a value into the environment and returns the reference to it."""

    def put(name: str, value: str) -> str:
        variable = f"TEST_{name.upper()}"
        monkeypatch.setenv(variable, value)
        return f"env:{variable}"

    return put
