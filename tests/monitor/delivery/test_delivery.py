from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from monitor import runbook
from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.delivery import Delivery
from monitor.delivery.channel import Patience
from monitor.model import Finding
from monitor.routing import Policy, Route
from monitor.store import Notice, Store, outbox, owner_name
from monitor.view import Links
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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "state.db") as opened:
        yield opened


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


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_alert_leaves_at_once_and_says_what_to_do(store: Store) -> None:
    chat = Recorder()
    links = Links(console="https://monitor.example", runbooks="https://wiki.example/runbooks")
    book = runbook.load("github-token")
    assert book is not None
    async with delivering_with(store, {"chat": chat}, links=links, books=runbook.load):
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await store.commit([finding("a")])
        await until(lambda: chat.got)
        assert chat.times[0] - started < 0.9  # woken, not polled
    [notification] = chat.got
    [incident] = notification.incidents
    assert (notification.reason, notification.severity, notification.action) == ("new", "high", "trigger")
    assert notification.url == incident.url == f"https://monitor.example/incidents/{incident.id}"
    assert notification.runbook == incident.runbook == "https://wiki.example/runbooks/github-token"
    assert incident.first_step == book.first_step
    assert [place.path for place in incident.locations] == ["/var/log/app.log"]
    assert incident.first_seen.tzinfo is not None


async def test_updates_carry_the_receipt_of_their_sink(store: Store) -> None:
    chat, pager = Recorder(), Recorder(answer=failing())
    async with delivering(store, chat=chat, pager=pager):
        await store.commit([finding("a")])
        await until(lambda: chat.got and pager.got)
        await store.incidents.transition(finding("a").fingerprint, "ack", actor="ada")
        await until(lambda: len(chat.got) == 2 and len(pager.got) == 2)
    assert chat.got[0].receipt is None
    assert (chat.got[1].reason, chat.got[1].receipt, chat.got[1].key) == ("acknowledged", {"ts": "1"}, chat.got[0].key)
    assert chat.got[1].action == "acknowledge"
    assert pager.got[1].receipt is None


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
        assert await delivery.settle(5) == 0
    assert len({notification.id for notification in chat.got}) == 10


async def test_retry_after_is_honoured(store: Store) -> None:
    chat = Recorder(failing(RemoteError("HTTP 429", retry=True, after=0.7)))
    async with delivering(store, chat=chat):
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: len(chat.got) == 2)
    assert 0.7 <= chat.times[1] - chat.times[0] < 3


@pytest.mark.parametrize("after", [0.0, 0.001])
async def test_a_retry_after_of_nothing_is_no_loop(store: Store, after: float) -> None:
    async def busy(notification: Notification) -> Receipt | None:
        raise RemoteError("HTTP 429", retry=True, after=after)

    chat = Recorder(busy)
    async with delivering_with(store, {"chat": chat}, patience=replace(QUICK, first=0.2, longest=1.0)) as delivery:
        await store.commit([finding("a")])
        delivery.operational("a notice")
        await asyncio.sleep(0.7)
    assert 2 <= len(chat.tried) < 20


async def test_a_clock_that_is_put_back_delays_nothing(store: Store) -> None:
    ahead = 7200.0
    store._clock = lambda: time.time() + ahead
    chat = Recorder(failing(RemoteError("HTTP 503", retry=True, after=2.0)))
    async with delivering_with(store, {"chat": chat}):
        await store.commit([finding("a")])
        await until(lambda: len(chat.tried) == 1)
        await asyncio.sleep(0.2)
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
        await until(lambda: len(chat.got) == 10, 5)
        await until(lambda: delivery.stats()["stuck"].failed)
        assert delivery.stats()["stuck"].last_error == "no answer within 0.3 s"
    assert not stuck.got
    assert not broken.got
    assert {entry.state for entry in await store.outbox.list() if entry.sink != "chat"} == {"pending"}


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
    store._writer.call(lambda tx: release.wait(10))
    async with delivering(store, chat=Recorder()):
        await asyncio.sleep(0.2)
    release.set()
    await store.flush()
    assert [entry.state for entry in await store.outbox.list()] == ["pending"]


async def test_ending_waits_a_moment_only_for_a_database_that_takes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.delivery.channel._PARTING", 0.1)
    chat, release = Recorder(hang), threading.Event()
    async with delivering_with(store, {"chat": chat}, patience=replace(QUICK, send=60.0)) as delivery:
        await store.commit([finding("a")])
        await until(lambda: chat.tried)
        store._writer.call(lambda tx: release.wait(10))
        started = time.monotonic()
        await delivery.drain(0.1)
        assert time.monotonic() - started < 5
        release.set()
    await store.flush()
    assert [entry.state for entry in await store.outbox.list()] == ["pending"]


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


async def test_a_refusal_goes_to_the_fallback_and_is_reported(store: Store) -> None:
    chat, mail, console = Recorder(refuse), Recorder(), Recorder()
    store.policy = Policy(sinks=("chat", "mail", "console"), routes=(Route(sinks=("chat",)),))
    sinks = {"chat": chat, "mail": mail, "console": console}
    async with delivering_with(store, sinks, fallbacks={"chat": "mail"}) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: len(mail.got) >= 3)
        assert await delivery.settle(5) == 0
        assert delivery.stats()["chat"].dead == 2
    assert [notification.reason for notification in mail.got].count("new") == 2
    [notice] = console.got  # said once, not for each
    assert (notice.reason, notice.incidents) == ("operational", ())
    assert "chat" in notice.title
    assert "404" in notice.text
    assert "mail" in notice.text
    assert len([entry for entry in await store.outbox.list(states=["dead"]) if entry.sink == "chat"]) == 2


async def test_without_a_fallback_the_others_hear_of_it_and_it_is_tried_again(store: Store) -> None:
    chat, console = Recorder(refuse), Recorder()
    store.policy = Policy(sinks=("chat", "console"), routes=(Route(sinks=("chat",)),))
    async with delivering(store, chat=chat, console=console) as delivery:
        await store.commit([finding("a")])
        await until(lambda: console.got)
        assert "fallback" in console.got[0].text
        assert delivery.stats()["chat"].refusing == "HTTP 404: no_service"
        assert delivery.trouble() is None  # the console is there
        chat.answer = None
        await until(lambda: chat.got and len(console.got) == 2)
        assert delivery.stats()["chat"].refusing is None
    assert (console.got[1].reason, console.got[1].key) == ("recovered", console.got[0].key)
    assert console.got[1].action == "resolve"
    assert not await store.outbox.list(states=["dead"])


async def test_a_receiver_that_refuses_everything_for_long_and_is_mended_gets_everything(store: Store) -> None:
    only = Recorder(refuse)
    async with delivering(store, only=only) as delivery:
        for number in range(35):
            await store.commit([finding(str(number), number)])
        await until(lambda: len(only.tried) >= 12)
        assert delivery.trouble() == "sink only refuses everything: HTTP 404: no_service"
        assert await store.outbox.unsent() > 0
        only.answer = None
        assert await delivery.settle(10) == 0
        assert delivery.trouble() is None
    told = {incident.id for notification in only.got for incident in notification.incidents}
    assert len(told) == 35
    assert not await store.outbox.list(states=["dead"])


async def test_what_a_working_sink_will_not_have_is_buried(store: Store) -> None:
    poison = finding("poison").fingerprint

    async def answer(notification: Notification) -> Receipt | None:
        if notification.incidents and notification.incidents[0].fingerprint == poison:
            raise RemoteError("HTTP 400", retry=False)
        return None

    chat = Recorder(answer)
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding("poison")])
        await until(lambda: chat.tried)
        await store.commit([finding("a", 1)])
        assert await delivery.settle(10) == 0
    [dead] = await store.outbox.list(states=["dead"])
    assert dead.error == "HTTP 400"
    assert len(chat.got) == 1


async def test_fallbacks_that_point_at_each_other_keep_what_both_refuse(store: Store) -> None:
    one, two = Recorder(refuse), Recorder(refuse)
    store.policy = Policy(sinks=("one", "two"), routes=(Route(sinks=("one",)),))
    async with delivering_with(store, {"one": one, "two": two}, fallbacks={"one": "two", "two": "one"}) as delivery:
        await store.commit([finding("a")])
        await until(lambda: len(one.tried) >= 1 and len([sent for sent in two.tried if sent.incidents]) >= 2)
        two.answer = None
        assert await delivery.settle(10) == 0
    states = {entry.sink: entry.state for entry in await store.outbox.list()}
    assert states == {"one": "dead", "two": "sent"}


async def test_what_another_process_writes_is_noticed(store: Store, tmp_path: Path) -> None:
    chat = Recorder()
    async with delivering(store, chat=chat):
        await store.commit([finding("a")])
        await until(lambda: chat.got)
        async with await Store.open(tmp_path / "state.db", store.policy) as cli:
            await cli.incidents.transition(finding("a").fingerprint, "resolve", actor="cli", resolution="revoked")
        await until(lambda: len(chat.got) == 2, 4)
    assert (chat.got[1].reason, chat.got[1].action) == ("resolved", "resolve")


async def test_drain_finishes_what_is_being_sent_and_gives_back_the_rest(store: Store) -> None:
    release = asyncio.Event()

    async def slow(notification: Notification) -> Receipt | None:
        await release.wait()
        return None

    chat, stuck = Recorder(slow), Recorder(hang)
    async with delivering_with(store, {"chat": chat, "stuck": stuck}, patience=replace(QUICK, send=30.0)) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: chat.tried and stuck.tried)
        asyncio.get_running_loop().call_later(0.1, release.set)
        started = time.monotonic()
        await delivery.drain(1.0)
        assert time.monotonic() - started < 3
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
        await until(lambda: chat.got, 5)
    assert chat.got[0].id == leased.id


async def test_trouble_with_the_database_is_told_without_it(store: Store, tmp_path: Path) -> None:
    chat = Recorder(failing(RemoteError("HTTP 500", retry=True)))
    async with delivering(store, chat=chat) as delivery:
        await asyncio.sleep(0.2)
        holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.commit([finding("a")]))
        await until(lambda: store.degraded)
        assert delivery.operational("The state database cannot be written", store.degraded or "", severity="critical")
        assert not delivery.operational("The state database cannot be written", "again")
        await until(lambda: chat.got, 5)
        assert not waiting.done()
        holder.execute("ROLLBACK")
        holder.close()
        assert await waiting == 1
        await until(lambda: len(chat.got) == 2)
    assert [notification.reason for notification in chat.got] == ["operational", "new"]


async def test_operational_notices_follow_the_routes_where_one_takes_them(store: Store) -> None:
    pager, chat = Recorder(), Recorder()
    critical = Route.model_validate({"matchers": ["severity=critical"], "sinks": ["pager"]})
    store.policy = Policy(sinks=("pager", "chat"), routes=(critical,))
    async with delivering(store, pager=pager, chat=chat) as delivery:
        delivery.operational("serious", severity="critical")
        delivery.operational("mild", severity="low")
        await until(lambda: len(pager.got) == 2 and len(chat.got) == 1)
    assert chat.got[0].title == "mild"


async def test_a_reload_changes_sinks_without_losing_any(store: Store) -> None:
    old, new, mail = Recorder(down), Recorder(), Recorder()
    async with delivering(store, chat=old, gone=Recorder(down)) as delivery:
        await store.commit([finding("a")])
        await until(lambda: old.tried)
        store.policy = Policy(sinks=("chat", "mail"))
        await delivery.replace({"chat": new, "mail": mail})
        seen = len(old.tried)
        await until(lambda: new.got and mail.got)
        assert await delivery.settle(5) == 0
        assert len(old.tried) == seen
    assert new.got[0].id == old.tried[0].id


async def test_settle_sends_what_its_group_holds_back(store: Store) -> None:
    chat = Recorder()
    route = Route.model_validate({"sinks": ["chat"], "group_by": [], "group_wait": "1h"})
    store.policy = Policy(sinks=("chat",), routes=(route,))
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        assert await delivery.settle(5) == 0
    [notification] = chat.got
    assert len(notification.incidents) == 2


async def test_settle_says_how_many_are_left(store: Store) -> None:
    async with delivering(store, chat=Recorder(down)) as delivery:
        await store.commit([finding("a")])
        assert await delivery.settle(0.3) == 1


async def test_digests_and_tests_have_a_title(store: Store) -> None:
    chat = Recorder()
    store.policy = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "1/1h"}),))
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding(str(number), number) for number in range(4)])
        await store.outbox.notify(Notice("A test", reason="test", sinks=("chat",)))
        assert await delivery.settle(5) == 0
    shown = {notification.reason: notification for notification in chat.got}
    assert set(shown) == {"new", "digest", "test"}
    assert shown["digest"].title == "3 new incidents"
    assert len(shown["digest"].incidents) == 3
    assert (shown["test"].title, shown["test"].incidents) == ("A test", ())


async def test_twenty_thousand_repeats_are_one_notification(store: Store) -> None:
    chat = Recorder()
    async with delivering(store, chat=chat) as delivery:
        for start in range(0, 20_000, 1_000):
            await store.commit([finding("a", offset) for offset in range(start, start + 1_000)])
        assert await delivery.settle(5) == 0
    assert [notification.reason for notification in chat.got] == ["new"]
    assert (await store.incidents.get(finding("a").fingerprint)).occurrences == 20_000


async def test_idle_delivery_does_not_write(store: Store) -> None:
    async with delivering(store, chat=Recorder()):
        await asyncio.sleep(0.3)
        before = (await store.stats()).transactions
        await asyncio.sleep(1.5)
        assert (await store.stats()).transactions == before
