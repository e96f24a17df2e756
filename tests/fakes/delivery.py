"""Sinks that answer as told, and a delivery at work on them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar

from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.delivery import Delivery
from monitor.delivery.channel import Patience
from monitor.domain.model import Finding
from monitor.routing.routes import Policy
from monitor.store import Store
from sinks.base import Limits, SinkConfig

QUICK = Patience(send=0.3, first=0.02, longest=0.1)


class Recorder:
    """A sink that keeps what it gets; `answer` decides what it says."""

    Config: ClassVar[type[SinkConfig]] = SinkConfig

    def __init__(
        self, answer: Callable[[Notification], Awaitable[Receipt | None]] | None = None, limits: Limits = Limits()
    ) -> None:
        self.limits = limits
        self.tried: list[Notification] = []
        self.got: list[Notification] = []
        self.times: list[float] = []
        self.answer = answer

    async def send(self, notification: Notification) -> Receipt | None:
        self.tried.append(notification)
        self.times.append(time.monotonic())
        receipt = await self.answer(notification) if self.answer else {"ts": str(len(self.tried))}
        self.got.append(notification)
        return receipt

    async def close(self) -> None: ...


def failing(*errors: Exception) -> Callable[[Notification], Awaitable[Receipt | None]]:
    """Raise these one after the other, then succeed."""
    left = list(errors)

    async def answer(notification: Notification) -> Receipt | None:
        if left:
            raise left.pop(0)
        return None

    return answer


async def refuse(notification: Notification) -> Receipt | None:
    raise RemoteError("HTTP 404: no_service", retry=False)


async def down(notification: Notification) -> Receipt | None:
    raise RemoteError("HTTP 503", retry=True)


async def hang(notification: Notification) -> Receipt | None:
    await asyncio.Event().wait()
    return None


def finding(secret: str, offset: int = 0) -> Finding:
    return Finding(
        id=f"{secret}-{offset}",
        rule="github-pat",
        name="GitHub token",
        severity="high",
        confidence="high",
        fingerprint=hashlib.sha256(secret.encode()).hexdigest(),
        masked="ghp_…",
        source="services",
        path="/var/log/app.log",
        generation="g1",
        offset=offset,
        time=time.time(),
        runbook="github-token",
    )


@contextlib.asynccontextmanager
async def delivering(store: Store, **sinks: Recorder) -> AsyncIterator[Delivery]:
    async with delivering_with(store, sinks) as delivery:
        yield delivery


@contextlib.asynccontextmanager
async def delivering_with(store: Store, sinks: dict[str, Recorder], **options: object) -> AsyncIterator[Delivery]:
    if not store.policy.sinks:
        store.policy = Policy(sinks=tuple(sinks))
    options.setdefault("patience", QUICK)
    delivery = Delivery(store, sinks, **options)  # type: ignore[arg-type]
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 240) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
