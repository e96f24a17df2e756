"""What is missing all at once is in doubt, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.store import Store
from monitor.store.inventory import SecretVersion
from tests.monitor.store.helpers import NOW, Clock, fingerprint
from tests.monitor.store.test_inventory import kept

HOUR = 3600.0


def many(count: int, *, without: int = 0) -> list[SecretVersion]:
    return [kept(f"S{number}", f"{number}") for number in range(without, count)]


async def gone(store: Store) -> int:
    return sum(one.gone_at is not None for one in await store.inventory.secrets())


@pytest.mark.parametrize("missing", [52, 6])
async def test_what_is_missing_all_at_once_is_retired_when_it_still_is_later(
    url: str, clock: Clock, missing: int
) -> None:
    left = many(52, without=missing)
    async with await Store.open(url, clock=clock) as store:
        await store.inventory.save("e", many(52), whole=True)
        for later in (10.0, HOUR - 10):
            clock.now = NOW + later
            told = await store.inventory.save("e", left, whole=True)
            assert (told.gone, await gone(store)) == (0, 0)
            assert "S0, " in told.doubt
            assert "`monitor inventory sync e --accept-removals`" in told.doubt
            [owned] = (await store.inventory.owners([fingerprint("0")]))[fingerprint("0")]
            assert owned.standing == "current"
            sync = (await store.inventory.syncs())["e"]
            assert (sync.error, sync.whole_at, sync.held) == (told.doubt, NOW, 52)
        clock.now = NOW + 11 + HOUR
        told = await store.inventory.save("e", left, whole=True)
        assert (told.gone, told.doubt) == (missing, "")
        assert (await store.inventory.syncs())["e"].error == ""


async def test_what_came_back_meanwhile_was_never_missing(url: str, clock: Clock) -> None:
    async with await Store.open(url, clock=clock) as store:
        await store.inventory.save("e", many(52), whole=True)
        assert (await store.inventory.save("e", [], whole=True)).doubt
        clock.now += HOUR / 2
        assert (await store.inventory.save("e", many(52), whole=True)).doubt == ""
        clock.now += HOUR
        assert (await store.inventory.save("e", [], whole=True)).doubt
        assert await gone(store) == 0
        told = await store.inventory.save("e", [], whole=True, accept=True)
        assert (told.gone, told.doubt) == (52, "")


async def test_a_few_may_go_at_any_time_and_what_has_another_name_is_not_missing(url: str) -> None:
    async with await Store.open(url) as store:
        await store.inventory.save("e", many(52), whole=True)
        assert (await store.inventory.save("e", many(52, without=5), whole=True)).gone == 5
        renamed = [replace(one, name=f"team/{one.name}") for one in many(52, without=5)]
        told = await store.inventory.save("e", renamed, whole=True)
        assert (told.added, told.gone, told.doubt) == (47, 47, "")
        await store.inventory.save("two", [kept("A", "a"), kept("B", "b"), kept("C", "c")], whole=True)
        assert (await store.inventory.save("two", [kept("A", "a")], whole=True)).gone == 2
        assert (await store.inventory.save("two", [], whole=True)).doubt, "an empty list is none that anybody wrote"
