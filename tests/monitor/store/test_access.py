from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from detectors.fingerprint import fingerprint as keyed
from monitor.access.judge import Rules
from monitor.access.policy import AccessConfig
from monitor.access.reading import Reading
from monitor.domain.incidents import fold
from monitor.domain.model import Position
from monitor.store import Store
from monitor.store.schema import habits, marks, read_ids, reads
from tests.monitor.store.helpers import finding

DAY = 86_400.0
T = 20_000 * DAY
RULES = Rules((AccessConfig(name="db", principals=("app",), secrets=("prod/db",)),))


def reading(id_: str, at: float = T, principal: str = "app", **changes: object) -> Reading:
    return replace(Reading(id_, at, "prod/db", principal, address="10.0.0.1"), **changes)


async def commit(store: Store, readings: Sequence[Reading], offset: int = 0) -> int:
    return await store.commit((), [Position("vault", "f", {"offset": offset})], readings=readings, source="vault")


async def test_readings_are_counted_by_the_hour_and_a_repeat_is_not(url: str) -> None:
    async with await Store.open(url, node="n", access_rules=RULES) as store:
        some = [reading("a"), reading("b", T + 60), reading("c", T + 3600), reading("d", T + 61, address="10.0.0.2")]
        assert await commit(store, [*some, some[0]], 10) == 0
        assert await commit(store, [*some, reading("e", T + 30)], 20) == 0
        uses = await store.access.uses()
        assert [(one.first, one.last, one.times, one.address) for one in uses] == [
            (T + 3600, T + 3600, 1, "10.0.0.1"),
            (T + 61, T + 61, 1, "10.0.0.2"),
            (T, T + 60, 3, "10.0.0.1"),
        ]
        assert await store.positions.of("vault") == {"f": {"offset": 20}}
        assert await store.access.uses(secrets=["prod/other"]) == []
        assert await store.access.uses(principal="app", since=T + 3600, limit=5) == uses[:1]
        [(secret, principal, habit)] = await store.access.known()
        assert (secret, principal, habit.times) == ("prod/db", "app", 5)


async def test_whoever_read_something_is_known_however_many_they_are(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.store.access._MOST", 1)
    async with await Store.open(url, node="n", access_rules=RULES) as store:
        await commit(store, [reading("a"), reading("b", principal="anna"), reading("c", principal="zoe")])
        assert [principal for _, principal, _ in await store.access.known()] == ["anna", "app", "zoe"]


async def test_a_read_against_policy_is_one_incident_with_one_occurrence_an_hour(url: str) -> None:
    async with await Store.open(url, node="n", secret=b"k", access_rules=RULES) as store:
        wrong = [reading(f"w{n}", T + n, "web") for n in range(500)]
        assert await commit(store, wrong) == 1
        assert await commit(store, [reading("later", T + 7200, "web"), reading("other", T, "job")]) == 2
        found = {one.masked: one for one in await store.incidents.find(locations=True)}
        assert set(found) == {"web → prod/db", "job → prod/db"}
        web = found["web → prod/db"]
        assert (web.rule, web.severity, web.occurrences, web.name) == (
            "access-policy",
            "high",
            2,
            "Secret read against policy",
        )
        assert web.labels == {"secret": "prod/db", "principal": "web", "address": "10.0.0.1"}
        place = web.locations[0]
        assert place.context == 'web read prod/db: [[access]] "db" permits app only'
        assert place.logged_at is not None

        store.access_rules = Rules()
        assert await commit(store, [reading("free", T + 90_000, "web")]) == 0


async def test_habits_live_in_the_store_across_a_restart(url: str) -> None:
    for day in range(10):
        async with await Store.open(url, node="n") as store:
            some = [reading(f"{day}-{n}", T + day * DAY + 9 * 3600 + n * 60) for n in range(5)]
            assert await commit(store, some, day) == 0
    async with await Store.open(url, node="n") as store:
        at = T + 10 * DAY + 9 * 3600
        assert await commit(store, [reading("odd", at, address="192.0.2.1"), reading("new", at, "stranger")]) == 2
        rules = {one.rule for one in await store.incidents.find()}
        assert rules == {"access-address", "access-first"}


async def test_an_hour_in_which_somebody_reads_everything_is_one_incident(url: str) -> None:
    """In one commit or in several, whether each secret has habits or nobody had ever read it."""
    hour = T + 10 * DAY + 3 * 3600
    async with await Store.open(url, node="n") as store:
        usual = [
            reading(f"{day}-{n}", T + day * DAY + 9 * 3600 + n, secret=f"prod/{n % 9}")
            for day in range(10)
            for n in range(36)
        ]
        assert await commit(store, usual) == 0
        known = [reading(f"k{n}", hour + n, "eve", secret=f"prod/{n}", address="192.0.2.1") for n in range(9)]
        hidden = [reading(f"h{n}", hour + 60 + n, "eve", secret=f"hidden/{n}", address="192.0.2.1") for n in range(300)]
        assert await commit(store, known[:2], 1) == 2  # each by itself
        await commit(store, known[2:], 2)
        await commit(store, hidden[:150], 3)
        await commit(store, hidden[150:], 4)
        rules = [one.rule for one in await store.incidents.find()]
        assert sorted(rules) == ["access-breadth", "access-first", "access-first"]
        [one] = [one for one in await store.incidents.find(locations=True) if one.rule == "access-breadth"]
        assert (one.severity, one.confidence, one.masked) == ("high", "high", "eve → many secrets")
        assert one.labels == {"principal": "eve", "address": "192.0.2.1"}
        assert any("different secrets in the hour of 03:00 UTC" in (place.context or "") for place in one.locations)
        assert [one.times for one in await store.access.uses(principal="eve", secrets=["hidden/299"])] == [1]
        again = [reading(f"a{n}", hour + 7200 + n, "eve", secret=f"other/{n}", address="192.0.2.1") for n in range(300)]
        await commit(store, again, 5)  # another hour
        assert sum(one.rule == "access-breadth" for one in await store.incidents.find()) == 2


async def test_the_first_week_of_a_source_knows_nothing_of_breadth(url: str) -> None:
    async with await Store.open(url, node="n") as store:
        for day in range(10):
            some = [reading(f"{day}-{n}", T + day * DAY + n, secret=f"prod/{n}") for n in range(40)]
            assert await commit(store, some, day) == 0
        every = [reading(f"c{n}", T + 10 * DAY + n, "backup", secret=f"cloud/{n}") for n in range(40)]
        assert await store.commit((), (), readings=every, source="cloudtrail") == 0
        await commit(store, [replace(one, id=f"v{one.id}", principal="copy") for one in every], 11)
        assert [one.rule for one in await store.incidents.find()] == ["access-breadth"]


async def test_an_incident_is_told_the_names_of_its_secret_by_what_stands_for_it(url: str) -> None:
    async with await Store.open(url, node="n", secret=b"k") as store:
        hashed, id_ = "hmac-sha256:" + "ab" * 32, "AKIA" + "Q" * 16
        await commit(store, [reading("1", marks=(hashed,)), reading("2", secret="key of ci", marks=(id_,))])
        incident = fold(None, finding("x", 1)).incident
        assert await store.access.names(incident) == []
        assert await store.access.names(incident, [hashed]) == ["prod/db"]
        beside = replace(incident, labels={"access_key_id": id_})
        assert await store.access.names(beside) == ["key of ci"]
        itself = replace(incident, fingerprint=keyed(b"k", id_.encode()))
        assert await store.access.names(itself, [hashed]) == ["key of ci", "prod/db"]
        kept = await store.read(lambda connection: list(connection.execute(select(marks.c.mark)).scalars()))
        assert all(hashed not in mark and id_ not in mark for mark in kept)


async def test_an_incident_that_the_inventory_names_goes_by_that_name(url: str) -> None:
    async with await Store.open(url, node="n") as store:
        await commit(store, [reading("1", secret="secret/app"), reading("2", secret="shop/JWT_SECRET")])
        incident = fold(None, finding("x", 1)).incident
        for labels, names in (
            ({"secret": "secret/app.KEY", "inventory": "bao"}, ["secret/app", "secret/app.KEY"]),
            ({"secret": "JWT_SECRET", "inventory": "env"}, ["JWT_SECRET", "shop/JWT_SECRET"]),
            ({"secret": "prod/db.v2", "principal": "app"}, ["prod/db.v2"]),  # of an audit record itself
        ):
            assert await store.access.names(replace(incident, labels=labels)) == names


async def test_what_a_hostile_name_holds_is_kept(url: str) -> None:
    async with await Store.open(url, node="n") as store:
        await commit(store, [reading("x", principal="a\0\ud800b", secret="\0", agent="\0", names=("\0",))])
        [one] = await store.access.uses()
        assert one.principal == "a\\x00\\ud800b"


async def test_a_failed_transaction_keeps_neither_readings_nor_the_position(url: str) -> None:
    """They are one: what is read again after a crash is new again."""
    async with await Store.open(url, node="n") as store:
        broken = reading("bad", at=float("nan"))
        with pytest.raises(ValueError, match="NaN"):
            await commit(store, [reading("good"), broken], 10)
        rows = (reads, read_ids, habits)
        counts = [
            await store.read(
                lambda connection, table=table: connection.execute(select(func.count()).select_from(table)).scalar()
            )
            for table in rows
        ]
        assert counts == [0, 0, 0]
        assert await store.positions.of("vault") == {}
