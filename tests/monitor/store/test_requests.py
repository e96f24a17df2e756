from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor import runbook
from monitor.common.inbound import TOLD, InboundRequest
from monitor.domain.incidents import Incident
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Notice, Store, verbs
from monitor.store.requests import RequestAnswer
from tests.fakes.forks import Forks
from tests.monitor.store.helpers import Clock, finding, fingerprint, lease, notify

ID = fingerprint("a")[:16]
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    procedure, policy = Procedure("high", book=runbook.load), Policy(sinks=("chat",))
    async with await Store.open(url, policy, clock=clock, procedure=procedure, node="web-3") as store:
        await store.commit([finding("a", runbook="github-token")])
        yield store


def ask(verb: Any, id_: str = "", incident: str = ID, actor: str = "ada", **more: Any) -> InboundRequest:
    more = {"answer": {"user": "U1"}} | more
    return InboundRequest(id_ or f"{verb}:{actor}", "chat", verb, actor, incident, **more)


def approvals(incident: Incident, name: str) -> int | None:
    return {"revoke": 2, "tell": 0}.get(name) if incident.rule == "github-pat" else None


async def do(store: Store, *asked: InboundRequest) -> list[RequestAnswer]:
    assert await store.requests.keep(asked)
    return await store.requests.apply(approvals)


async def said(store: Store, *asked: InboundRequest) -> list[tuple[bool, str]]:
    return [(one.done, one.text) for one in await do(store, *asked)]


async def history(store: Store) -> list[tuple[str, str, str]]:
    assert (await store.trail.verify()).problems == ()
    return [(one.action, one.actor, one.note) for one in await store.incidents.history(ID)][2:]


async def test_everything_that_people_can_ask_for(store: Store, clock: Clock) -> None:
    assert await said(store, ask("ack")) == [(True, f"{ID} is acknowledged")]
    assert await said(store, ask("claim", detail="revoke")) == [(True, "step revoke is claimed; 0 of 9 done")]
    assert await said(store, ask("done", detail="revoke")) == [(True, "step revoke is done; 1 of 9 done")]
    assert await said(store, ask("skip", detail="notify", note="nobody is concerned")) == [
        (True, "step notify is skipped; 2 of 9 done")
    ]
    [(done, why)] = await said(store, ask("skip", "mute", detail="audit"))
    assert (done, why) == (False, "say why step audit is skipped: choose one of the reasons")
    assert await said(store, ask("silence", detail="3600")) == [
        (True, f"{ID} is silenced until 2027-01-15 09:00:00 UTC")
    ]
    assert await said(store, ask("note", note="seen in staging only")) == [(True, f"{ID}: noted")]
    assert await said(store, ask("resolve", detail="revoked")) == [(True, f"{ID} is resolved as revoked")]
    assert await said(store, ask("reopen")) == [(True, f"{ID} is open again")]
    assert await history(store) == [
        ("acknowledged", "ada", "through chat"),
        ("step_claimed", "ada", ""),
        ("step_done", "ada", "through chat"),
        ("step_skipped", "ada", "nobody is concerned"),
        ("silenced", "ada", "through chat"),
        ("noted", "ada", "seen in staging only"),
        ("resolved", "ada", "through chat"),
        ("reopened_by_hand", "ada", "through chat"),
    ]
    assert (await store.incidents.get(ID)).owner == "ada"


async def test_what_cannot_be_done_at_all_holds_up_nothing_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object, **_known: object) -> float:
        raise OverflowError

    monkeypatch.setattr(verbs, "hush", stumble)
    (done, why), behind = await said(store, ask("silence", "first", detail="3600"), ask("ack", "second"))
    assert (done, "OverflowError" in why) == (False, True)
    assert behind == (True, f"{ID} is acknowledged")
    assert await store.silences.list() == ([], [])


@pytest.mark.parametrize("seconds", ["1e300", "nan", "inf", "-1"])
async def test_a_time_that_is_none_silences_nothing(store: Store, seconds: str) -> None:
    [(done, why)] = await said(store, ask("silence", detail=seconds))
    assert (done, why) == (False, "an incident is silenced for 36500 days at most")
    assert await store.silences.list() == ([], [])


async def test_the_same_is_done_once(store: Store) -> None:
    assert len(await do(store, ask("ack"))) == 1
    assert not await store.requests.keep([ask("ack")])
    assert await store.requests.apply(approvals) == []


async def test_what_comes_too_late_is_refused_and_changes_nothing(store: Store) -> None:
    assert await said(store, ask("ack"), ask("ack", actor="bob")) == [
        (True, f"{ID} is acknowledged"),
        (False, f"incident {ID} is already acknowledged (ada, 2027-01-15 08:00:00 UTC)"),
    ]
    await do(store, ask("claim", detail="revoke"))
    await do(store, ask("resolve", detail="false_positive"))
    before = await history(store)
    late = [
        ask("ack", "late1"), ask("claim", "late2", detail="replace"), ask("done", "late3", detail="replace"),
        ask("skip", "late4", detail="replace", note="x"), ask("silence", "late5", detail="3600"),
        ask("resolve", "late6", detail="revoked"), ask("run", "late7", detail="revoke"),
    ]  # fmt: skip
    assert await said(store, *late) == [
        (False, f"incident {ID} is already resolved; reopen it first (ada, 2027-01-15 08:00:00 UTC)"),
        (False, "the run has ended; reopen a step first: reopen replace"),
        (False, "the run has ended; reopen a step first: reopen replace"),
        (False, "the run has ended; reopen a step first: reopen replace"),
        (False, f"incident {ID} is resolved: there is nothing to silence"),
        (False, f"incident {ID} is already resolved as false_positive (ada, 2027-01-15 08:00:00 UTC)"),
        (False, f"incident {ID} is resolved: reopen it before an action runs"),
    ]
    assert await history(store) == before


REFUSED = [
    (ask("ack", refusal="U9 is nobody in [sinks.people]"), "U9 is nobody in"),
    (ask("ack", incident="0" * 16), "there is no incident"),
    (ask("done", detail="nothing"), "has no step 'nothing'"),
    (ask("resolve", detail="maybe"), "a resolution is required"),
    (ask("silence", detail="long"), "could not convert"),
    (ask("run", detail="nuke"), "no action 'nuke' is configured for github-pat"),
    (ask("explode"), "'explode' is not known to this version"),
    (ask("ack", incident="", key="nobody"), "there is no incident here any more"),
]


async def test_what_cannot_be_done_is_refused_with_its_reason(store: Store) -> None:
    before = await history(store)
    for number, (asked, says) in enumerate(REFUSED):
        [(done, text)] = await said(store, replace(asked, id=str(number)))
        assert not done
        assert says in text
    assert await history(store) == before


async def test_an_action_has_as_many_people_as_it_takes_and_is_asked_for_once(store: Store) -> None:
    assert await said(store, ask("run", detail="revoke")) == [(True, "revoke is approved by ada; it waits for 1 more")]
    assert await store.actions.ready() == []
    again = ask("run", "again", detail="revoke")
    assert await said(store, again) == [(False, "ada has approved it already: it takes 2 different people")]
    assert await said(store, ask("run", actor="bob", detail="revoke")) == [(True, "revoke runs now")]
    [ready] = await store.actions.ready()
    assert (ready.action, ready.approvals, ready.automatic) == ("revoke", ("ada", "bob"), False)
    [(done, text)] = await said(store, ask("run", actor="eve", detail="revoke"))
    assert not done
    assert "revoke is approved for this incident already" in text
    await store.actions.begin(ready.id, "monitor")
    await store.actions.finish(ready.id, "unknown", "no answer", actor="monitor")
    [(done, text)] = await said(store, ask("run", "more", actor="eve", detail="revoke"))
    assert not done
    assert (
        f"revoke is unknown for this incident already; if it is meant to run once more: monitor action plan {ID}"
        in text
    )


async def test_one_that_nobody_has_to_approve_runs_and_one_that_failed_may_be_asked_for_again(store: Store) -> None:
    assert await said(store, ask("run", detail="tell")) == [(True, "tell runs now")]
    [ready] = await store.actions.ready()
    await store.actions.begin(ready.id, "monitor")
    await store.actions.finish(ready.id, "failed", "HTTP 403", actor="monitor")
    assert await said(store, ask("run", "again", detail="tell")) == [(True, "tell runs now")]


async def test_a_plan_of_a_command_is_not_run_by_itself_until_somebody_asks(store: Store) -> None:
    planned = await store.actions.plan(ID, "revoke", actor="ada", needed=2)
    await store.actions.approve(planned.id, "ada")
    await store.actions.approve(planned.id, "bob")
    assert await store.actions.ready() == []


async def test_a_key_stands_for_all_that_the_sink_was_told_of_under_it(store: Store) -> None:
    told = await lease(store, "chat")
    assert told is not None
    assert await said(store, ask("ack", incident="", key=told.key)) == [(True, f"{ID} is acknowledged")]
    elsewhere = InboundRequest("e", "pager", "resolve", "bob", key=told.key, detail="revoked")
    assert [one.done for one in await do(store, elsewhere)] == [False]


async def test_who_asked_is_told_until_they_were(store: Store, clock: Clock) -> None:
    await do(store, ask("ack"), ask("ack", "quiet", actor="eve", answer={}))
    assert await store.requests.take_untold(["pager"]) == []
    [one] = await store.requests.take_untold(["chat", "pager"])
    assert (one.request.answer, one.done, one.attempts) == ({"user": "U1"}, True, 0)
    assert await store.requests.take_untold(["chat"]) == []  # another process has it
    clock.now += 61
    assert len(await store.requests.take_untold(["chat"])) == 1
    await store.requests.postpone(one.request.id, 5)
    assert await store.requests.take_untold(["chat"]) == []
    clock.now += 6
    [one] = await store.requests.take_untold(["chat"])
    assert one.attempts == 1
    await store.requests.told(one.request.id)
    assert await store.requests.take_untold(["chat"]) == []


async def test_what_takes_something_back_is_not_done_when_nobody_waits_for_it(store: Store, clock: Clock) -> None:
    await store.requests.keep([ask("run", detail="tell"), ask("ack")])
    clock.now += 16 * 60
    answers = {one.request.verb: (one.done, one.text) for one in await store.requests.apply(approvals)}
    assert answers["ack"] == (True, f"{ID} is acknowledged")
    assert answers["run"] == (False, "16 min passed before anything could be done: ask for it again")
    assert await store.actions.find() == []


KILLED = """
import asyncio, os, signal, sys
from monitor.common.inbound import InboundRequest
from monitor.store import Store, requests

async def main():
    store = await Store.open(sys.argv[1])
    await store.requests.keep([InboundRequest("press", "chat", "ack", "ada", sys.argv[2], answer={"user": "U1"})])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_request_that_was_kept_before_a_kill_is_done_once(store: Store, url: str, forks: Forks) -> None:
    assert forks.python(KILLED, url, ID).returncode == -signal.SIGKILL
    assert [one.text for one in await store.requests.apply(approvals)] == [f"{ID} is acknowledged"]
    assert await store.requests.apply(approvals) == []
    assert len(await store.requests.take_untold(["chat"])) == 1


KILLED_AFTER = KILLED.replace("requests.keep([", "requests.do(").replace("})])", "}), lambda *_: None)")


async def test_what_was_done_at_once_before_a_kill_is_done_once_and_its_outcome_is_known(
    store: Store, url: str, forks: Forks
) -> None:
    assert forks.python(KILLED_AFTER, url, ID).returncode == -signal.SIGKILL
    answer = await store.requests.answer("press", "ada")
    assert answer is not None
    assert (answer.done, answer.text) == (True, f"{ID} is acknowledged")
    assert await store.requests.answer("press", "bob") is None
    assert await store.requests.do(replace(ask("ack", "press"), note="again"), approvals) == answer
    assert [action for action, *_ in await history(store)] == ["acknowledged"]


async def paged(store: Store) -> None:
    """The chat has the incident, under `incident:ID`."""
    leased = await lease(store, "chat")
    assert leased is not None
    await store.outbox.sent(leased.id, {"dedup_key": leased.key})


async def test_what_the_other_system_calls_it_is_learnt_and_understood(store: Store) -> None:
    await paged(store)
    linked = ask("link", incident="", key=f"incident:{ID}", place="PGR0VU2")
    assert await said(store, linked) == [(True, "high")]
    assert await said(store, ask("note", incident="", place="PGR0VU2", note="on it")) == [(True, f"{ID}: noted")]
    [(done, why)] = await said(store, ask("note", "other", incident="", place="PGR0VU", note="on it"))
    assert (done, "no incident here" in why) == (False, True)
    await store.incidents.transition(ID, "ack", actor="ada")
    leased = await lease(store, "chat")
    assert leased is not None
    assert leased.receipt == {"dedup_key": f"incident:{ID}", "place": "PGR0VU2"}


async def test_acknowledge_all_is_for_those_that_the_message_showed(store: Store) -> None:
    """Whatever its key: of what is told in parts, or in a thread, each message has some of all."""
    ids = [fingerprint(number)[:16] for number in range(7)]
    await store.commit([finding(number, number) for number in range(7)], notify=False)
    notice = Notice("in a flood", severity="high", incidents=tuple(ids[:5]), sinks=("chat", "pager"))
    mine, another = await notify(store, notice)
    key = f"{TOLD}{mine}"
    for id_ in ids[:2]:
        await store.incidents.transition(id_, "resolve", actor="ada", resolution="false_positive")
    [(done, why)] = await said(store, ask("ack", "other", incident="", key=f"{TOLD}{another}"))
    assert (done, "forgotten" in why) == (False, True), "it is another sink's"
    [(done, _)] = await said(store, ask("ack", "all", incident="", key=key))
    states = {one.id: one.state for one in await store.incidents.find(limit=100)}
    assert (done, [states[id_] for id_ in ids]) == (True, ["resolved"] * 2 + ["acknowledged"] * 3 + ["open"] * 2)
    [(done, why)] = await said(store, ask("ack", "late", incident="", key=key, actor="bob"))
    assert (done, "already" in why) == (False, True)


async def test_very_many_at_once_are_done_in_pieces(store: Store) -> None:
    ids = tuple(fingerprint(number)[:16] for number in range(120))
    await store.commit([finding(number, number) for number in range(120)], notify=False)
    [sent] = await notify(store, Notice("a flood", severity="high", incidents=ids, sinks=("chat",)))
    asked = ask("ack", incident="", key=f"{TOLD}{sent}")
    assert (True, "120 incidents, one after the other") in await said(store, asked)
    while await store.requests.apply(approvals):
        pass
    assert await store.incidents.count(states=["acknowledged"]) == 120
    assert not await store.requests.keep([asked]), "once"


async def test_what_it_calls_it_is_learnt_before_we_know_that_it_arrived(store: Store) -> None:
    """As after a kill between its answer and the note of it, or while an update is on its way."""
    leased = await lease(store, "chat")
    assert leased is not None
    await said(store, ask("link", incident="", key=f"incident:{ID}", place="P1"))
    assert await said(store, ask("note", incident="", place="P1", note="on it")) == [(True, f"{ID}: noted")]
    await store.outbox.sent(leased.id, {"dedup_key": leased.key}, leased.receipt)
    await store.incidents.transition(ID, "ack", actor="ada")
    update = await lease(store, "chat")
    assert update is not None
    assert update.receipt == {"dedup_key": f"incident:{ID}", "place": "P1"}
    # A sink that forgets the place that it knew does so; what was learnt since is another one.
    await store.outbox.sent(update.id, {"dedup_key": leased.key}, update.receipt)
    await said(store, ask("link", "other", incident="", key="incident:nobody", place="P2"))
    await store.incidents.transition(ID, "resolve", actor="ada", resolution="revoked")
    last = await lease(store, "chat")
    assert last is not None
    assert last.receipt == {"dedup_key": f"incident:{ID}"}


async def test_an_old_word_does_not_undo_what_happened_since(store: Store, clock: Clock) -> None:
    at = clock.now
    clock.now += 1000
    await store.incidents.transition(ID, "resolve", actor="ada", resolution="revoked")
    await store.commit([finding("a", 9, time=clock.now + 1)])
    for verb, detail in (("ack", ""), ("resolve", "revoked"), ("reopen", "")):
        [(done, why)] = await said(store, ask(verb, detail=detail, at=at))
        assert (done, "before incident" in why or "already open" in why) == (False, True)
    assert await said(store, ask("ack", "late", at=clock.now - 100)) == [(True, f"{ID} is acknowledged")]
    [(done, why)] = await said(store, ask("resolve", "old", detail="revoked", at=clock.now - 4 * 86_400))
    assert (done, "too long ago" in why) == (False, True)
