from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.common.inbound import InboundRequest
from monitor.domain.incidents import Incident
from monitor.store import Store
from tests.monitor.store.helpers import finding, fingerprint


def asked(verb: str = "ack", detail: str = "", number: str = "n_1%") -> InboundRequest:
    return InboundRequest(number, "console", verb, "ada", detail=detail, note="flood")  # type: ignore[arg-type]


def nothing(_incident: Incident, _name: str) -> None:
    return None


async def opened(store: Store, count: int) -> Sequence[str]:
    await store.commit([finding(n) for n in range(count)])
    return await store.incidents.ids(limit=count)


async def do(store: Store) -> None:
    while await store.requests.apply(nothing):
        pass


async def test_each_is_done_once_however_often_it_is_asked_for(store: Store) -> None:
    ids = await opened(store, 120)
    assert await store.bulk.keep(asked(), ids)
    assert not await store.bulk.keep(asked(), ids)
    assert not await store.bulk.keep(asked(), ids[:3])
    before = await store.bulk.progress("n_1%", "ada")
    assert (before.total, before.done, before.left) == (120, 0, 120)
    await store.requests.apply(nothing)  # as if it was killed here
    halfway = await store.bulk.progress("n_1%", "ada")
    assert 0 < halfway.done < 120
    assert halfway.done + halfway.left == 120
    await do(store)
    assert await store.incidents.count(states=["acknowledged"]) == 120
    for id_ in ids:
        history = await store.incidents.history(id_)
        assert [(entry.actor, entry.note) for entry in history if entry.action == "acknowledged"] == [("ada", "flood")]


async def test_what_others_have_done_is_told_apart_from_what_is_refused(store: Store) -> None:
    ids = await opened(store, 5)
    await store.incidents.transition(ids[0], "ack", actor="bob")
    await store.incidents.transition(ids[1], "resolve", actor="bob", resolution="revoked")
    await store.bulk.keep(asked(), [*ids, "0123456789abcdef"])
    await do(store)
    progress = await store.bulk.progress("n_1%", "ada")
    assert (progress.done, progress.left, progress.overtaken, progress.total) == (3, 0, 2, 6)
    assert set(progress.refused.values()) == {1}
    told = {"it is already acknowledged (bob)", "it is already resolved; reopen it first (bob)"}
    assert set(progress.refused) == {*told, "there is no incident it"}
    resolving = asked("resolve", "wont_fix", "n2")
    await store.bulk.keep(resolving, ids)
    await do(store)
    progress = await store.bulk.progress("n2", "ada")
    assert (progress.verb, progress.detail, progress.done, progress.overtaken) == ("resolve", "wont_fix", 4, 1)


async def test_only_who_asked_is_told(store: Store) -> None:
    await store.bulk.keep(asked(), await opened(store, 1))
    for number, actor in (("n_1%", "bob"), ("n_1", "ada"), ("nx1%", "ada"), ("", "ada")):
        with pytest.raises(LookupError):
            await store.bulk.progress(number, actor)


async def test_what_one_waits_for_goes_first(store: Store) -> None:
    ids = await opened(store, 60)
    await store.bulk.keep(asked("silence", "3600"), ids)
    urgent = InboundRequest("zz", "chat", "ack", "bob", fingerprint(59))
    await store.requests.keep([urgent, InboundRequest("zy", "chat", "ack", "bob", ids[-1])])
    first = await store.requests.apply(nothing)
    assert {answer.request.id for answer in first[:2]} == {"zz", "zy"}
    await do(store)
    assert (await store.bulk.progress("n_1%", "ada")).done == 60


async def test_on_a_slow_host_each_piece_does_one_at_least(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.store.requests._PIECE", -1.0)
    await store.bulk.keep(asked(), await opened(store, 5))
    assert len(await store.requests.apply(nothing)) == 1
    await do(store)
    assert (await store.bulk.progress("n_1%", "ada")).done == 5
