"""Rows of the outbox that are taken, and given back when the monitor ends in the midst of it."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from monitor.common.notification import Notification, Receipt
from monitor.routing.routes import Policy
from monitor.store import Store, outbox, owner_name
from tests.fakes.delivery import (
    QUICK,
    Recorder,
    delivering,
    delivering_with,
    down,
    finding,
    hang,
    until,
)


@pytest.mark.parametrize("write", ["_lease", "_put_back"])
async def test_no_lease_is_left_behind_by_a_write_that_is_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    begun, real = threading.Event(), getattr(outbox, write)

    def slow(*arguments: object, **options: object) -> object:
        found = real(*arguments, **options)
        if found or write == "_put_back":
            begun.set()
            time.sleep(0.3)
        return found

    monkeypatch.setattr(outbox, write, slow)
    async with delivering(store, chat=Recorder(down)):
        await store.commit([finding("a")])
        await until(begun.is_set)
    for _ in range(2):  # the write, and what puts back what it took
        await store.flush()
    assert [entry.state for entry in await store.outbox.list()] == ["pending"]


async def test_a_lease_that_waits_in_line_is_withdrawn(store: Store) -> None:
    store.policy = Policy(sinks=("chat",))
    await store.commit([finding("a")])
    release = threading.Event()
    store._writer.call(lambda tx: release.wait(60))
    async with delivering(store, chat=Recorder()):
        await asyncio.sleep(0.2)
    release.set()
    await store.flush()
    assert [entry.state for entry in await store.outbox.list()] == ["pending"]


async def test_ending_waits_a_moment_only_for_a_database_that_takes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.delivery.channel._CLOSING", 0.1)
    chat, release = Recorder(hang), threading.Event()
    async with delivering_with(store, {"chat": chat}, patience=replace(QUICK, send=60.0)) as delivery:
        await store.commit([finding("a")])
        await until(lambda: chat.tried)
        held = store._writer.call(lambda tx: release.wait(60))
        await delivery.drain(0.1)
        assert not held.done()
        release.set()
    await store.flush()
    assert [entry.state for entry in await store.outbox.list()] == ["pending"]


async def test_drain_finishes_what_is_being_sent_and_gives_back_the_rest(store: Store) -> None:
    release = asyncio.Event()

    async def slow(notification: Notification) -> Receipt | None:
        await release.wait()
        return None

    chat, stuck = Recorder(slow), Recorder(hang)
    async with delivering_with(store, {"chat": chat, "stuck": stuck}, patience=replace(QUICK, send=30.0)) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: chat.tried and stuck.tried)
        draining = asyncio.create_task(delivery.drain(600))
        await asyncio.sleep(0)
        release.set()
        while "sent" not in {entry.state for entry in await store.outbox.list()}:
            await asyncio.sleep(0.01)
        draining.cancel()
        await asyncio.wait([draining])
        await delivery.drain(0.01)  # its time is up
    states = sorted((entry.sink, entry.state, entry.attempts) for entry in await store.outbox.list())
    # What was being sent may have arrived.
    assert states == [("chat", "pending", 0), ("chat", "sent", 0), ("stuck", "pending", 0), ("stuck", "pending", 1)]


async def test_what_was_leased_before_a_crash_goes_out_at_the_next_start(store: Store) -> None:
    store.policy = Policy(sinks=("chat",))
    await store.commit([finding("a")])
    host, pid, _ = owner_name(store.node).rsplit(":", 2)
    [leased] = await store.outbox.lease("chat", f"{host}:{pid}:before", 3_600)
    chat = Recorder()
    async with delivering(store, chat=chat):
        await until(lambda: chat.got)
    assert chat.got[0].id == leased.id
