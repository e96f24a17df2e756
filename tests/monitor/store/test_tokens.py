from __future__ import annotations

import pytest

from monitor.domain.retention import RetentionConfig
from monitor.store import Store
from monitor.store.users import UserError
from tests.monitor.store.helpers import Clock

DAY = 86_400.0


async def add(store: Store, id_: str, name: str = "deploy", lasts: float = DAY) -> None:
    await store.tokens.add(id_, name, role="responder", scope="act", lasts=lasts, actor="root")


async def test_a_token_stands_until_it_ends_or_is_revoked(store: Store, clock: Clock) -> None:
    tokens = store.tokens
    await add(store, "a")
    known = await tokens.find("a")
    assert known is not None
    assert (known.name, known.role, known.scope, known.ends - known.added) == ("deploy", "responder", "act", DAY)
    assert tokens.due(known)
    await tokens.use("a")
    known = await tokens.find("a")
    assert known is not None
    assert known.seen == clock.now
    assert not tokens.due(known)
    with pytest.raises(UserError, match="already"):
        await add(store, "b")
    assert await tokens.find("b") is None
    clock.now += DAY
    assert await tokens.find("a") is None
    assert [one.id for one in await tokens.list()] == ["a"]
    await add(store, "b")
    assert [one.id for one in await tokens.list()] == ["b"]
    await tokens.revoke("deploy", actor="ana")
    assert await tokens.find("b") is None
    with pytest.raises(LookupError, match="no token 'deploy'"):
        await tokens.revoke("deploy", actor="ana")
    history = [(one.actor, one.action, one.note) for one in await store.users.history()]
    assert history == [
        ("root", "token_added", "deploy, responder, act"),
        ("root", "token_added", "deploy, responder, act"),
        ("ana", "token_revoked", "deploy"),
    ]


async def test_those_that_ended_long_ago_are_forgotten(store: Store, clock: Clock) -> None:
    await add(store, "a")
    await add(store, "b", "report", 40 * DAY)
    clock.now += 32 * DAY
    assert (await store.retention.sweep(RetentionConfig()))["tokens"] == 1
    assert [one.name for one in await store.tokens.list()] == ["report"]
