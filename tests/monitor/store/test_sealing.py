from __future__ import annotations

from sqlalchemy import select, text

from monitor.store import Store
from monitor.store.schema import totals, trails
from monitor.store.sealing import Total, touch
from monitor.store.transaction import Transaction
from tests.monitor.store.helpers import finding, fingerprint

ONE = fingerprint(1)[:16]


async def total(store: Store) -> Total:
    return await store.read(lambda connection: Total.read(store.secret, connection.execute(select(totals)).one()))


async def turn(store: Store, id_: str = ONE) -> int:
    query = select(trails.c.turn).where(trails.c.incident == id_)
    return await store.read(lambda connection: connection.execute(query).scalar_one())


async def test_a_transaction_seals_what_it_touched_once(store: Store) -> None:
    await store.commit([finding(1, number) for number in range(5)] + [finding(2)])
    assert ((await total(store)).turn, (await total(store)).incidents, await turn(store)) == (1, 2, 1)
    await store.commit([finding(1, 9)])
    assert (await turn(store), await turn(store, fingerprint(2)[:16])) == (2, 1)
    await store.write(lambda tx: touch(tx, [ONE]))
    assert (await turn(store), (await total(store)).turn) == (2, 2), "nothing changed"


async def test_what_failed_and_was_taken_back_is_sealed_as_it_was(store: Store) -> None:
    await store.commit([finding(1)])

    def fails(tx: Transaction) -> None:
        touch(tx, [ONE])
        tx.connection.execute(text("UPDATE incidents SET severity = 'low'"))
        raise LookupError

    failed = store.submit(fails, durable=True)
    await store.incidents.transition(ONE, "ack", actor="ada")
    assert isinstance(failed.exception(), LookupError)
    assert (await store.trail.verify()).problems == ()


async def test_the_sum_under_its_mask_says_nothing(store: Store) -> None:
    """Two states of one set look as unlike as any two: who compares them gets no part to combine."""
    await store.commit([finding(1)])
    query = select(totals.c.sum, totals.c.nonce)
    [(one, nonce)] = await store.read(lambda connection: list(connection.execute(query)))
    before = (await total(store)).sum
    await store.write(lambda tx: tx.total.write(tx))  # type: ignore[attr-defined]
    [(other, another)] = await store.read(lambda connection: list(connection.execute(query)))
    assert (await total(store)).sum == before
    assert (one, nonce) != (other, another)
