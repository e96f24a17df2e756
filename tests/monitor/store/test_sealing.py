from __future__ import annotations

import pytest
from sqlalchemy import select, text

from monitor.domain.incidents import TransitionError
from monitor.store import Store
from monitor.store.schema import totals, trails
from monitor.store.sealing import Total, touch
from monitor.store.transaction import Transaction
from tests.monitor.store.helpers import OLDEST_SECRET, Clock, finding, fingerprint, oldest

ONE = fingerprint(1)[:16]


async def total(store: Store) -> Total:
    return await store.read(lambda connection: Total.read(store.secret, connection.execute(select(totals)).one()))


async def turn(store: Store, id_: str = ONE) -> int:
    query = select(trails.c.turn).where(trails.c.incident == id_)
    return await store.read(lambda connection: connection.execute(query).scalar_one())


async def test_a_transaction_seals_what_it_touched_once(store: Store) -> None:
    await store.commit([finding(1, number) for number in range(5)] + [finding(2)])
    assert ((await total(store)).turn, (await total(store)).incidents, await turn(store)) == (2, 2, 1)
    await store.commit([finding(1, 9)])
    assert (await turn(store), await turn(store, fingerprint(2)[:16])) == (2, 1)
    await store.write(lambda tx: touch(tx, [ONE]))
    assert (await turn(store), (await total(store)).turn) == (2, 3), "nothing changed"


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


async def test_a_merge_that_no_seal_names_yet_is_whole_and_is_named_from_the_next_change_on(
    empty_url: str, clock: Clock
) -> None:
    oldest(empty_url)
    stays, went = "0e226967179106e0", "2ed615acde694cf8"
    async with await Store.open(empty_url, clock=clock, secret=OLDEST_SECRET) as store:
        assert (await store.trail.verify()).problems == ()
        await store.write(lambda tx: touch(tx, [stays]), durable=True)
        assert (await store.trail.verify()).problems == ()
        await store.write(lambda tx: tx.connection.execute(text("UPDATE merges SET seq = seq + 1")), durable=True)
        assert [id_ for id_, _ in (await store.trail.verify()).problems] == [stays]
        with pytest.raises(TransitionError, match="changed beside"):
            await store.incidents.transition(went, "reopen", actor="ada")
