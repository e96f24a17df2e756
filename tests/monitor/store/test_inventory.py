"""The inventory over many syncs: what is new, what changed, what went, and what was not read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.inventory import Print, SecretVersion
from tests.monitor.store.helpers import NOW, Clock, fingerprint


def kept(name: str, value: str = "", **changes: object) -> SecretVersion:
    prints = (Print(fingerprint(value), "", 40, "hex"),) if value else ()
    made = SecretVersion(
        name, fingerprint(value) if value else "", environment="production", owner="ops", prints=prints
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def standings(store: Store, name: str) -> list[tuple[str, str]]:
    secret = await store.inventory.get(name)
    return [(one.mark[:6], one.standing) for one in secret.versions]


async def test_a_changed_value_leaves_the_one_before_and_a_lost_secret_is_retired(url: str, clock: Clock) -> None:
    one, two, three = (fingerprint(value)[:6] for value in "123")
    async with await Store.open(url, clock=clock) as store:
        inventory = store.inventory
        told = await inventory.save("e", [kept("A", "1"), kept("B", "9")], whole=True)
        assert (told.added, told.changed, told.gone, told.held) == (2, 0, 0, 2)
        told = await inventory.save("e", [kept("A", "1"), kept("B", "9")], whole=True)
        assert (told.added, told.changed, told.gone) == (0, 0, 0)
        clock.now = NOW + 10
        told = await inventory.save("e", [kept("A", "2"), kept("B", "9")], whole=True)
        assert told.names == {"added": [], "changed": ["A"], "returned": [], "gone": []}
        assert await standings(store, "A") == [(two, "current"), (one, "previous")]
        assert (await inventory.get("A")).changed_at == NOW + 10
        told = await inventory.save("e", [kept("A", "2"), kept("B", "9")], whole=True)
        assert await standings(store, "A") == [(two, "current"), (one, "previous")], "however often it is read"
        clock.now = NOW + 20
        told = await inventory.save("e", [kept("A", "3")], whole=True)
        assert told.names == {"added": [], "changed": ["A"], "returned": [], "gone": ["B"]}
        assert await standings(store, "A") == [(three, "current"), (two, "previous"), (one, "retired")]
        await inventory.save("sole", [kept("C", "1", sole=True)], whole=True)
        await inventory.save("sole", [kept("C", "2", sole=True)], whole=True)
        assert await standings(store, "C") == [(two, "current"), (one, "retired")]
        await inventory.save("v", [kept("D", "1", version="1")], whole=True)
        for _ in range(2):  # one that counts versions gives the first no more
            await inventory.save("v", [kept("D", "2", version="2")], whole=True)
        assert await standings(store, "D") == [(two, "current"), (one, "retired")]
        gone = await inventory.get("B")
        assert (gone.gone_at, gone.current) == (NOW + 20, None)
        assert [owned.standing for owned in (await inventory.owners([fingerprint("9")]))[fingerprint("9")]] == [
            "retired"
        ]
        told = await inventory.save("e", [kept("A", "3"), kept("B", "9")], whole=True)
        assert (told.names["changed"], told.returned) == (["B"], 0)
        assert (await inventory.get("e/B")).gone_at is None


async def test_what_was_not_read_stays_as_it_was(url: str) -> None:
    async with await Store.open(url) as store:
        await store.inventory.save("e", [kept("A", "1"), kept("B", "2")], whole=True)
        await store.inventory.save("f", [kept("A", "3")], whole=True)
        told = await store.inventory.save("e", [kept("B", "4")], whole=False, error="it is down")
        assert (told.changed, told.gone) == (1, 0)
        await store.inventory.save("f", (), whole=False, error="it is down")
        assert (await store.inventory.get("e/A")).gone_at is None
        syncs = await store.inventory.syncs()
        assert [(one.held, one.error, one.whole_at is not None) for one in syncs.values()] == [
            (2, "it is down", True), (1, "it is down", True),
        ]  # fmt: skip
        with pytest.raises(LookupError, match="say ENTRY/A"):
            await store.inventory.get("A")


async def test_of_a_secret_that_was_read_in_part_no_version_is_lost(url: str) -> None:
    one, two, three = (fingerprint(value)[:6] for value in "123")
    async with await Store.open(url, Policy(sinks=("chat",))) as store:
        await store.inventory.save("e", [kept("A", "1", standing="previous"), kept("A", "2")], whole=True)
        told = await store.inventory.save("e", [kept("A", "1", standing="previous")], whole=False, error="it is down")
        assert told.changed == 0
        assert set(await standings(store, "A")) == {(two, "current"), (one, "previous")}
        await store.inventory.save("e", [kept("A", "3")], whole=False, error="it is down")
        assert set(await standings(store, "A")) == {(three, "current"), (two, "previous"), (one, "previous")}
        told = await store.inventory.save("e", [kept("A", "2", standing="previous"), kept("A", "3")], whole=True)
        assert (told.changed, told.returned) == (0, 0)
        assert set(await standings(store, "A")) == {(three, "current"), (two, "previous"), (one, "retired")}
        assert await store.outbox.list() == []


async def test_a_value_that_may_not_be_read_any_more_is_still_the_one_in_use(url: str) -> None:
    one, two = (fingerprint(value)[:6] for value in "12")
    async with await Store.open(url, Policy(sinks=("chat",))) as store:
        first = [kept("A", "1"), kept("B", "2", version="v7"), kept("C", "3", version="v1")]
        await store.inventory.save("e", first, whole=True)
        denied = [kept("A", unread=True), kept("B", unread=True, version="v7", mark="version v7")]
        changed = kept("C", unread=True, version="v2", mark="version v2")
        told = await store.inventory.save("e", [*denied, changed], whole=True)
        assert told.names["changed"] == ["C"]
        assert (await standings(store, "A"), await standings(store, "B")) == ([(one, "current")], [(two, "current")])
        assert (await store.inventory.get("A")).unread
        told = await store.inventory.save("e", [*first[:2], changed], whole=True)
        assert (told.changed, told.returned) == (0, 0)
        assert await store.outbox.list() == []


async def test_what_was_read_out_of_one_that_is_refused_now_stays_as_it_was(url: str) -> None:
    async with await Store.open(url) as store:
        known = [kept("v/db.one", "1"), kept("v/db.two.x", "2"), kept("v/dbs.one", "3"), kept("v/other.one", "4")]
        await store.inventory.save("e", known, whole=True)
        await store.inventory.save("f", [kept("v/db.one", "5")], whole=True)
        told = await store.inventory.save("e", [kept("v/db", unread=True), kept("v/other", "6")], whole=True)
        assert (told.names["added"], sorted(told.names["gone"])) == (["v/db", "v/other"], ["v/dbs.one", "v/other.one"])
        assert await standings(store, "e/v/db.one") == [(fingerprint("1")[:6], "current")]
        told = await store.inventory.save("e", [kept("v/db.one", "1")], whole=True)
        assert sorted(told.names["gone"]) == ["v/db", "v/db.two.x", "v/other"]


async def test_duplicates_refused_and_unread_ones_have_their_place(url: str) -> None:
    async with await Store.open(url) as store:
        found = [
            kept("A", "1"), kept("A", "2"), kept("A", "1", standing="previous"),
            kept("S", refused="empty"), kept("W", unread=True, mark="digest 1", digest="1"),
        ]  # fmt: skip
        told = await store.inventory.save("e", found, whole=True)
        assert (told.held, told.refused) == (3, 1)
        assert {standing for _, standing in await standings(store, "A")} == {"current"}
        assert (await store.inventory.get("S")).refused == "empty"
        assert (await store.inventory.get("W")).unread
        told = await store.inventory.save("e", [kept("W", unread=True, mark="digest 2", digest="2")], whole=False)
        assert told.names["changed"] == ["W"]


async def test_thousands_are_saved_and_forgotten(url: str) -> None:
    async with await Store.open(url) as store:
        many = [kept(f"S{number}", str(number)) for number in range(1200)]
        assert (await store.inventory.save("e", many, whole=True)).added == 1200
        assert len(await store.inventory.secrets(entry="e", environment="production")) == 1200
        assert len(await store.inventory.owners()) == 1200
        assert await store.inventory.forget(entry="e", name="S7") == 1
        assert await store.inventory.forget(entry="e") == 1199
        assert await store.inventory.owners() == {}
        assert await store.inventory.syncs() == {}


async def test_an_earlier_value_that_is_in_use_again_is_told(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.inventory.save("e", [kept("A", "1"), kept("B", "9")], whole=True)
        await store.inventory.save("e", [kept("A", "2"), kept("B", "9")], whole=True)
        told = await store.inventory.save("e", [kept("A", "1"), kept("B", "9")], whole=True)
        assert (told.changed, told.returned, told.names["returned"]) == (1, 1, ["A"])
        assert (await store.inventory.get("A")).current == (await store.inventory.get("A")).versions[1]
        told = await store.inventory.save("e", [kept("A", "1"), kept("B", "9")], whole=True)
        assert (told.changed, told.returned) == (0, 0)
        [notice] = await store.outbox.list()
        assert notice.title == "1 secret of e: an earlier value is in use again"
