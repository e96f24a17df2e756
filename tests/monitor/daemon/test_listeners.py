from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from monitor.common import tasks
from monitor.common.inbound import InboundRequest
from monitor.daemon.listeners import Listeners
from monitor.store import StoreError
from tests.fakes.intake import until

REQUEST = InboundRequest("1", "chat", "ack", "ada", "7f3a")


class Chat:
    """A sink that hears one request a connection, and then fails, waits or ends."""

    def __init__(self, *ends: str) -> None:
        self.ends = list(ends)
        self.kept: list[bool] = []
        self.listening = 0

    async def listen(self, ask: Any, problem: Callable[[str | None], None], sinks: Sequence[Any]) -> None:
        end = self.ends.pop(0)
        self.listening += 1
        problem(None)
        self.kept.append(await ask([REQUEST]))
        try:
            if end == "fail":
                raise RuntimeError("a mistake of ours")
            if end == "wait":
                await asyncio.Event().wait()
        finally:
            self.listening -= 1


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.01)


async def test_a_sink_listens_again_after_a_mistake_until_it_is_replaced() -> None:
    asked: list[InboundRequest] = []
    told: list[tuple[str, str | None]] = []

    async def keep(requests: Sequence[InboundRequest]) -> bool:
        asked.extend(requests)
        return True

    chat, other, plain = Chat("fail", "wait"), Chat("end"), object()
    listening = Listeners(keep, lambda name, why: told.append((name, why)))
    sinks: dict[str, Any] = {"chat": chat, "plain": plain}
    await listening.replace(sinks, [])
    await until(lambda: len(asked) == 2)
    assert (chat.kept, told) == ([True, True], [("chat", None)] * 2)
    await listening.replace({"other": other}, [])  # type: ignore[dict-item]
    await until(lambda: other.kept)
    assert chat.listening == 0
    await listening.close()


@pytest.mark.parametrize(("longest", "attempts"), [(60.0, [1, 2, 3]), (0.0, [1, 1, 1])])
async def test_a_mistake_after_a_long_while_is_a_first_one(
    monkeypatch: pytest.MonkeyPatch, longest: float, attempts: list[int]
) -> None:
    tried: list[int] = []

    def backoff(attempt: int, *_: float) -> float:
        tried.append(attempt)
        return 0.0

    async def keep(requests: Sequence[InboundRequest]) -> bool:
        return True

    monkeypatch.setattr(tasks, "backoff", backoff)
    monkeypatch.setattr(tasks, "LONGEST", longest)
    chat = Chat("fail", "fail", "fail", "end")
    listening = Listeners(keep, lambda name, why: None)
    await listening.replace({"chat": chat}, [])  # type: ignore[dict-item]
    await until(lambda: not chat.ends)
    await listening.close()
    assert tried == attempts


async def test_what_cannot_be_kept_is_said_so() -> None:
    async def keep(requests: Sequence[InboundRequest]) -> bool:
        raise StoreError("the disk is full")

    chat = Chat("wait")
    listening = Listeners(keep, lambda name, why: None)
    await listening.replace({"chat": chat}, [])  # type: ignore[dict-item]
    await until(lambda: chat.kept)
    await listening.close()
    assert chat.kept == [False]
