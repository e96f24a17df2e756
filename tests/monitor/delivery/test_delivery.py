from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from monitor import runbook
from monitor.common.http import RemoteError
from monitor.common.notification import Notification
from monitor.delivery import clock
from monitor.report.view import Links
from monitor.routing.routes import Policy, Route
from monitor.store import Notice, Store
from sinks.base import TooLargeError
from tests.fakes.delivery import (
    Recorder,
    delivering,
    delivering_with,
    down,
    failing,
    finding,
    refuse,
    until,
)
from tests.monitor.store.helpers import notify


async def test_an_alert_leaves_at_once_and_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "POLL", 3600.0)  # woken, not polled
    chat = Recorder()
    links = Links(console="https://monitor.example", runbooks="https://wiki.example/runbooks")
    book = runbook.load("github-token")
    assert book is not None
    async with delivering_with(store, {"chat": chat}, links=links, books=runbook.load):
        await asyncio.sleep(0.2)
        await store.commit([finding("a")])
        await until(lambda: chat.got)
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


async def test_what_another_process_writes_is_noticed(store: Store, tmp_path: Path) -> None:
    chat = Recorder()
    async with delivering(store, chat=chat):
        await store.commit([finding("a")])
        await until(lambda: chat.got)
        async with await Store.open(tmp_path / "state.db", store.policy) as cli:
            await cli.incidents.transition(finding("a").fingerprint, "resolve", actor="cli", resolution="revoked")
        await until(lambda: len(chat.got) == 2)
    assert (chat.got[1].reason, chat.got[1].action) == ("resolved", "resolve")


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
        await until(lambda: chat.got)
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
        assert await delivery.settle(60) == 0
        assert len(old.tried) == seen
    assert new.got[0].id == old.tried[0].id


async def test_a_sink_that_is_configured_no_more_is_no_trouble_any_more(store: Store) -> None:
    pager = Recorder()
    async with delivering(store, chat=Recorder(refuse), pager=pager) as delivery:
        await store.commit([finding("a")])
        await until(lambda: any(one.title == "Sink chat refuses notifications" for one in pager.got))
        assert delivery.stats()["chat"].refusing
        store.policy = Policy(sinks=("pager",))
        await delivery.replace({"pager": pager})
        await until(lambda: any(one.reason == "recovered" for one in pager.got))
        assert (delivery.stats()["chat"].refusing, delivery.stats()["chat"].failing) == (None, 0)
    [over] = [one for one in pager.got if one.reason == "recovered"]
    assert over.key == "operational:refused:chat"


async def test_settle_sends_what_its_group_holds_back(store: Store) -> None:
    chat = Recorder()
    route = Route.model_validate({"sinks": ["chat"], "group_by": [], "group_wait": "1h"})
    store.policy = Policy(sinks=("chat",), routes=(route,))
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        assert await delivery.settle(60) == 0
    [notification] = chat.got
    assert len(notification.incidents) == 2


async def test_at_the_end_nothing_waits_for_its_turn(store: Store) -> None:
    async def small(notification: Notification) -> None:
        if len(notification.incidents) > 4:
            raise TooLargeError("too many", 3)

    hook = Recorder(small)
    store.policy = Policy(sinks=("hook",), routes=(Route.model_validate({"sinks": ["hook"], "burst": "1/1h"}),))
    await store.commit([finding(f"s{number}", number) for number in range(13)])
    await store.groups.tick(flush=True)
    async with delivering(store, hook=hook) as delivery:
        await until(lambda: len(hook.got) == 2)  # the one alone, and the first part
        assert (len(hook.got[1].incidents), hook.got[1].more, hook.got[1].title) == (
            4,
            8,
            "4 new incidents, and 8 more that follow",
        )
        assert await delivery.settle(60) == 0
    assert [(len(one.incidents), one.more) for one in hook.got] == [(1, 0), (4, 8), (4, 4), (4, 0)]


async def test_settle_says_how_many_are_left(store: Store) -> None:
    async with delivering(store, chat=Recorder(down)) as delivery:
        await store.commit([finding("a")])
        assert await delivery.settle(0.3) == 1


async def test_digests_and_tests_have_a_title(store: Store) -> None:
    chat = Recorder()
    store.policy = Policy(sinks=("chat",), routes=(Route.model_validate({"sinks": ["chat"], "burst": "1/1h"}),))
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding(str(number), number) for number in range(4)])
        await notify(store, Notice("A test", reason="test", sinks=("chat",)))
        assert await delivery.settle(60) == 0
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
        assert await delivery.settle(60) == 0
    assert [notification.reason for notification in chat.got] == ["new"]
    assert (await store.incidents.get(finding("a").fingerprint)).occurrences == 20_000


async def test_idle_delivery_does_not_write(store: Store) -> None:
    async with delivering(store, chat=Recorder()):
        before = -1
        async with asyncio.timeout(120):
            while before != (before := (await store.stats()).transactions):  # its start may last on a slow machine
                await asyncio.sleep(1.5)
