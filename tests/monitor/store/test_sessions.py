from __future__ import annotations

from sqlalchemy import text

from monitor.domain.retention import RetentionConfig
from monitor.store import Store
from monitor.store.database import Database
from tests.monitor.store.helpers import Clock

HOUR = 3600.0


async def test_a_session_stands_until_it_is_idle_old_or_ended(store: Store, clock: Clock) -> None:
    sessions = store.sessions
    await store.users.add("ana", "hash", "responder", actor="root")
    assert await sessions.begin("a", "ana", "password", 3 * HOUR, password="hash", address="192.0.2.1", agent="curl")
    mine = await sessions.find("a", HOUR)
    assert mine is not None
    assert (mine.user, mine.role, mine.address, mine.agent) == ("ana", "responder", "192.0.2.1", "curl")
    assert mine.ends - mine.began == 3 * HOUR
    assert not sessions.due(mine)
    clock.now += HOUR - 1
    assert sessions.due(mine)
    await sessions.use("a")
    clock.now += HOUR - 1
    assert await sessions.find("a", HOUR) is not None
    clock.now += 2
    assert await sessions.find("a", HOUR) is None
    assert await sessions.of("ana", "password", HOUR) == []
    await sessions.use("a")
    clock.now += HOUR
    assert await sessions.find("a", 9 * HOUR) is None
    [ana] = await store.users.list()
    assert ana.seen == mine.began


async def test_it_begins_for_who_may_sign_in_with_the_password_that_was_checked(store: Store) -> None:
    begin = store.sessions.begin
    await store.users.add("ana", "hash", "viewer", actor="root")
    assert not await begin("a", "bob", "password", HOUR, password="hash")
    assert not await begin("a", "ana", "password", HOUR, password="changed since")
    await store.users.disable("ana", actor="root")
    assert not await begin("a", "ana", "password", HOUR, password="hash")
    assert await store.sessions.find("a", HOUR) is None


async def test_a_change_of_password_or_role_and_a_disabled_user_end_them(store: Store) -> None:
    sessions, users = store.sessions, store.users
    await users.add("ana", "hash", "viewer", actor="root")

    async def begin(*ids: str) -> None:
        for id_ in ids:
            assert await sessions.begin(id_, "ana", "password", HOUR, password=(await users.list())[0].password)

    async def stand() -> set[str]:
        return {one.id for one in await sessions.of("ana", "password", HOUR)}

    await begin("a", "b")
    await users.set_password("ana", "fresh", actor="ana", keep="b")
    assert await stand() == {"b"}
    await users.set_role("ana", "admin", actor="root")
    assert await stand() == set()
    await begin("c")
    await users.disable("ana", actor="root")
    assert await sessions.find("c", HOUR) is None
    await users.enable("ana", actor="root")
    assert await sessions.find("c", HOUR) is None


async def test_where_somebody_disables_a_user_beside_us_their_session_is_worth_nothing(store: Store, url: str) -> None:
    await store.users.add("ana", "hash", "viewer", actor="root")
    await store.sessions.begin("a", "ana", "password", HOUR, password="hash")
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(text("UPDATE users SET disabled = 1"))
    database.dispose()
    assert await store.sessions.find("a", HOUR) is None
    assert await store.sessions.of("ana", "password", HOUR) == []


async def test_one_takes_the_place_of_another_and_is_exchanged_and_ended(store: Store) -> None:
    sessions = store.sessions
    await sessions.begin("a", "ada@example.org", "openid", HOUR, role="admin")
    await sessions.begin("b", "ada@example.org", "openid", HOUR, role="admin", before="a")
    assert await sessions.find("a", HOUR) is None
    await sessions.rotate("b", "c")
    known = await sessions.find("c", HOUR)
    assert known is not None
    assert (known.way, known.role) == ("openid", "admin")
    await sessions.end("c")
    assert await sessions.find("c", HOUR) is None


async def test_revoked_by_name_and_noted(store: Store) -> None:
    sessions = store.sessions
    for id_ in "abc":
        await sessions.begin(id_, "ada", "openid", HOUR, role="viewer")
    await sessions.begin("d", "bob", "openid", HOUR, role="viewer")
    assert await sessions.revoke("ada", "openid", actor="ada", only="d") == 0
    assert await sessions.revoke("ada", "openid", actor="ada", only="a") == 1
    assert await sessions.revoke("ada", "openid", actor="root", keep="b") == 1
    assert [one.id for one in await sessions.of("ada", "openid", HOUR)] == ["b"]
    assert await sessions.find("d", HOUR) is not None
    assert await sessions.sign_out("eve", actor="root") == 0
    assert await sessions.sign_out("bob", actor="root") == 1
    assert await sessions.find("d", HOUR) is None
    notes = [(one.actor, one.note) for one in await store.users.history() if one.action == "sessions_ended"]
    assert notes == [("ada", "ada: 1"), ("root", "ada: 1"), ("root", "bob: 1")]


async def test_one_user_has_twenty_and_what_ended_is_forgotten(store: Store, clock: Clock) -> None:
    sessions = store.sessions
    for number in range(22):
        await sessions.begin(f"{number:02}", "ada", "openid", HOUR, role="viewer")
        clock.now += 1
    stand = await sessions.of("ada", "openid", HOUR)
    assert (len(stand), stand[-1].id) == (20, "02")
    clock.now += 2 * HOUR
    assert (await store.retention.sweep(RetentionConfig()))["sessions"] == 20
