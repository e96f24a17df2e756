"""What cannot be sent now is sent again, and holds up nothing else."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from multidict import CIMultiDict

from monitor.common.http import RemoteError, retry_after
from monitor.common.notification import Notification, Receipt
from monitor.routing.routes import Policy, Route
from monitor.store import OutboxEntry, Store
from tests.fakes.delivery import (
    QUICK,
    Recorder,
    delivering,
    delivering_with,
    down,
    failing,
    finding,
    hang,
    until,
)


async def put_back(store: Store, sink: str) -> OutboxEntry:
    """What was tried, and waits for its next attempt."""
    while True:
        if rows := [one for one in await store.outbox.list(sink=sink) if one.state == "pending" and one.attempts]:
            return rows[0]
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "error",
    [
        RemoteError("HTTP 500", retry=True),
        RemoteError("connection reset", retry=True),
        ConnectionResetError("https://hooks.example/T000/secret-path"),
    ],
)
async def test_failures_are_retried_with_the_same_id(
    store: Store, error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    chat = Recorder(failing(*[error] * 4))
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding("a")])
        await until(lambda: chat.got)
        await until(lambda: delivery.stats()["chat"].sent)
    assert len(chat.tried) == 5
    assert len({notification.id for notification in chat.tried}) == 1
    assert (delivery.stats()["chat"].failed, delivery.stats()["chat"].failing) == (4, 0)
    shown = str(delivery.stats()) + "".join(capfd.readouterr()) + str(await store.outbox.list())
    assert "secret-path" not in shown


async def test_a_sink_that_was_down_gets_everything_when_it_is_back(store: Store) -> None:
    up = False

    async def answer(notification: Notification) -> Receipt | None:
        if not up:
            raise RemoteError("HTTP 503", retry=True)
        return None

    chat = Recorder(answer)
    # An hour in small: backoffs far longer than the test, once it is back.
    async with delivering_with(store, {"chat": chat}, patience=replace(QUICK, longest=0.3)) as delivery:
        for number in range(10):
            await store.commit([finding(str(number), number)])
        await until(lambda: delivery.stats()["chat"].failing >= 6)
        tries = len(chat.tried)
        assert tries < 20  # the whole sink backs off, not each notification alone
        up = True
        await until(lambda: len(chat.got) == 10)
        assert await delivery.settle(60) == 0
    assert len({notification.id for notification in chat.got}) == 10


async def test_retry_after_is_honoured(store: Store) -> None:
    chat = Recorder(failing(RemoteError("HTTP 429", retry=True, after=0.7)))
    async with delivering(store, chat=chat):
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: len(chat.got) == 2)
    assert chat.times[1] - chat.times[0] >= 0.7


async def test_a_far_retry_after_is_reported_by_the_others_and_shows_what_waits(store: Store) -> None:
    day = retry_after(CIMultiDict({"Retry-After": "86400"}))
    chat, console = Recorder(failing(RemoteError("HTTP 429", retry=True, after=day))), Recorder()
    store.policy = Policy(sinks=("chat", "console"), routes=(Route(sinks=("chat",)),))
    async with delivering(store, chat=chat, console=console) as delivery:
        await store.commit([finding("a")])
        await until(lambda: console.got)
        said = "HTTP 429; it asks to be left alone for 60 min or longer (Retry-After)"
        [notice] = console.got
        assert (notice.reason, notice.title) == ("operational", "Sink chat takes nothing for a while")
        assert notice.text.startswith(f"{said}. What waits for it is stored, and tried again 2")
        stats = delivery.stats()["chat"]
        assert stats.last_error == said
        assert 3500 < (stats.rests_until or 0) - store.now() < 3700  # a day is not waited: an hour, then it is asked
        assert delivery.problem() is None  # the console is there
        waits = await put_back(store, "chat")
        assert waits.error == said
        assert 3500 < waits.next_at - store.now() < 3700
        await store.undelivered.retry([waits.id], actor="ada")  # `outbox retry`: somebody asks for it
        await until(lambda: chat.got and len(console.got) == 2)
        assert stats.rests_until is None
    assert (console.got[1].reason, console.got[1].key) == ("recovered", notice.key)


async def test_where_the_only_sink_is_to_be_left_alone_nobody_can_be_told(store: Store) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    error = RemoteError("HTTP 503", retry=True, after=retry_after(CIMultiDict({"Retry-After": date})))
    async with delivering(store, only=Recorder(failing(error))) as delivery:
        await store.commit([finding("a")])
        await until(delivery.problem)
        assert (delivery.problem() or "").startswith("sink only takes nothing until 2")
        assert "60 min or longer (Retry-After)" in (delivery.problem() or "")


@pytest.mark.parametrize("after", [0.0, 0.001])
async def test_a_retry_after_of_nothing_is_no_loop(store: Store, after: float) -> None:
    async def busy(notification: Notification) -> Receipt | None:
        raise RemoteError("HTTP 429", retry=True, after=after)

    chat = Recorder(busy)
    async with delivering_with(store, {"chat": chat}, patience=replace(QUICK, first=0.2, longest=1.0)) as delivery:
        await store.commit([finding("a")])
        delivery.operational("a notice")
        await until(lambda: len(chat.tried) >= 6)
    # The notice and what was leased beside it may go together; then half of the first pause passes, at least.
    assert all(third - first >= 0.1 for first, third in zip(chat.times, chat.times[2:], strict=False))


async def test_a_clock_that_is_put_back_delays_nothing(store: Store) -> None:
    ahead = 7200.0
    store._clock = lambda: time.time() + ahead
    chat = Recorder(failing(RemoteError("HTTP 503", retry=True, after=5.0)))
    async with delivering_with(store, {"chat": chat}):
        await store.commit([finding("a")])
        await until(lambda: len(chat.tried) == 1)
        while [entry.attempts for entry in await store.outbox.list(states=["pending"])] != [1]:
            await asyncio.sleep(0.01)
        ahead = 0.0
        await until(lambda: chat.got)
        await asyncio.sleep(0.2)
        assert len(chat.got) == 1, "nothing is repeated for the clock"


async def test_what_was_held_back_for_its_group_while_the_clock_stood_ahead_is_told(store: Store) -> None:
    ahead = 40_000_000.0
    store._clock = lambda: time.time() + ahead
    route = Route.model_validate({"sinks": ["chat"], "group_wait": "500ms"})
    store.policy = Policy(sinks=("chat",), routes=(route,))
    chat = Recorder()
    await store.commit([finding("a")])
    async with delivering_with(store, {"chat": chat}):
        await asyncio.sleep(0.2)
        ahead = 0.0
        await until(lambda: len(chat.got) == 1)


async def test_a_stuck_sink_holds_up_no_other(store: Store) -> None:
    stuck, broken, chat = Recorder(hang), Recorder(down), Recorder()
    async with delivering(store, stuck=stuck, broken=broken, chat=chat) as delivery:
        for number in range(10):
            await store.commit([finding(str(number), number)])
        await until(lambda: len(chat.got) == 10)
        await until(lambda: delivery.stats()["stuck"].failed)
        assert delivery.stats()["stuck"].last_error == "no answer within 0.3 s"
    assert not stuck.got
    assert not broken.got
    assert {entry.state for entry in await store.outbox.list() if entry.sink != "chat"} == {"pending"}


async def test_one_that_always_fails_does_not_block_the_rest_of_its_sink(store: Store) -> None:
    poison = finding("poison").fingerprint

    async def answer(notification: Notification) -> Receipt | None:
        if notification.incidents[0].fingerprint == poison:
            raise RemoteError("HTTP 500", retry=True)
        return None

    chat = Recorder(answer)
    async with delivering(store, chat=chat):
        await store.commit([finding("poison")])
        await until(lambda: chat.tried)
        await store.commit([finding("a", 1), finding("b", 2)])
        await until(lambda: len(chat.got) == 2)
