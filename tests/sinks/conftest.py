from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """`credential(name, value)` puts a value into the environment and returns the reference to it."""

    def put(name: str, value: str) -> str:
        variable = f"TEST_{name.upper()}"
        monkeypatch.setenv(variable, value)
        return f"env:{variable}"

    return put
