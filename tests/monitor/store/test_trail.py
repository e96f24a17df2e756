from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from monitor import runbook
from monitor.domain.retention import RetentionConfig as Ages
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.database import Database
from monitor.store.proof import examine
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

SECRET = b"0123456789abcdef"


async def opened(url: str, clock: Clock, secret: bytes = SECRET) -> Store:
    procedure = Procedure("high", book=runbook.load)
    return await Store.open(url, Policy(sinks=("chat",)), clock=clock, procedure=procedure, secret=secret)


async def fill(store: Store, clock: Clock) -> None:
    """Five incidents with runs, and what people did."""
    await store.commit([finding(number, number, severity="critical") for number in range(5)])
    for number in range(5):
        id_ = fingerprint(number)[:16]
        clock.now += 1.25
        await store.incidents.transition(id_, "ack", actor="ada", note=f"mine {number}")
        await store.runs.act(id_, "revoke", "claim", actor="ada")
        await store.runs.act(id_, "revoke", "done", actor="bob", note="inactive")
    await store.incidents.transition(fingerprint(1)[:16], "resolve", actor="ada", resolution="revoked", note="ümlaut…")


async def test_what_nobody_touched_is_whole(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        assert (await store.trail.verify()).problems == ()
        await fill(store, clock)
        verdict = await store.trail.verify()
        assert verdict.problems == ()
        assert verdict.incidents == 5
        assert verdict.entries >= 5 * 5
        history = await store.incidents.history(fingerprint(1)[:16])
        assert [entry.action for entry in history] == [
            *("opened", "run_started", "acknowledged", "step_claimed", "step_done", "resolved"),
        ]
        assert history[4].step == "revoke"
        assert history[4].note == "inactive"


Edit = Callable[[random.Random, Connection, list[Any]], str]


def _edit_value(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    row = chance.choice(rows)
    column = chance.choice(
        ["at", "actor", "incident", "action", "was", "state", "resolution", "severity", "note", "step", "mac"]
    )
    value: Any = row.at + chance.choice([-1, 0.001, 3600]) if column == "at" else f"{getattr(row, column) or ''}x"
    connection.execute(text(f"UPDATE audit SET {column} = :v WHERE seq = :s"), {"v": value, "s": row.seq})
    return f"{column} of {row.seq}"


def _delete(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    row = chance.choice(rows)
    connection.execute(text("DELETE FROM audit WHERE seq = :s"), {"s": row.seq})
    return f"delete {row.seq}"


def _delete_tail(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    """Also with what is stored about its end set back."""
    id_ = chance.choice(rows).incident
    own = [row for row in rows if row.incident == id_]
    keep = chance.randrange(0, len(own))
    for row in own[keep:]:
        connection.execute(text("DELETE FROM audit WHERE seq = :s"), {"s": row.seq})
    if chance.random() < 0.5:
        mac = own[keep - 1].mac if keep else own[0].mac
        connection.execute(
            text("UPDATE trails SET entries = :n, mac = :m WHERE incident = :i"), {"n": keep, "m": mac, "i": id_}
        )
    return f"cut {id_} to {keep}"


def _delete_whole(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    id_ = chance.choice(rows).incident
    for table in ("audit", "trails"):
        connection.execute(text(f"DELETE FROM {table} WHERE incident = :i"), {"i": id_})
    return f"whole {id_}"


def _swap(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    id_ = chance.choice(rows).incident
    first, second = chance.sample([row for row in rows if row.incident == id_], 2)
    for seq, target in ((first.seq, -1), (second.seq, first.seq), (-1, second.seq)):
        connection.execute(text("UPDATE audit SET seq = :t WHERE seq = :s"), {"t": target, "s": seq})
    return f"swap {first.seq} {second.seq}"


def _insert(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    """A copy of a row with everything that is stored of it, put at the end, or in a chain's middle."""
    row = chance.choice(rows)
    names = "at, actor, incident, action, was, state, resolution, severity, note, step, mac"
    last = connection.execute(text("SELECT max(seq) FROM audit")).scalar_one()
    connection.execute(
        text(f"INSERT INTO audit (seq, {names}) SELECT :n, {names} FROM audit WHERE seq = :s"),
        {"n": last + 1, "s": row.seq},
    )
    return f"copy of {row.seq}"


def _unchain(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    """Its hashes, and perhaps its end as well."""
    id_ = chance.choice(rows).incident
    connection.execute(text("UPDATE audit SET mac = NULL WHERE incident = :i"), {"i": id_})
    if chance.random() < 0.5:
        connection.execute(text("DELETE FROM trails WHERE incident = :i"), {"i": id_})
    return f"unchain {id_}"


def _sum(chance: random.Random, connection: Connection, rows: list[Any]) -> str:
    value = chance.choice(["0" * 64, "zz", f"{chance.getrandbits(256):064x}"])
    connection.execute(text("UPDATE totals SET sum = :v"), {"v": value})
    return f"sum {value[:4]}"


EDITS: list[Edit] = [
    *(_edit_value, _edit_value, _edit_value, _delete, _delete_tail, _delete_whole),
    *(_swap, _insert, _unchain, _sum),
]


async def test_each_of_200_random_edits_is_found(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await fill(store, clock)
    database = Database(url)
    chance = random.Random(11)
    missed = []
    try:
        with database.writer.connect() as connection:
            rows = list(connection.execute(text("SELECT * FROM audit ORDER BY seq")))
            connection.rollback()
            assert examine(connection, SECRET, None).problems == ()
            connection.rollback()
            for number in range(200):
                edit = EDITS[number % len(EDITS)]
                what = edit(chance, connection, rows)
                if not examine(connection, SECRET, None).problems:
                    missed.append(what)
                connection.rollback()
            assert examine(connection, SECRET, None).problems == (), "each was taken back"
    finally:
        database.dispose()
    assert missed == []


async def test_another_key_and_a_forged_chain_are_found(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await fill(store, clock)
    async with await opened(url, clock, b"fedcba9876543210") as store:
        assert len((await store.trail.verify()).problems) >= 5


async def test_what_is_forgotten_leaves_no_trace_that_looks_like_a_theft(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await fill(store, clock)
        await deliver(store)
        clock.now += 400 * 86_400
        await store.retention.sweep(Ages())
        verdict = await store.trail.verify()
        assert verdict.problems == ()
        assert verdict.incidents == 5
        await store.commit([finding(1, 99, severity="critical", time=NOW + 401 * 86_400)])
        assert (await store.trail.verify()).problems == ()
        assert [entry.action for entry in await store.incidents.history(fingerprint(1)[:16])][:1] == ["reopened"]


def _entries(connection: Connection, incident: str) -> list[Any]:
    return list(
        connection.execute(text("SELECT seq, note FROM audit WHERE incident = :id ORDER BY seq"), {"id": incident})
    )


async def test_a_page_of_it_goes_on_from_a_place(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await fill(store, clock)
        total, first = await store.trail.page(limit=4)
        assert [row.seq for row in first] == sorted((row.seq for row in first), reverse=True)
        seen, after = len(first), str(first[-1].seq)
        while rows := (await store.trail.page(limit=4, after=after))[1]:
            seen, after = seen + len(rows), str(rows[-1].seq)
        assert seen == total
        count, mine = await store.trail.page(actor="ada", incident=fingerprint(1)[:16])
        assert count == len(mine) == 3
        assert {row.entry.actor for row in mine} == {"ada"}
        with pytest.raises(ValueError, match="no place"):
            await store.trail.page(after="x")
