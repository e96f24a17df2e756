from __future__ import annotations

import asyncio

import pytest

from monitor.store import StoreError
from monitor.web.console import kept as module
from monitor.web.console.kept import KeptAnswer


async def test_one_answer_serves_all_for_a_while_and_is_asked_for_once_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, asked = asyncio.Event(), 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await go.wait()
        return asked

    kept = KeptAnswer(ask)
    monkeypatch.setattr(module, "_SHARE", 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    for _ in range(2):
        assert await kept.now() == (None, "they are being counted: reload in a moment")
    go.set()
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    assert await kept.now() == (1, "")
    assert await kept.now() == (1, "")
    assert asked == 1


async def test_what_the_database_cannot_answer_leaves_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FRESH", "_SHARE"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "_GLANCE", 60.0)
    answers: list[int | StoreError] = [1, StoreError("database is locked"), 3]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    kept = KeptAnswer(ask)
    assert [await kept.now() for _ in range(3)] == [(1, ""), (1, "database is locked"), (3, "")]
