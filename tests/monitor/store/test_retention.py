from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from monitor.access.reading import Reading
from monitor.common.inbound import HookDelivery
from monitor.domain.retention import RetentionConfig
from monitor.routing.routes import Policy
from monitor.store import Notice, Store, retention
from monitor.store.records import AlertBatch
from monitor.store.schema import (
    audit,
    batches,
    findings,
    groups,
    habits,
    hooks,
    incidents,
    members,
    outbox,
    read_ids,
    receipts,
)
from tests.monitor.store.helpers import OWNER, Clock, deliver, finding, fingerprint, lease, notify

DAY = 86_400.0
AGES = RetentionConfig()
DETAILS = (findings, audit, members, groups, receipts)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0.0)


async def rows(store: Store) -> dict[str, int]:
    """Table → rows, of those that are not empty."""
    tables = (*DETAILS, incidents, outbox, hooks)

    def count(connection: Connection) -> dict[str, int]:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
        }

    return {name: count for name, count in (await store.read(count)).items() if count}


async def resolved(store: Store, secret: str, resolution: str = "revoked") -> str:
    """An incident that was told of, resolved, and told of again; returns its id."""
    await store.commit([finding(secret, n, path=f"/{secret}") for n in range(5)])
    [known] = [one for one in await store.incidents.find() if one.fingerprint == fingerprint(secret)]
    await deliver(store)
    await store.incidents.transition(known.id, "resolve", actor="me", resolution=resolution)  # type: ignore[arg-type]
    await deliver(store)
    return known.id


async def test_a_resolved_incident_goes_in_two_steps_and_an_open_one_never(store: Store, clock: Clock) -> None:
    old = await resolved(store, "old")
    await store.commit([finding("open", n) for n in range(3)])
    await deliver(store)
    acknowledged = (await store.incidents.find(search="app.log"))[0].id
    await store.commit([finding("acknowledged")])
    await deliver(store)
    await store.incidents.transition(acknowledged, "ack", actor="me")
    await deliver(store)
    whole = await rows(store)

    clock.now += 6 * DAY
    assert await store.retention.sweep(AGES) == {}
    assert await rows(store) == whole

    clock.now += 360 * DAY
    gone = await store.retention.sweep(AGES)
    assert (gone["incidents"], gone["groups"], gone["receipts"]) == (1, 1, 1)
    left = await rows(store)
    assert left == {
        "findings": 4, "audit": 3, "members": 2, "groups": 2, "receipts": 2, "incidents": 3,
    }  # fmt: skip
    known = await store.incidents.get(old)
    assert (known.state, known.occurrences, known.locations) == ("resolved", 5, ())
    assert await store.retention.sweep(AGES) == {}

    clock.now += 5 * 365 * DAY
    assert (await store.retention.sweep(AGES))["fingerprints"] == 1
    assert await rows(store) == {**left, "incidents": 2}
    assert {one.state for one in await store.incidents.find()} == {"open", "acknowledged"}
    clock.now += 100 * 365 * DAY
    assert await store.retention.sweep(AGES) == {}


async def test_a_leak_of_what_was_forgotten_but_for_its_fingerprint_opens_it_again(store: Store, clock: Clock) -> None:
    revoked, harmless = await resolved(store, "revoked"), await resolved(store, "harmless", "false_positive")
    clock.now += 400 * DAY
    assert (await store.retention.sweep(AGES))["incidents"] == 2
    await store.commit([finding(name, 99, time=clock.now, generation="g2") for name in ("revoked", "harmless")])
    again = await store.incidents.get(revoked)
    assert (again.state, again.reopens, again.occurrences, len(again.locations)) == ("open", 1, 6, 1)
    assert [entry.action for entry in await store.incidents.history(revoked)] == ["reopened"]
    assert (await store.incidents.get(harmless)).state == "resolved"
    assert await deliver(store) == ["reopened"]
    # Seen since: it is as young as that sighting.
    clock.now += 300 * DAY
    assert "incidents" not in await store.retention.sweep(AGES)


async def test_what_is_not_delivered_stays_with_all_it_is_about(store: Store, clock: Clock) -> None:
    id_ = await resolved(store, "told")
    await notify(store, Notice("about it", incidents=(id_,), key="k"))
    waiting = await notify(store, Notice("waits"))
    clock.now += 10 * 365 * DAY
    await store.retention.sweep(AGES)
    assert (await store.incidents.get(id_)).locations
    assert waiting[0] in [entry.id for entry in await store.outbox.list(states=["pending"])]

    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    assert leased.incidents[0].locations
    await store.outbox.give_up(leased.id, "no", None)
    await store.retention.sweep(AGES)
    assert (await store.incidents.get(id_)).locations
    clock.now += 91 * DAY
    gone = await store.retention.sweep(AGES)
    assert (gone["refused"], gone["incidents"], gone["fingerprints"]) == (1, 1, 1)
    assert [entry.title for entry in await store.outbox.list()] == ["waits"]


async def test_what_was_refused_stays_while_its_incident_is_open(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    leased = await lease(store, "chat", OWNER, 60)
    assert leased is not None
    await store.outbox.give_up(leased.id, "no", None)
    clock.now += 10 * 365 * DAY
    assert await store.retention.sweep(AGES) == {}
    await store.incidents.transition(leased.incidents[0].id, "resolve", actor="me", resolution="revoked")
    assert (await store.retention.sweep(AGES))["refused"] == 1


async def test_sent_notifications_go_by_age_and_number(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await notify(store, Notice("old"))
    await deliver(store)
    clock.now += 8 * DAY
    for n in range(5):
        await notify(store, Notice(f"new {n}"))
    await deliver(store)
    assert await store.retention.sweep(AGES) == {"notifications": 1}
    monkeypatch.setattr(retention, "KEEP_SENT_ROWS", 2)
    assert await store.retention.sweep(AGES) == {"notifications": 3}
    assert {entry.title for entry in await store.outbox.list()} == {"new 3", "new 4"}


async def test_hooks_that_were_answered_go_and_those_that_were_not_stay(store: Store, clock: Clock) -> None:
    for name in ("answered", "due"):
        await store.hooks.enqueue(HookDelivery(name, "github", "secret_scanning_alert", "acme/web", 7))
    await store.alerts.record(AlertBatch("github", handled=["answered"]))
    clock.now += 8 * DAY
    assert await store.retention.sweep(AGES) == {"hooks": 1}
    assert [one.id for one in await store.hooks.due("github")] == ["due"]


async def test_never_is_never(store: Store, clock: Clock) -> None:
    await resolved(store, "a")
    whole = await rows(store)
    clock.now += 1_000 * 365 * DAY
    never = dict.fromkeys(RetentionConfig.model_fields, "never")
    assert await store.retention.sweep(RetentionConfig.model_validate(never)) == {}
    assert await rows(store) == whole


async def test_it_goes_a_little_at_a_time_and_commits_pass_between(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([finding(n, m) for n in range(40) for m in range(20)], notify=False)
    for one in await store.incidents.find(limit=1000):
        await store.incidents.transition(one.id, "resolve", actor="me", resolution="revoked")
    clock.now += 400 * DAY
    monkeypatch.setattr(retention, "_PAUSE", 0.01)
    most, forget = [], retention._forget_details
    monkeypatch.setattr(retention, "_forget_details", lambda tx, ids: (most.append(len(ids)), forget(tx, ids)))
    sweeping = asyncio.create_task(store.retention.sweep(AGES))
    commits = 0
    while not sweeping.done():
        await store.commit([finding("fresh", commits, time=clock.now)])
        commits += 1
    assert (await sweeping)["incidents"] == 40
    assert most == [10, 10, 10, 10]
    assert commits > len(most)
    assert (await store.incidents.find())[0].occurrences == commits


async def test_one_reopened_at_that_moment_is_left_alone(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await resolved(store, "a")
    clock.now += 400 * DAY
    page = retention._Step.page
    loop = asyncio.get_running_loop()

    def then_reopened(step, connection, after):  # type: ignore[no-untyped-def]
        found = page(step, connection, after)
        if step.name == "incidents" and found[0]:
            reopening = store.incidents.transition(id_, "reopen", actor="me")
            asyncio.run_coroutine_threadsafe(reopening, loop).result(20)
        return found

    monkeypatch.setattr(retention._Step, "page", then_reopened)
    assert (await store.retention.sweep(AGES))["incidents"] == 0
    assert len((await store.incidents.get(id_)).locations) == 5


async def test_marks_of_writers_long_gone_go(postgres_url: str, clock: Clock) -> None:
    async with await Store.open(postgres_url, Policy(), clock=clock) as store:
        await store.flush()
        await store.write(lambda tx: tx.connection.execute(batches.insert().values(writer="w", token="t", at=0.0)))
        await store.retention.sweep(AGES)
        left = await store.read(lambda connection: list(connection.execute(select(batches.c.writer)).scalars()))
        assert left == [store._writer._name]


async def test_a_new_file_gives_the_room_back(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.store import database

    monkeypatch.setattr(database, "_SPARE", 20)
    path = tmp_path / "state.db"
    async with await Store.open(path, Policy(sinks=("chat",)), clock=clock) as store:
        await store.commit([finding(n, path="/x" * 500) for n in range(2_000)], notify=False)
        large = store._database.size()
        await store.write(
            lambda tx: tx.connection.execute(
                incidents.update().values(state="resolved", resolution="revoked", resolved_at=clock.now)
            )
        )
        clock.now += 10 * 365 * DAY
        assert (await store.retention.sweep(AGES))["fingerprints"] == 2_000
        async with asyncio.timeout(120):
            while path.stat().st_size > large // 5:
                await asyncio.sleep(0.1)


async def test_what_is_opened_after_the_end_of_the_trail_was_forgotten_is_news(store: Store, clock: Clock) -> None:
    assert not await store.verdicts.gather(lambda labels: True)
    assert not await store.actions.gather(lambda labels: [])
    await resolved(store, "old")
    await store.verdicts.gather(lambda labels: False)
    await store.actions.gather(lambda labels: [])
    clock.now += 400 * DAY
    assert (await store.retention.sweep(AGES))["incidents"] == 1

    await store.commit([finding("new", time=clock.now)])
    await store.verdicts.gather(lambda labels: True)
    await store.actions.gather(lambda labels: [("revoke", 1)])
    assert [one.incident.fingerprint for one in await store.verdicts.due()] == [fingerprint("new")]
    assert [one.action for one in await store.actions.find()] == ["revoke"]


async def test_readings_habits_and_ids_are_bounded(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    # A reading is four habits: of the pair, of the secret, of who reads, and of the trail.
    for name, most in (("KEEP_READS", 3), ("KEEP_READ_IDS", 3), ("KEEP_HABITS", 4)):
        monkeypatch.setattr(retention, name, most)
    for n in range(6):
        clock.now += 1
        one = Reading(f"r{n}", clock.now - n % 2 * 500 * DAY, f"secret-{n}", "app", marks=(f"m{n}",))
        await store.commit((), readings=[one], source="vault")
    await store.retention.sweep(AGES)
    assert [one.secret for one in await store.access.uses()] == ["secret-4", "secret-2", "secret-0"]

    def count(connection: Connection) -> list[int]:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (read_ids, habits)
        ]

    assert await store.read(count) == [3, 4]
