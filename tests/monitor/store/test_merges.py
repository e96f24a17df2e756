from __future__ import annotations

import pytest

from monitor import runbook
from monitor.domain.incidents import TransitionError
from monitor.domain.retention import RetentionConfig
from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.actions import ActionError
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease

A, B, C = (fingerprint(name)[:16] for name in "abc")
POLICY = Policy(sinks=("chat",))
BOOKS = Procedure("high", book=runbook.load)


async def whole(store: Store) -> bool:
    return (await store.trail.verify()).problems == ()


async def test_places_and_later_sightings_count_for_the_one_that_stays(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a", 1), finding("b", 2, path="/var/log/other.log"), finding("b", 3)])
        await deliver(store)
        stays = await store.merges.merge(A, [B], actor="ada", note="one token")
        assert (stays.id, stays.occurrences, stays.state) == (A, 3, "open")
        assert {place.path for place in (await store.incidents.get(A)).locations} == {
            "/var/log/app.log",
            "/var/log/other.log",
        }

        # Both in one batch, and a replay.
        await store.commit([finding("a", 4), finding("b", 5), finding("b", 3)])
        await store.commit([finding("b", 6)])
        kept = await store.incidents.get(A)
        assert (kept.occurrences, len(kept.locations)) == (6, 6)
        gone = await store.incidents.get(fingerprint("b"))
        assert (gone.id, gone.state, gone.merged, gone.occurrences) == (B, "resolved", A, 2)
        assert gone.locations == ()
        assert await whole(store)


async def test_who_knew_it_is_told_where_it_went(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        assert await deliver(store) == ["new", "new"]
        await store.merges.merge(A, [B], actor="ada", note="one token")
        leased = await lease(store, "chat")
        assert leased is not None
        assert (leased.reason, leased.key, leased.receipt is not None) == ("resolved", f"incident:{B}", True)
        assert leased.joined.decided[B][:2] == ("ada", f"merged into incident {A}: one token")
        await store.outbox.sent(leased.id, None)
        clock.now += 301
        await store.groups.tick()
        assert await deliver(store) == ["update"]  # of A, which has more places now
        said = [(one.action, one.actor, one.note) for one in await store.incidents.history(A)]
        assert said[-1] == ("absorbed", "ada", f"incident {B}: one token")


async def test_the_routes_of_its_places_lead_the_one_that_stays_there(url: str, clock: Clock) -> None:
    ops = Route(matchers=(Matcher.parse('path="/ops.log"'),), sinks=("ops",))
    policy = Policy(sinks=("chat", "ops"), routes=(ops, Route(sinks=("chat",))))
    async with await Store.open(url, policy, clock=clock) as store:
        await store.commit([finding("a"), finding("b", path="/ops.log")])
        await deliver(store, "ops")
        await store.merges.merge(A, [B], actor="ada")
        told = {leased.key: leased.reason for _ in range(2) if (leased := await _next(store, "ops")) is not None}
        assert told == {f"incident:{A}": "new", f"incident:{B}": "resolved"}


async def _next(store: Store, sink: str) -> object:
    leased = await lease(store, sink)
    if leased is not None:
        await store.outbox.sent(leased.id, None)
    return leased


async def test_what_is_worse_escalates_and_keeps_the_name(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock, procedure=BOOKS) as store:
        await store.commit([finding("a", severity="medium"), finding("b", severity="critical", name="Other")])
        await store.incidents.transition(A, "ack", actor="bob")
        await deliver(store)
        stays = await store.merges.merge(A, [B], actor="ada")
        assert (stays.severity, stays.state, stays.name, stays.owner) == ("critical", "open", "GitHub token", "bob")
        assert set(await deliver(store)) == {"escalated", "resolved"}
        await store.commit([finding("b", 9, severity="critical", name="Other")])
        assert (await store.incidents.get(A)).name == "GitHub token"
        assert await whole(store)


async def test_a_run_goes_on_with_the_one_that_stays(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock, procedure=BOOKS) as store:
        await store.commit([finding("a", severity="medium"), finding("b", severity="medium"), finding("c")])
        await store.runs.start(B, actor="ada")
        await store.runs.act(B, "replace", "done", actor="ada", note="inactive")
        await store.merges.merge(A, [B], actor="ada")
        run = await store.runs.get(A)
        assert run is not None
        assert (run.ended, run.task("replace").state, run.task("replace").note) == (None, "done", "inactive")
        assert await store.runs.get(B) is None

        await store.merges.merge(A, [C], actor="ada")  # which has one of its own: that ends
        ended = await store.runs.get(C)
        assert ended is not None
        assert ended.ended == NOW
        assert (await store.runs.get(A)) is not None
        assert "run_adopted" in {one.action for one in await store.incidents.history(A)}
        assert await whole(store)


async def test_seen_again_after_it_was_revoked_in_either_form(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        await store.merges.merge(A, [B], actor="ada")
        await store.incidents.transition(A, "resolve", actor="ada", resolution="revoked")
        clock.now += 10
        await store.commit([finding("b", 9, time=clock.now)])
        assert (await store.incidents.get(A)).state == "open"
        assert (await store.incidents.get(B)).state == "resolved"


async def test_reopened_it_counts_for_itself_again(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        await store.merges.merge(A, [B], actor="ada")
        await deliver(store)
        back = await store.incidents.transition(B, "reopen", actor="ada", note="another token")
        assert (back.state, back.merged) == ("open", None)
        await store.commit([finding("b", 9)])
        assert (await store.incidents.get(B)).occurrences == 2
        assert len((await store.incidents.get(A)).locations) == 1
        assert await deliver(store) == ["reopened_by_hand"]
        assert await whole(store)


async def test_the_last_one_holds_all(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b"), finding("c")])
        await store.merges.merge(B, [C], actor="ada")
        await store.merges.merge(A, [B], actor="ada")
        await store.commit([finding("c", 9)])
        assert (await store.incidents.get(A)).occurrences == 4
        assert (await store.incidents.get(C)).merged == A


@pytest.mark.parametrize(("into", "others", "why"), [(A, [A], "itself"), (B, [A], "already"), (C, [B], "resolved")])
async def test_what_cannot_be_merged_is_refused(url: str, clock: Clock, into: str, others: list[str], why: str) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b"), finding("c")])
        if why == "already":
            await store.merges.merge(A, [B], actor="ada")
        await store.incidents.transition(C, "resolve", actor="ada", resolution="revoked")
        with pytest.raises(TransitionError, match=why):
            await store.merges.merge(into, others, actor="ada")


async def test_all_or_none(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        with pytest.raises(LookupError):
            await store.merges.merge(A, [B, "0000"], actor="ada")
        assert (await store.incidents.get(B)).merged is None
        assert (await store.incidents.get(A)).occurrences == 1
        assert await whole(store)


async def test_a_drill_hides_nothing_real(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.drills.plan([fingerprint("a")], pages=False)
        await store.commit([finding("a"), finding("b")])
        with pytest.raises(TransitionError, match="drill"):
            await store.merges.merge(A, [B], actor="ada")


async def test_what_is_under_way_is_seen_through_first(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        run = await store.actions.plan(B, "revoke", actor="ada", needed=0)
        other = await store.actions.plan(B, "tell", actor="ada", needed=1)
        await store.actions.begin(run.id, "ada")
        with pytest.raises(ActionError, match="see it through"):
            await store.merges.merge(A, [B], actor="ada")
        await store.actions.finish(run.id, "failed", "no", actor="ada")
        await store.merges.merge(A, [B], actor="ada")
        assert (await store.actions.get(other.id)).outcome == f"its incident was merged into {A}"
        assert await whole(store)


async def test_it_is_forgotten_with_the_one_that_stays_and_not_before(url: str, clock: Clock) -> None:
    day = 86_400.0
    ages = RetentionConfig(incidents="1d", fingerprints="2d")  # type: ignore[arg-type]
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a"), finding("b")])
        await store.merges.merge(A, [B], actor="ada")
        await deliver(store)
        clock.now += 10 * day
        await store.retention.sweep(ages)
        await store.commit([finding("b", 9, time=clock.now)])
        assert (await store.incidents.get(A)).occurrences == 3

        await store.incidents.transition(A, "resolve", actor="ada", resolution="revoked")
        await deliver(store)
        clock.now += 10 * day
        await store.retention.sweep(ages)
        assert await store.incidents.count() == 0
        assert await whole(store)


async def test_a_merge_that_was_a_mistake_is_taken_back_with_places_and_count(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit(
            [
                finding("a", 1, severity="low", labels={"role": "anon"}),
                finding("b", 2, path="/other.log", time=NOW - 60, severity="critical", labels={"user": "bob"}),
                finding("b", 3),
            ]
        )
        await deliver(store)
        before = [await store.incidents.get(one) for one in (A, B)]
        await store.merges.merge(A, [B], actor="ada")
        assert (await store.incidents.get(A)).severity == "critical"
        clock.now += 10
        await store.commit([finding("b", 4, path="/later.log", time=NOW + 5), finding("a", 5, time=NOW + 6)])
        clock.now += 10
        await store.incidents.transition(B, "reopen", actor="bob", note="two tokens")

        stays, back = [await store.incidents.get(one) for one in (A, B)]
        assert (back.state, back.merged, back.occurrences, back.last_seen) == ("open", None, 3, NOW + 5)
        assert {place.path for place in back.locations} == {"/other.log", "/var/log/app.log", "/later.log"}
        assert (stays.occurrences, stays.first_seen, stays.last_seen) == (2, before[0].first_seen, NOW + 6)
        assert (stays.severity, stays.labels) == ("low", {"role": "anon"})
        assert {place.path for place in stays.locations} == {"/var/log/app.log"}
        said = [(one.action, one.actor, one.note) for one in await store.incidents.history(A)]
        assert ("parted", "bob", f"incident {B} counts for itself again: two tokens") in said
        await store.commit([finding("b", 6)])
        assert [(await store.incidents.get(one)).occurrences for one in (A, B)] == [2, 4]
        assert await whole(store)

        # And again: nothing of the first time is in the way.
        await store.merges.merge(A, [B], actor="ada")
        assert (await store.incidents.get(A)).occurrences == 6
        await store.incidents.transition(B, "reopen", actor="bob")
        assert [(await store.incidents.get(one)).occurrences for one in (A, B)] == [2, 4]


async def test_the_first_of_several_merges_is_taken_back_and_the_others_hold(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit(
            [
                finding("a", 1, severity="low"),
                finding("b", 2, severity="critical", time=NOW - 60),
                finding("c", 3, severity="medium", time=NOW - 30),
            ]
        )
        await store.merges.merge(A, [B, C], actor="ada")
        await store.incidents.transition(B, "reopen", actor="bob")
        stays = await store.incidents.get(A)
        assert (stays.occurrences, stays.severity, stays.first_seen) == (2, "medium", NOW - 30)
        await store.incidents.transition(C, "reopen", actor="bob")
        stays = await store.incidents.get(A)
        assert (stays.occurrences, stays.severity, stays.first_seen) == (1, "low", NOW)
        assert await whole(store)


async def test_of_a_chain_of_merges_the_last_is_taken_back_first(url: str, clock: Clock) -> None:
    async with await Store.open(url, POLICY, clock=clock) as store:
        await store.commit([finding("a", 1), finding("b", 2, path="/b"), finding("c", 3, path="/c")])
        await store.merges.merge(B, [C], actor="ada")
        await store.merges.merge(A, [B], actor="ada")
        with pytest.raises(TransitionError, match=f"reopen {B} first"):
            await store.incidents.transition(C, "reopen", actor="bob")
        await store.incidents.transition(B, "reopen", actor="bob")
        assert {place.path for place in (await store.incidents.get(B)).locations} == {"/b", "/c"}
        await store.commit([finding("c", 4, path="/c2")])
        assert (await store.incidents.get(B)).occurrences == 3
        await store.incidents.transition(C, "reopen", actor="bob")
        found = [await store.incidents.get(one) for one in (A, B, C)]
        assert [one.occurrences for one in found] == [1, 1, 2]
        assert {place.path for place in found[2].locations} == {"/c", "/c2"}
        assert await whole(store)
