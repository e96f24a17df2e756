from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor import runbook
from monitor.domain.incidents import TransitionError
from monitor.domain.retention import RetentionConfig as Ages
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.actions import ActionError, UnsealedError
from monitor.store.database import Database
from monitor.store.proof import TrailVerdict
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

SECRET = b"0123456789abcdef"
ONE, TWO = (fingerprint(number)[:16] for number in (0, 1))


async def opened(url: str, clock: Clock, folder: Path, node: str = "one") -> Store:
    procedure = Procedure("high", book=runbook.load)
    policy = Policy(sinks=("chat",))
    heads = folder / node
    heads.mkdir(exist_ok=True)
    store = await Store.open(url, policy, clock=clock, procedure=procedure, secret=SECRET, node=node, folder=heads)
    await store.claim()
    return store


async def fill(store: Store, clock: Clock) -> None:
    await store.commit([finding(number, number, severity="critical") for number in range(4)])
    for number in range(4):
        clock.now += 1
        await store.incidents.transition(fingerprint(number)[:16], "ack", actor="ada", note=f"mine {number}")
    await store.actions.plan(ONE, "revoke", actor="ada", needed=2, parts={"account": "a"})
    await store.actions.plan(TWO, "revoke", actor="ada", needed=1)


@pytest.fixture
async def store(url: str, clock: Clock, tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(url, clock, tmp_path)
    await fill(store, clock)
    yield store
    await store.close()


class Attacker:
    """Writes to the database, and has no key."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def sql(self, *statements: str, **values: Any) -> None:
        with self._database.transaction(durable=True) as connection:
            for statement in statements:
                connection.execute(text(statement), values)

    def rows(self, table: str, incident: str = "", column: str = "incident") -> list[dict[str, Any]]:
        where = f" WHERE {column} = '{incident}'" if incident else ""
        with self._database.reader.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}{where}"))]

    def put(self, table: str, rows: list[dict[str, Any]]) -> None:
        with self._database.transaction(durable=True) as connection:
            for row in rows:
                names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)

    def remove(self, incident: str) -> None:
        about = ("audit", "trails", "actions", "findings", "members", "steps", "runs")
        self.sql(*(f"DELETE FROM {table} WHERE incident = '{incident}'" for table in about))
        self.sql(f"DELETE FROM incidents WHERE id = '{incident}'")

    def take(self, incident: str) -> dict[str, list[dict[str, Any]]]:
        """All that is sealed of an incident."""
        about = {table: self.rows(table, incident) for table in ("audit", "trails", "actions")}
        return {"incidents": self.rows("incidents", incident, "id"), **about}

    def put_back(self, incident: str, taken: dict[str, list[dict[str, Any]]]) -> None:
        self.remove(incident)
        for table, rows in taken.items():
            self.put(table, rows)

    def close(self) -> None:
        self._database.dispose()


@pytest.fixture
def attacker(url: str) -> Any:
    with contextlib.closing(Attacker(url)) as attacker:
        yield attacker


def words(verdict: TrailVerdict, incident: str) -> str:
    return "; ".join(problem for id_, problem in verdict.problems if id_ == incident)


async def test_what_nobody_touched_is_whole(store: Store) -> None:
    verdict = await store.trail.verify()
    assert verdict.problems == ()
    assert (verdict.incidents, verdict.taken, verdict.since, verdict.kept) == (4, 0, NOW, True)


ALTERED = [
    ("severity = 'low'", "its severity is low, by its history critical"),
    ("state = 'resolved', resolution = 'false_positive', resolved_at = 1", "its state is resolved"),
    ("state = 'open'", "by its history acknowledged"),
    ("owner = 'eve'", "changed beside the monitor"),
    ("occurrences = 9", "changed beside the monitor"),
    ("last_seen = last_seen + 1", "changed beside the monitor"),
    ('labels = \'{"drill": "true"}\'', "changed beside the monitor"),
    ("validity = 'refused'", "changed beside the monitor"),
    ("merged = 'x'", "changed beside the monitor"),
]


async def test_a_changed_incident_is_named_and_no_later_change_hides_it(
    store: Store, attacker: Attacker, clock: Clock
) -> None:
    for change, told in ALTERED:
        [before] = attacker.rows("incidents", ONE, "id")
        attacker.sql(f"UPDATE incidents SET {change} WHERE id = '{ONE}'")
        verdict = await store.trail.verify()
        assert [id_ for id_, _ in verdict.problems] == [ONE], change
        assert told in words(verdict, ONE)
        assignments = ", ".join(f"{name} = :{name}" for name in before)
        attacker.sql(f"UPDATE incidents SET {assignments} WHERE id = '{ONE}'", **before)
        assert (await store.trail.verify()).problems == ()
    attacker.sql(f"UPDATE incidents SET severity = 'low' WHERE id = '{ONE}'")
    await store.commit([finding(0, 77, severity="low")])
    await store.incidents.transition(ONE, "resolve", actor="ada", resolution="revoked")
    assert "changed beside the monitor" in words(await store.trail.verify(), ONE)


async def test_an_entry_that_is_cut_off_put_in_or_exchanged_is_named(store: Store, attacker: Attacker) -> None:
    entries = attacker.rows("audit", ONE)
    last = max(row["seq"] for row in entries)
    [row] = [row for row in entries if row["seq"] == last]
    attacker.sql(f"DELETE FROM audit WHERE seq = {last}")
    assert "are gone: 1" in words(await store.trail.verify(), ONE)
    attacker.put("audit", [row])
    assert (await store.trail.verify()).problems == ()
    attacker.put("audit", [row | {"seq": 10_000, "actor": "eve"}])
    assert f"entry {len(entries) + 1} was changed" in words(await store.trail.verify(), ONE)
    attacker.sql("DELETE FROM audit WHERE seq = 10000")
    attacker.sql(
        f"UPDATE audit SET incident = 'x' WHERE incident = '{ONE}'",
        f"UPDATE audit SET incident = '{ONE}' WHERE incident = '{TWO}'",
        f"UPDATE audit SET incident = '{TWO}' WHERE incident = 'x'",
    )
    assert {id_ for id_, _ in (await store.trail.verify()).problems} == {ONE, TWO}


async def test_an_incident_that_is_gone_with_all_its_history_is_named(store: Store, attacker: Attacker) -> None:
    entries = len(attacker.rows("audit", TWO))
    attacker.remove(TWO)
    verdict = await store.trail.verify()
    assert f"it is gone with its history, {entries} entries" in words(verdict, TWO)
    assert "incidents with all that is sealed of them are gone: 1" in words(verdict, "")
    await store.commit([finding(1, 99, severity="critical")])  # it is found again, and as new
    assert "entries missing" in words(await store.trail.verify(), TWO)


async def test_an_incident_that_was_put_in_is_named(store: Store, attacker: Attacker) -> None:
    [row] = attacker.rows("incidents", ONE, "id")
    attacker.put("incidents", [row | {"id": "e" * 16, "fingerprint": "e" * 64}])
    assert "it has no seal" in words(await store.trail.verify(), "e" * 16)
    await store.incidents.transition("e" * 16, "resolve", actor="ada", resolution="revoked")
    assert words(await store.trail.verify(), "e" * 16)
    [end] = attacker.rows("trails", ONE)
    attacker.sql(f"DELETE FROM trails WHERE incident = '{'e' * 16}'")
    attacker.put("trails", [end | {"incident": "e" * 16}])
    assert "its seal was changed" in words(await store.trail.verify(), "e" * 16)


async def test_one_incident_put_back_as_it_was_is_named(store: Store, attacker: Attacker, clock: Clock) -> None:
    before = attacker.take(ONE)
    await store.incidents.transition(ONE, "resolve", actor="ada", resolution="revoked")
    attacker.put_back(ONE, before)
    verdict = await store.trail.verify()
    assert "entries missing" in words(verdict, ONE)
    assert "exchanged for an older one" in words(verdict, "")
    await store.incidents.transition(ONE, "resolve", actor="ada", resolution="false_positive")
    assert "entries missing" in words(await store.trail.verify(), ONE), "what came since covers it up"


async def test_sums_of_two_hosts_that_were_exchanged_or_removed_are_reported(
    store: Store, attacker: Attacker, url: str, clock: Clock, tmp_path: Path
) -> None:
    async with await opened(url, clock, tmp_path, "two") as other:
        await other.commit([finding("elsewhere", severity="critical")])
        assert (await other.trail.verify()).problems == ()
        attacker.sql(
            "UPDATE totals SET node = 'x' WHERE node = 'one'",
            "UPDATE totals SET node = 'one' WHERE node = 'two'",
            "UPDATE totals SET node = 'two' WHERE node = 'x'",
        )
        for one in (store, other):
            assert "the sum of what host one has sealed was changed" in words(await one.trail.verify(), "")
        attacker.sql("DELETE FROM totals")
        for one in (store, other):
            assert words(await one.trail.verify(), "")
    async with await opened(url, clock, tmp_path, "one") as again:  # nothing is taken for a database without seals
        await again.incidents.transition(ONE, "resolve", actor="ada", resolution="revoked")
        assert words(await again.trail.verify(), "")


def approve(row: str) -> tuple[str, ...]:
    return (f"UPDATE actions SET {row} WHERE incident = '{ONE}'",)


APPROVALS = [
    approve("state = 'approved', approvals = '[\"ada\", \"bob\"]'"),
    approve("state = 'approved', needed = 0"),
    approve("state = 'approved', parts = '{\"account\": \"b\"}'"),
    approve("state = 'approved', action = 'rotate'"),
    approve("state = 'approved', node = 'two'"),
]


@pytest.mark.parametrize("change", APPROVALS, ids=str)
async def test_an_action_runs_on_a_sealed_approval_only(
    store: Store, attacker: Attacker, change: tuple[str, ...]
) -> None:
    [run] = await store.actions.find(incident=ONE)
    attacker.sql(*change)
    told = words(await store.trail.verify(), ONE)
    assert run.id in told
    with pytest.raises(UnsealedError, match="not as it was sealed") as refused:
        await store.actions.begin(run.id, "monitor")
    assert run.id in str(refused.value)
    with contextlib.suppress(ActionError):
        await store.actions.approve(run.id, "bob")  # nobody's word makes it good
    with pytest.raises(UnsealedError):
        await store.actions.begin(run.id, "monitor")


async def test_an_action_that_was_put_in_or_put_back_does_not_run(store: Store, attacker: Attacker) -> None:
    [run] = await store.actions.find(incident=TWO)
    await store.actions.approve(run.id, "bob")
    before = attacker.take(TWO)
    [row] = before["actions"]
    attacker.put("actions", [row | {"id": "eeee"}])
    with pytest.raises(UnsealedError):
        await store.actions.begin("eeee", "monitor")
    attacker.sql("DELETE FROM actions WHERE id = 'eeee'")
    await store.actions.begin(run.id, "monitor")
    await store.actions.finish(run.id, "accepted", "gone", actor="monitor")
    attacker.sql("DELETE FROM actions WHERE incident = :id", id=TWO)
    attacker.put("actions", [row])
    with pytest.raises(UnsealedError, match="not as it was sealed"):
        await store.actions.begin(run.id, "monitor")
    attacker.put_back(TWO, before)  # with its history and its seal
    with pytest.raises(UnsealedError, match="older than what this host has written"):
        await store.actions.begin(run.id, "monitor")


@pytest.mark.parametrize(
    "change",
    [
        """before = replace(before, '"severity": "critical"', '"severity": "low"')""",
        "seq = seq + 1",
        f"went = '{ONE}'",
        '"into" = went',
    ],
)
async def test_a_merge_whose_note_was_changed_is_not_taken_back(store: Store, attacker: Attacker, change: str) -> None:
    stays, went = (fingerprint(number)[:16] for number in (2, 3))
    await store.merges.merge(stays, [went], actor="ada")
    assert (await store.trail.verify()).problems == ()
    attacker.sql(f"UPDATE merges SET {change}")
    assert "noted of a merge" in words(await store.trail.verify(), stays)
    if change.startswith(("before", "seq")):
        with pytest.raises(TransitionError, match="changed beside the monitor"):
            await store.incidents.transition(went, "reopen", actor="bob")
    assert (await store.incidents.get(stays)).severity == "critical"


async def test_an_older_database_lacks_entries_and_is_not_called_forged(url: str, clock: Clock, tmp_path: Path) -> None:
    if url.startswith("postgresql"):
        pytest.skip("a copy of the file stands for the copy that lags")
    async with await opened(url, clock, tmp_path) as store:
        await fill(store, clock)
    shutil.copy(url, tmp_path / "older")
    async with await opened(url, clock, tmp_path) as store:
        clock.now += 60
        await store.incidents.transition(ONE, "resolve", actor="ada", resolution="revoked")
        await store.commit([finding("new", severity="critical")])
    shutil.copy(tmp_path / "older", url)
    async with await opened(url, clock, tmp_path) as store:
        verdict = await store.trail.verify()
        told = words(verdict, "")
        assert "incidents missing since 2027-01-15 08:00:04 UTC: the database is older" in told
        assert "entries missing since" in words(verdict, ONE)
        assert "it is gone with its history" in words(verdict, fingerprint("new")[:16])
        assert not any("changed" in problem or "forged" in problem for _, problem in verdict.problems)
        await store.incidents.transition(ONE, "resolve", actor="ada", resolution="revoked")
        await store.commit([finding("new", severity="critical")])
        assert "incidents missing since 2027-01-15 08:00:04 UTC" in words(await store.trail.verify(), "")
        assert await store.trail.accept() == 5
        assert (await store.trail.verify()).problems == ()


async def test_what_was_looked_at_and_accepted_is_whole_and_protected(
    store: Store, attacker: Attacker, url: str, clock: Clock, tmp_path: Path
) -> None:
    attacker.sql(
        f"UPDATE incidents SET severity = 'low' WHERE id = '{ONE}'",
        f"UPDATE audit SET note = 'x' WHERE incident = '{TWO}'",
        f"UPDATE actions SET needed = 1 WHERE incident = '{ONE}'",
        "UPDATE totals SET seal = 'x'",
    )
    attacker.remove(fingerprint(2)[:16])
    clock.now += 10
    assert await store.trail.accept() == 3
    verdict = await store.trail.verify()
    assert (verdict.problems, verdict.taken, verdict.since) == ((), 3, clock.now)
    [run] = await store.actions.find(incident=ONE)
    await store.actions.approve(run.id, "bob")
    await store.actions.begin(run.id, "monitor")
    async with await opened(url, clock, tmp_path, "two") as other:
        await other.commit([finding(0, 5)])
        assert (await other.trail.verify()).problems == ()
    attacker.sql(f"UPDATE incidents SET severity = 'medium' WHERE id = '{ONE}'")
    assert [id_ for id_, _ in (await store.trail.verify()).problems] == [ONE]


Lawful = Callable[[random.Random, Store, Clock], Any]


async def _see(chance: random.Random, store: Store, clock: Clock) -> None:
    some = [chance.randrange(6) for _ in range(chance.randrange(1, 4))]
    severity = chance.choice(["high", "critical"])
    when = clock.now
    await store.commit([finding(one, chance.randrange(10_000), severity=severity, time=when) for one in some])


async def _decide(chance: random.Random, store: Store, clock: Clock) -> None:
    what = chance.choice(["ack", "resolve", "reopen"])
    resolution = "revoked" if what == "resolve" else None
    id_ = fingerprint(chance.randrange(6))[:16]
    await store.incidents.transition(id_, what, actor="ada", resolution=resolution)  # type: ignore[arg-type]


async def _merge(chance: random.Random, store: Store, clock: Clock) -> None:
    one, two = chance.sample(range(6), 2)
    await store.merges.merge(fingerprint(one)[:16], [fingerprint(two)[:16]], actor="ada")


async def _act(chance: random.Random, store: Store, clock: Clock) -> None:
    id_ = fingerprint(chance.randrange(6))[:16]
    run = await store.actions.plan(id_, "revoke", actor="ada", needed=1)
    await store.actions.approve(run.id, "bob")
    await store.actions.begin(run.id, "ada")
    await store.actions.step([run.id], 1)
    if chance.random() < 0.3:
        await store.actions.put_back(run.id, "later")
    else:
        await store.actions.finish(run.id, chance.choice(["accepted", "failed", "unknown"]), "so", actor="ada")
        await store.actions.complete(id_, "refused: it is gone")


async def _sweep(chance: random.Random, store: Store, clock: Clock) -> None:
    await deliver(store)
    clock.now += chance.choice([1, 400, 1200]) * 86_400
    await store.retention.sweep(Ages())


LAWFUL: list[Lawful] = [_see, _see, _see, _decide, _decide, _merge, _act, _act, _sweep]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_lawful_is_reported(url: str, clock: Clock, tmp_path: Path, seed: int) -> None:
    """Two hosts by turns; one of them loses what it noted beside the database after a commit, as with a kill."""
    chance = random.Random(seed)
    done = 0
    async with await opened(url, clock, tmp_path, "one") as one, await opened(url, clock, tmp_path, "two") as two:
        for _ in range(25):
            store = chance.choice([one, two])
            heads = store.heads
            assert heads is not None
            note = heads.note
            if chance.random() < 0.2:
                heads.note = lambda *_, **__: None  # type: ignore[method-assign]
            with contextlib.suppress(LookupError, TransitionError, ActionError):
                await chance.choice(LAWFUL)(chance, store, clock)
                done += 1
            heads.note = note  # type: ignore[method-assign]
            clock.now += 1
        for store in (one, two):
            assert (await store.trail.verify()).problems == ()
    assert done > 10
