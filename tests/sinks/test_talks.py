from __future__ import annotations

import asyncio
import threading

import pytest

from monitor.common.http import RemoteError
from sinks import talks as module
from sinks.talks import Talks


async def test_who_gives_up_waiting_finds_it_again() -> None:
    talks: Talks[str] = Talks("talk", "the server")
    gate, begun = threading.Event(), []

    def work() -> str:
        begun.append(threading.current_thread().name)
        gate.wait(60)
        return "done"

    waiting = asyncio.create_task(talks.outcome("1", lambda: work))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    again = asyncio.create_task(talks.outcome("1", lambda: work))
    await asyncio.sleep(0)
    gate.set()
    assert await again == "done"
    assert begun == ["talk"]
    assert await talks.outcome("1", lambda: work) == "done"
    assert begun == ["talk"] * 2


async def test_failures_are_raised_and_hold_up_no_later_try() -> None:
    talks: Talks[str] = Talks("talk", "the server")

    def mistaken() -> str:
        raise AttributeError("hidden")

    with pytest.raises(RemoteError, match="unexpected AttributeError") as caught:
        await talks.outcome("1", lambda: mistaken)
    assert "hidden" not in str(caught.value)
    with pytest.raises(RemoteError, match="no"):
        await talks.outcome("1", lambda: lambda: RemoteError("no", retry=False))
    assert await talks.outcome("1", lambda: lambda: "done") == "done"


async def test_what_hangs_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TALKS", 1)
    monkeypatch.setattr(module, "REMEMBERED", 0)
    talks: Talks[str] = Talks("talk", "the server")
    gate = threading.Event()
    first = asyncio.create_task(talks.outcome("1", lambda: lambda: str(gate.wait(60))))
    await asyncio.sleep(0)
    with pytest.raises(RemoteError, match="the server has not answered to 1 messages yet") as caught:
        await talks.outcome("2", lambda: lambda: "")
    assert caught.value.retry
    gate.set()
    assert await first == "True"
    assert await talks.outcome("2", lambda: lambda: "done") == "done"
