from __future__ import annotations

import asyncio

import pytest

from monitor.store import StoreError
from monitor.web.console import readable as module
from monitor.web.console.readable import within


async def test_a_database_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    with pytest.raises(StoreError, match="did not answer within"):
        await within(asyncio.Event().wait())


async def test_what_it_answers_is_given() -> None:
    async def answer() -> int:
        return 7

    assert await within(answer()) == 7
