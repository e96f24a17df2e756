from __future__ import annotations

import pytest

from monitor.domain.incidents import Verified
from monitor.store import Store
from monitor.store.actions import ActionError
from tests.monitor.store.helpers import Clock, finding, fingerprint


async def opened(store: Store) -> str:
    await store.commit([finding("a")])
    return (await store.incidents.get(fingerprint("a"))).id


async def trail(store: Store) -> list[tuple[str, str]]:
    entries = await store.incidents.history(fingerprint("a"))
    return [(entry.actor, entry.note.partition(" (")[0]) for entry in entries if entry.action == "acted"]


async def test_from_a_plan_to_its_completion(store: Store, clock: Clock) -> None:
    one = await opened(store)
    run = await store.actions.plan(one, "revoke", actor="ada", needed=2, parts={"key_id": "k1"})
    assert (run.state, run.needed, run.parts, run.planned_at) == ("planned", 2, {"key_id": "k1"}, clock.now)
    with pytest.raises(ActionError, match="waits for 2 more"):
        await store.actions.begin(run.id, "ada")
    assert (await store.actions.approve(run.id, "ada")).state == "planned"
    with pytest.raises(ActionError, match="2 different people"):
        await store.actions.approve(run.id, "ada")
    assert (await store.actions.approve(run.id, "bob")).state == "approved"
    assert (await store.actions.begin(run.id, "bob")).state == "running"
    with pytest.raises(ActionError, match="runs once only"):
        await store.actions.begin(run.id, "ada")
    await store.actions.step([run.id], 2)
    done = await store.actions.finish(run.id, "accepted", "HTTP 202", actor="bob")
    assert (done.state, done.outcome, done.step, done.approvals) == ("accepted", "HTTP 202", 2, ("ada", "bob"))
    # What the issuer then says completes it, in the transaction that keeps the answer.
    await store.verdicts.record(one, Verified("valid", clock.now, "takes it"), actor="monitor")
    assert (await store.actions.get(run.id)).state == "accepted"
    await store.verdicts.record(one, Verified("refused", clock.now, "refuses it"), actor="monitor")
    assert (await store.actions.get(run.id[:6])).state == "completed"
    assert await trail(store) == [
        ("ada", "revoke planned"),
        ("ada", "revoke approved, 1 of 2"),
        ("bob", "revoke approved, 2 of 2"),
        ("bob", "revoke begun"),
        ("bob", "revoke accepted: HTTP 202"),
        ("monitor", "revoke completed: refused: refuses it"),
    ]


async def test_a_name_that_looks_like_another_approves_nothing_beside_it(store: Store) -> None:
    run = await store.actions.plan(await opened(store), "revoke", actor="ada", needed=2)
    for alike in ("Mark", "mar\u212a", "m\u0430rk", "mark\udcff"):  # no door lets one in
        with pytest.raises(ActionError, match="plain name"):
            await store.actions.approve(run.id, alike)
    await store.actions.approve(run.id, "mark")
    with pytest.raises(ActionError, match="has approved it already"):
        await store.actions.approve(run.id, "mark")


async def test_an_approval_in_capitals_from_before_names_were_one_is_not_a_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await store.actions.plan(await opened(store), "revoke", actor="ada", needed=2)
    with monkeypatch.context() as before:
        before.setattr("monitor.store.actions.named", lambda name: True)
        await store.actions.approve(run.id, "Mark")
    with pytest.raises(ActionError, match="has approved it already"):
        await store.actions.approve(run.id, "mark")


async def test_the_same_is_not_planned_twice_unless_it_came_to_nothing(store: Store) -> None:
    one = await opened(store)
    run = await store.actions.plan(one, "revoke", actor="ada", needed=0)
    assert run.state == "approved"
    with pytest.raises(ActionError, match="approved for this incident already"):
        await store.actions.plan(one, "revoke", actor="bob", needed=0)
    await store.actions.begin(run.id, "ada")
    await store.actions.finish(run.id, "failed", "HTTP 403", actor="ada")
    again = await store.actions.plan(one, "revoke", actor="bob", needed=0)
    assert [found.id for found in await store.actions.find(incident=one, states=["approved"])] == [again.id]
    with pytest.raises(ActionError):  # by itself: once, whatever came of it
        await store.actions.plan(one, "revoke", actor="monitor", needed=0, automatic=True)
    with pytest.raises(LookupError):
        await store.actions.plan("none", "revoke", actor="ada", needed=0)


async def test_what_ran_when_its_process_ended_cannot_be_known(store: Store, clock: Clock) -> None:
    one = await opened(store)
    run = await store.actions.plan(one, "revoke", actor="ada", needed=0)
    assert await store.actions.abandon() == []
    store.actions._owner = f"{store.node}:999999999:gone"
    await store.actions.begin(run.id, "ada")
    store.actions._owner = f"{store.node}:1:other"
    assert len(await store.actions.abandon()) == 1
    lost = await store.actions.get(run.id)
    assert (lost.state, "cannot be known" in lost.outcome) == ("unknown", True)
    with pytest.raises(ActionError, match="runs once only"):
        await store.actions.begin(run.id, "ada")
    assert await store.actions.abandon() == []


async def test_another_process_that_lives_is_left_alone_but_not_for_ever(store: Store, clock: Clock) -> None:
    one = await opened(store)
    run = await store.actions.plan(one, "revoke", actor="ada", needed=0)
    await store.actions.begin(run.id, "ada")
    assert await store.actions.abandon() == []
    clock.now += 3601
    assert len(await store.actions.abandon()) == 1


async def test_what_is_automatic_is_planned_once_for_what_is_new(store: Store) -> None:
    def wanted(labels: dict[str, str]) -> list[tuple[str, int]]:
        return [("revoke", 0), ("tell", 1)] if labels["rule"] == "github-pat" else []

    await store.commit([finding("old")])
    assert await store.actions.gather(wanted) is False
    assert await store.actions.find() == []
    await store.commit([finding("a", 1), finding("b", 2, rule="other")])
    assert await store.actions.gather(wanted) is False
    assert {(run.action, run.state, run.automatic) for run in await store.actions.find()} == {
        ("revoke", "approved", True),
        ("tell", "planned", True),
    }
    [ready] = await store.actions.ready()
    assert ready.action == "revoke"
    await store.actions.gather(wanted)
    assert len(await store.actions.find()) == 2


async def test_a_start_of_an_id_must_fit_one(store: Store) -> None:
    one = await opened(store)
    runs = [await store.actions.plan(one, f"a{number}", actor="ada", needed=0) for number in range(40)]
    starts = [run.id[0] for run in runs]
    with pytest.raises(LookupError, match="fits several"):
        await store.actions.get(max(starts, key=starts.count))
    for ref in ("", "zzz"):
        with pytest.raises(LookupError, match="no action"):
            await store.actions.get(ref)


async def test_a_drill_takes_nothing_back_whoever_plans_it_and_whenever(store: Store) -> None:
    one = await opened(store)
    before = await store.actions.plan(one, "deactivate", actor="ada", needed=0)
    await store.drills.plan([fingerprint("a")], pages=False)
    for automatic in (True, False):
        with pytest.raises(ActionError, match="a drill: nothing is sent"):
            await store.actions.plan(one, "revoke", actor="ada", needed=0, automatic=automatic)
    with pytest.raises(ActionError, match="a drill: nothing is sent"):
        await store.actions.start(one, "revoke", actor="monitor", automatic=True)
    with pytest.raises(ActionError, match="a drill: nothing is sent"):
        await store.actions.begin(before.id, "ada")
    while await store.actions.gather(lambda labels: [("revoke", 0)]):
        pass
    assert [run.id for run in await store.actions.find()] == [before.id]


async def test_nothing_is_taken_back_of_what_is_resolved_whoever_asks(store: Store) -> None:
    one = await opened(store)
    planned = await store.actions.plan(one, "revoke", actor="ada", needed=1)
    approved = await store.actions.plan(one, "replace", actor="ada", needed=0)
    await store.incidents.transition(one, "resolve", actor="ada", resolution="false_positive")
    for refused in (
        store.actions.plan(one, "notify", actor="bob", needed=0),
        store.actions.approve(planned.id, "bob"),
        store.actions.begin(approved.id, "bob"),
        store.actions.start(one, "notify", actor="bob", automatic=False),
    ):
        with pytest.raises(ActionError, match="is resolved: reopen it before an action runs"):
            await refused
    assert (await store.actions.refuse(approved.id, "nothing was sent", actor="monitor")).state == "failed"
    with pytest.raises(ActionError, match="replace is failed"):
        await store.actions.refuse(approved.id, "nothing was sent", actor="monitor")
    await store.incidents.transition(one, "reopen", actor="ada")
    assert (await store.actions.approve(planned.id, "bob")).state == "approved"
