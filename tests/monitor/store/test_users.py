from __future__ import annotations

import pytest
from sqlalchemy import text

from monitor.store import Store
from monitor.store.database import Database
from monitor.store.users import UserError
from tests.monitor.store.helpers import Clock, finding


async def test_users_are_added_changed_and_each_change_is_in_the_trail(store: Store, clock: Clock) -> None:
    await store.users.add("ana", "hash", "viewer", actor="root")
    with pytest.raises(UserError, match="already"):
        await store.users.add("ana", "other", "admin", actor="root")
    assert await store.users.set_role("ana", "responder", actor="eve")
    assert not await store.users.set_role("ana", "responder", actor="eve")
    await store.users.set_password("ana", "fresh", actor="ana")
    assert await store.users.disable("ana", actor="eve")
    assert not await store.users.disable("ana", actor="eve")
    assert await store.users.enable("ana", actor="eve")
    assert not await store.users.enable("ana", actor="eve")
    [ana] = await store.users.list()
    assert ana == await store.users.find("ana")
    assert (ana.name, ana.role, ana.disabled, ana.password, ana.seen) == ("ana", "responder", False, "fresh", None)
    assert "fresh" not in repr(ana)
    assert [(one.action, one.actor, one.note) for one in await store.users.history()] == [
        ("user_added", "root", "ana, viewer"),
        ("user_role", "eve", "ana, responder"),
        ("user_password", "ana", "ana"),
        ("user_disabled", "eve", "ana"),
        ("user_enabled", "eve", "ana"),
    ]


async def test_who_is_nobody_is_not_changed(store: Store) -> None:
    users = store.users
    assert await users.find("bob") is None
    for work in (
        users.set_role("bob", "admin", actor="x"),
        users.set_password("bob", "hash", actor="x"),
        users.disable("bob", actor="x"),
        users.enable("bob", actor="x"),
    ):
        with pytest.raises(LookupError, match="no user 'bob'"):
            await work
    assert await users.history() == []


async def test_a_hash_is_renewed_unless_the_password_was_changed_since(store: Store) -> None:
    await store.users.add("ana", "old", "viewer", actor="root")
    await store.users.renew("ana", "other", "new")
    assert (await store.users.list())[0].password == "old"
    await store.users.renew("ana", "old", "new")
    assert (await store.users.list())[0].password == "new"
    assert len(await store.users.history()) == 1


async def test_the_chain_of_users_is_sealed_and_is_no_incident(store: Store, url: str) -> None:
    await store.commit([finding("a")])
    await store.users.add("ana", "hash", "viewer", actor="root")
    await store.users.set_role("ana", "admin", actor="root")
    verdict = await store.trail.verify()
    assert (verdict.problems, verdict.incidents, verdict.entries) == ((), 1, 3)
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(text("UPDATE audit SET note = 'ana, viewer' WHERE action = 'user_role'"))
    database.dispose()
    [(where, what)] = (await store.trail.verify()).problems
    assert where == "accounts"
    assert "entry 2 was changed" in what
    await store.trail.accept()
    assert (await store.trail.verify()).problems == ()
    await store.users.disable("ana", actor="root")
    assert (await store.trail.verify()).problems == ()
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(text("DELETE FROM audit WHERE incident = 'accounts'"))
        connection.execute(text("DELETE FROM trails WHERE incident = 'accounts'"))
    database.dispose()
    assert (await store.trail.verify()).problems
