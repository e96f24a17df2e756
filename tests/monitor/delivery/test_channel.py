from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.common.severity import Severity
from monitor.delivery.channel import BUCKETS, SinkStats
from monitor.domain.model import Finding
from monitor.routing.routes import Policy, Route
from monitor.store import Store, outbox
from sinks.base import Limits
from sinks.webhook import Webhook, WebhookConfig
from tests.fakes.delivery import QUICK, Recorder, delivering_with, finding, hang, until
from tests.fakes.webhook import FakeWebhook

STEADY = replace(QUICK, send=30.0)  # for what must not be sent twice, however busy the machine is


def many(count: int, severity: Severity = "high") -> list[Finding]:
    return [
        replace(finding(f"{severity}{number}", number), severity=severity, path=f"/var/log/{'x' * 100}.log")
        for number in range(count)
    ]


class Narrow(FakeWebhook):
    """Takes bodies of up to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.sizes: list[int] = []
        self.refused = 0

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if len(body) > self.limit:
            self.refused += 1
            return web.Response(status=413)
        self.sizes.append(len(body))
        return await super().answer(request, body)

    def told(self) -> list[str]:
        return [incident["id"] for payload in self.payloads for incident in payload["incidents"]]


@pytest.mark.parametrize(("known", "real"), [(64 * 1024, 64 * 1024), (2**20, 40_000)])
async def test_a_digest_is_told_in_parts_that_fit(store: Store, known: int, real: int) -> None:
    """`known`: the limit that is configured, `real`: that of the receiver, which answers 413."""
    store.policy = Policy(sinks=("hook",), routes=(Route.model_validate({"sinks": ["hook"], "burst": "1/1h"}),))
    http = Http()
    async with Narrow(real) as receiver:
        config = WebhookConfig(name="hook", type="webhook", url=receiver.url, max_body=known)
        async with delivering_with(store, {"hook": Webhook(config, http)}, patience=STEADY) as delivery:  # type: ignore[dict-item]
            await store.commit([*many(900), *many(100, "critical")])
            assert await delivery.settle(120) == 0  # a thousand, on a busy machine
        assert len(set(receiver.told())) == 1000
        assert len(receiver.payloads) > 10
        assert max(receiver.sizes) <= real
        assert (receiver.refused == 0) == (known == real)
        assert len({payload["id"] for payload in receiver.payloads}) == len(receiver.payloads)
    await http.close()
    assert not await store.outbox.list(states=["dead"])


async def test_one_incident_that_is_too_large_loses_places_and_is_told(store: Store) -> None:
    store.policy = Policy(sinks=("hook",))
    http = Http()
    async with Narrow(8192) as receiver:
        config = WebhookConfig(name="hook", type="webhook", url=receiver.url, max_body=8192)
        async with delivering_with(store, {"hook": Webhook(config, http)}) as delivery:  # type: ignore[dict-item]
            places = [
                replace(finding("a", number), path=f"/srv/{number}/{'x' * 200}", id=f"at{number}")
                for number in range(90)
            ]
            await store.commit(places)
            assert await delivery.settle(10) == 0
        [payload] = receiver.payloads
        assert payload["incidents"][0]["occurrences"] == 90
        assert 0 < len(payload["incidents"][0]["locations"]) < 90
        assert receiver.refused == 0
    await http.close()


async def test_what_is_sent_takes_one_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    leases = []
    real = store.outbox.lease

    async def lease(sink: str, *args: Any, **options: Any) -> Any:
        found = await real(sink, *args, **options)
        leases.append(len(found))
        return found

    monkeypatch.setattr(store.outbox, "lease", lease)
    store.policy = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "100/1m"}),))
    chat = Recorder()
    async with delivering_with(store, {"chat": chat}, patience=STEADY) as delivery:
        await until(lambda: leases == [0, 0])  # at the start, and once leases of the dead are taken over
        for number in range(3):
            await store.commit([finding(str(number), number)])
            await until(lambda: delivery.stats()["chat"].sent > number)  # noqa: B023
            await store.flush()  # what was asked for by then is done
        assert [found for found in leases if found] == [1, 1, 1]
        assert leases.count(0) < 5  # the clock may have looked once; each took two in vain before


async def test_the_worst_leaves_first(store: Store) -> None:
    gate = asyncio.Event()

    async def wait(notification: Notification) -> Receipt | None:
        await gate.wait()
        return None

    chat = Recorder(wait)
    store.policy = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "100/1m"}),))
    async with delivering_with(store, {"chat": chat}, patience=STEADY) as delivery:
        await store.commit(many(1, "info"))
        await until(lambda: chat.tried)
        for severity in ("low", "critical", "medium", "high"):
            await store.commit(many(3, severity))  # type: ignore[arg-type]
        gate.set()
        assert await delivery.settle(10) == 0
    said = [notification.severity for notification in chat.got[1:]]
    assert said == ["critical"] * 3 + ["high"] * 3 + ["medium"] * 3 + ["low"] * 3


async def test_several_are_under_way_but_never_two_of_one_incident(store: Store) -> None:
    flying: set[str] = set()
    most = 0
    clashes: list[str] = []

    async def answer(notification: Notification) -> Receipt | None:
        nonlocal most
        if notification.key in flying:
            clashes.append(notification.key)
        flying.add(notification.key)
        most = max(most, len(flying))
        await asyncio.sleep(0.01)
        flying.discard(notification.key)
        return None

    hook = Recorder(answer, Limits(in_flight=4))
    async with delivering_with(store, {"hook": hook}, patience=STEADY) as delivery:
        await store.commit(many(12))
        for number in range(12):
            ref = finding(f"high{number}").fingerprint
            await store.incidents.transition(ref, "ack", actor="ada")
            await store.incidents.transition(ref, "resolve", actor="ada", resolution="revoked")
        assert await delivery.settle(60) == 0
    assert 1 < most <= 4
    assert clashes == []
    last = {notification.key: notification.incidents[0].state for notification in hook.got}
    assert set(last.values()) == {"resolved"}


async def test_a_slow_sink_is_told_of_a_flood_together(store: Store) -> None:
    slow = Recorder(limits=Limits(pace=0.1))  # 150 of them may wait for their turn one by one
    store.policy = Policy(sinks=("slow",), routes=(Route.model_validate({"sinks": ["slow"], "burst": "1000/1m"}),))
    await store.commit([*many(400, "low"), *many(100, "critical")])
    async with delivering_with(store, {"slow": slow}, patience=STEADY):
        await until(lambda: len(slow.got) >= 5)
    assert [len(notification.incidents) for notification in slow.got] == [1] * len(slow.got)
    assert {notification.severity for notification in slow.got} == {"critical"}
    # The last one may have arrived without that being recorded.
    told = {notification.id for notification in slow.got}
    waiting = [
        entry for entry in await store.outbox.list(states=["pending", "leased"], limit=1000) if entry.id not in told
    ]
    assert len(waiting) + len(slow.got) == 151
    assert sum(len(entry.incidents) for entry in waiting) + len(slow.got) == 500
    [together] = [entry for entry in waiting if len(entry.incidents) > 1]
    assert (together.reason, len(together.incidents)) == ("digest", 350)


async def test_failures_that_were_under_way_together_count_once(store: Store) -> None:
    async def down(notification: Notification) -> Receipt | None:
        await until(lambda: len(hook.tried) >= 16)
        raise RemoteError("HTTP 503", retry=True)

    hook = Recorder(down, Limits(in_flight=16))
    async with delivering_with(store, {"hook": hook}, patience=replace(STEADY, first=0.05, longest=3600.0)):
        await store.commit(many(16))
        await until(lambda: len(hook.tried) >= 18)  # were they sixteen failures, the next try were half an hour away


async def test_what_was_accepted_before_a_refusal_and_heard_of_later_says_nothing_about_it(store: Store) -> None:
    """Two under way: the sink takes one, and is closed before the other. The word of the former comes last."""
    first: asyncio.Event = asyncio.Event()
    closed = True

    async def answer(notification: Notification) -> Receipt | None:
        if notification is hook.tried[0]:
            await first.wait()
            return None
        if closed:
            raise RemoteError("HTTP 401", retry=False)
        return None

    hook = Recorder(answer, Limits(in_flight=2))
    async with delivering_with(store, {"hook": hook}, patience=STEADY) as delivery:
        await store.commit(many(2))
        await until(lambda: delivery.stats()["hook"].refusing)
        first.set()
        await until(lambda: delivery.stats()["hook"].sent == 1)
        await until(lambda: len(hook.tried) >= 4)
        closed = False
        assert await delivery.settle(10) == 0
    assert len(hook.got) == 2
    assert not await store.outbox.list(states=["dead"])


@pytest.mark.parametrize("count", [200, pytest.param(2_000, marks=pytest.mark.campaign)])
async def test_an_hour_of_refusals_loses_none_and_the_worst_leave_first(tmp_path: Path, count: int) -> None:
    """By the clock of store and delivery, which goes on with each attempt; the pauses are short."""
    now = began = 1_800_000_000.0
    severities: tuple[Severity, ...] = ("critical", "high", "medium", "low")

    async def answer(notification: Notification) -> Receipt | None:
        nonlocal now
        if now < began + 3600:
            now += 150
            raise RemoteError("HTTP 403", retry=False)
        return None

    def clock() -> float:
        return now

    secrets = [
        replace(finding(f"{number}", number), severity=severities[number % 4], time=began) for number in range(count)
    ]
    hook = Recorder(answer, Limits(in_flight=8))
    route = Route.model_validate({"sinks": ["hook"], "burst": "100000/1m"})
    async with await Store.open(tmp_path / "hour.db", Policy(sinks=("hook",), routes=(route,)), clock=clock) as store:
        async with delivering_with(store, {"hook": hook}, patience=STEADY) as delivery:
            for start in range(0, count, 100):
                await store.commit(secrets[start : start + 100])
            await until(lambda: len(hook.tried) > 10)
            assert delivery.stats()["hook"].refusing == "HTTP 403"
            assert not hook.got
            await until(lambda: len(hook.got) == count, 100)
            assert await delivery.settle(10) == 0
        assert now >= began + 3600
        assert not await store.outbox.list(states=["dead"])
    told = [incident.id for notification in hook.got for incident in notification.incidents]
    assert len(told) == len(set(told)) == count
    # What is tried when it is mended is whatever was due then; from there on the worst leave first.
    said = [severities.index(notification.severity) for notification in hook.got[8:]]
    assert said == sorted(said)


async def test_what_is_refused_while_the_rest_is_taken_is_buried(store: Store) -> None:
    async def answer(notification: Notification) -> Receipt | None:
        if notification.severity == "low":
            raise RemoteError("HTTP 400", retry=False)
        return None

    hook = Recorder(answer)
    async with delivering_with(store, {"hook": hook}, patience=QUICK) as delivery:
        await store.commit(many(1, "low"))
        await until(lambda: len(hook.tried) >= 2)
        await store.commit(many(1))
        assert await delivery.settle(10) == 0
    assert [notification.severity for notification in hook.got] == ["high"]
    assert len(await store.outbox.list(states=["dead"])) == 1


async def test_what_was_being_sent_at_a_stop_is_repeated_as_it_was_and_what_came_later_has_its_own_message(
    store: Store,
) -> None:
    route = Route.model_validate({"sinks": ["hook"], "group_by": [], "group_interval": "1s"})
    store.policy = Policy(sinks=("hook",), routes=(route,))
    before = Recorder(hang)
    async with delivering_with(store, {"hook": before}, patience=STEADY) as delivery:
        await store.commit([finding("a")])
        await until(lambda: before.tried)
        await delivery.drain(0.05)
    [waits] = await store.outbox.list()
    assert (waits.state, waits.attempts) == ("pending", 1)
    await store.commit([finding("b", 1)])

    after = Recorder()
    async with delivering_with(store, {"hook": after}, patience=STEADY):
        await until(lambda: len(after.got) == 2)
    repeat, fresh = after.got
    assert (repeat.id, repeat.again) == (before.tried[0].id, True)
    assert [one.id for one in repeat.incidents] == [one.id for one in before.tried[0].incidents]
    assert fresh.id != repeat.id
    assert finding("b").fingerprint in {one.fingerprint for one in fresh.incidents}


async def test_what_is_leased_at_a_stop_and_was_not_begun_is_not_tried(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ends when nothing is begun any more."""
    begun, go, real = threading.Event(), threading.Event(), outbox._lease

    def slow(*arguments: Any, **options: Any) -> object:
        found = real(*arguments, **options)
        if found:
            begun.set()
            go.wait(60)
        return found

    monkeypatch.setattr(outbox, "_lease", slow)
    hook = Recorder(hang)
    async with delivering_with(store, {"hook": hook}, patience=STEADY) as delivery:
        committing = asyncio.create_task(store.commit([finding("a")]))  # perhaps in one transaction with the lease
        await until(begun.is_set)
        stopping = asyncio.create_task(delivery.drain(60))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(committing, stopping)
    await store.flush()
    [waits] = await store.outbox.list()
    assert (hook.tried, waits.state, waits.attempts, waits.error) == ([], "pending", 0, None)


def test_delays_are_counted_by_their_length() -> None:
    stats = SinkStats()
    for delay in (-1.0, 0.05, 0.3, 7200.0):
        stats.delivered(delay, 1.0)
    assert (stats.delays[0], stats.delays[BUCKETS.index(0.5)], stats.delays[-1]) == (2, 1, 1)
    assert (stats.sent, stats.delay_sum, stats.last_sent) == (4, 7200.35, 1.0)
