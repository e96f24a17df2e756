from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from monitor import runbook
from monitor.domain.incidents import Verified
from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Route, Silence
from monitor.runbook.book import Verify
from monitor.runbook.progress import Procedure, RunError, Rung
from monitor.store import Store
from tests.fakes.forks import Forks
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint, lease

LADDER = (Rung(), Rung(600.0, ("pager",), "critical"), Rung(1200.0, ("boss", "gone")))
POLICY = Policy(sinks=("chat", "pager", "boss"), routes=(Route(sinks=("chat",)),), pagers=frozenset({"pager"}))
ID = fingerprint("a")[:16]


async def opened(url: str, clock: Clock, policy: Policy = POLICY, **changes: object) -> Store:
    procedure = Procedure("high", LADDER, runbook.load)
    return await Store.open(url, policy, clock=clock, procedure=procedure, secret=b"k" * 16)


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    async with await opened(url, clock) as store:
        yield store


async def actions(store: Store) -> list[str]:
    assert (await store.trail.verify()).problems == ()
    return [f"{one.action}:{one.step}" if one.step else one.action for one in await store.incidents.history(ID)]


async def test_a_new_incident_starts_its_run_and_a_mild_one_does_not(store: Store, clock: Clock) -> None:
    await store.commit([finding("a", runbook="github-token"), finding("b", 1, severity="medium")])
    run = await store.runs.get(ID)
    assert run is not None
    assert (run.book, run.order, run.started, len(run.tasks), run.done) == ("github-token", "contain", NOW, 9, 0)
    assert await store.runs.get(fingerprint("b")[:16]) is None
    assert await actions(store) == ["opened", "run_started"]
    assert [one.incident for one in (await store.runs.find(10))[0]] == [ID]


async def test_a_quiet_one_starts_none_and_one_that_gets_worse_does(store: Store) -> None:
    await store.commit([finding("a")], notify=False)
    assert await store.runs.get(ID) is None
    await store.commit([finding("b", 1, severity="low")])
    await store.commit([finding("b", 2, severity="critical")])
    assert await store.runs.get(fingerprint("b")[:16]) is not None


async def test_a_rung_for_others_alone_is_not_due_again_and_again(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.runs._AT_A_TIME", 2)
    ladder = (*LADDER[:1], Rung(600.0, ("boss",), matchers=(Matcher.parse('severity="critical"'),)))
    procedure = Procedure("high", ladder, runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure, secret=b"k" * 16) as store:
        await store.commit([finding(name, number) for number, name in enumerate("abcd")])
        clock.now += 86_400
        async with asyncio.timeout(60):  # it went round and round
            assert await store.runs.sweep() is None
            assert await store.runs.sweep(everything=True) is None
        assert [row.sink for row in await store.outbox.list() if row.reason == "overdue"] == ["chat"]
        await store.commit([finding("a", 9, severity="critical")])
        assert [row.sink for row in await store.outbox.list() if row.reason == "overdue"].count("boss") == 1


async def test_many_are_looked_at_again_in_as_many_statements_as_few(store: Store) -> None:
    """At each start and reload."""
    counts = []
    for names in ("ab", "cdefghijkl"):
        await store.commit([finding(name, ord(name)) for name in names])
        asked: list[object] = []
        note = lambda *args, asked=asked: asked.append(args[2])  # noqa: E731
        event.listen(store._database.writer, "before_cursor_execute", note)
        await store.runs.sweep(everything=True)
        event.remove(store._database.writer, "before_cursor_execute", note)
        counts.append(len(asked))
    assert counts[0] == counts[1]


async def test_an_unknown_runbook_is_the_general_one(store: Store) -> None:
    await store.commit([finding("a", runbook="nobody")])
    run = await store.runs.get(ID)
    assert run is not None
    assert run.book == "generic-secret"


async def test_what_people_do_is_kept_with_who_and_when(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    clock.now += 10
    run = await store.runs.act(ID, "revoke", "claim", actor="ada")
    assert run.task("revoke").owner == "ada"
    clock.now += 10
    await store.runs.act(ID, "revoke", "done", actor="ada", note="inactive in IAM")
    with pytest.raises(RunError, match="done already"):
        await store.runs.act(ID, "revoke", "done", actor="bob", note="gone")
    with pytest.raises(LookupError):
        await store.runs.act("nobody", "revoke", "done", actor="bob", note="gone")
    history = await store.incidents.history(ID)
    assert [(one.actor, one.at - NOW) for one in history if one.step == "revoke"] == [("ada", 10), ("ada", 20)]
    assert await actions(store) == ["opened", "run_started", "step_claimed:revoke", "step_done:revoke"]


async def test_a_run_is_started_by_hand_in_an_order_of_ones_own(store: Store) -> None:
    await store.commit([finding("a", severity="low")])
    with pytest.raises(RunError, match=r"no runbook is under way.*monitor runbook start"):
        await store.runs.act(ID, "revoke", "done", actor="ada", note="gone")
    with pytest.raises(RunError, match="no runbook 'nobody'"):
        await store.runs.start(ID, actor="ada", book="nobody")
    run = await store.runs.start(ID, actor="ada", book="aws-key", order="replace")
    assert (run.book, run.order, run.why) == ("aws-key", "replace", "somebody chose it")
    with pytest.raises(RunError, match="under way"):
        await store.runs.start(ID, actor="ada")


async def test_resolved_as_revoked_and_seen_again_reopens_what_claimed_it(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    for step in ("replace", "deploy"):
        await store.runs.act(ID, step, "done", actor="ada")
    await store.incidents.transition(ID, "resolve", actor="ada", resolution="revoked")
    run = await store.runs.get(ID)
    assert run is not None
    assert run.done == 3
    clock.now += 100
    await store.commit([finding("a", 5, time=NOW + 50)])
    run = await store.runs.get(ID)
    assert run is not None
    assert {task.id: task.state for task in run.tasks if task.id in ("revoke", "replace", "deploy")} == {
        "revoke": "open",
        "replace": "done",
        "deploy": "open",
    }
    assert run.task("revoke").deadline == clock.now + 900
    assert (await actions(store))[-3:] == ["reopened", "step_reopened:revoke", "step_reopened:deploy"]


async def test_a_false_alarm_ends_the_run_and_taking_it_back_goes_on(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.incidents.transition(ID, "resolve", actor="ada", resolution="false_positive")
    run = await store.runs.get(ID)
    assert run is not None
    assert run.ended == NOW
    clock.now += 5000
    assert await store.runs.sweep() is None
    await store.incidents.transition(ID, "reopen", actor="bob")
    run = await store.runs.get(ID)
    assert run is not None
    assert run.ended is None
    assert run.task("revoke").deadline == clock.now + 900
    assert (await actions(store))[-2:] == ["reopened_by_hand", "run_resumed"]
    # Whoever is asked about the last change of state is not told of the run's.
    await deliver(store)
    await store.incidents.transition(ID, "ack", actor="cy")
    leased = await lease(store, "chat")
    assert leased is not None
    assert leased.joined.decided[ID][0] == "cy"


async def test_proofs_finish_steps(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    clock.now += 1
    run = await store.runs.prove(ID, "refused", "401 from api.github.com")
    assert run is not None
    assert run.task("revoke").state == "done"
    assert (await store.incidents.history(ID))[-1].note == "the issuer refuses the secret: 401 from api.github.com"
    assert await store.runs.prove(ID, "refused", "again") is not None
    assert (await actions(store)).count("step_done:revoke") == 1


async def test_a_secret_that_no_log_shows_any_more_is_replaced_everywhere(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    await store.runs.act(ID, "replace", "done", actor="ada")
    begun = clock.now
    clock.now = begun + 3600
    await store.runs.sweep()  # a command, which reads no log
    await store.runs.sweep(watched={"other": begun - 10})  # a log that never showed it
    assert "step_done:deploy" not in await actions(store)
    assert await store.runs.sweep(watched={"services": begun + 500}) is not None
    clock.now = begun + 3700
    await store.commit([finding("a", 1, time=clock.now)])  # and is seen
    clock.now = begun + 4200
    await store.runs.sweep(watched={"services": begun})
    assert "step_done:deploy" not in await actions(store)
    clock.now = begun + 7300
    await store.runs.sweep(watched={"services": begun})
    assert (await actions(store)).count("step_done:deploy") == 1
    clock.now += 10
    await store.commit([finding("a", 2, time=clock.now)])
    assert (await actions(store))[-1] == "step_reopened:deploy"


async def test_what_another_host_saw_says_nothing_here(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await store.commit([finding("a")])
        await store.runs.act(ID, "replace", "done", actor="ada")
    procedure = Procedure("high", LADDER, runbook.load)
    async with await Store.open(url, POLICY, clock=clock, procedure=procedure, secret=b"k" * 16, node="two") as other:
        clock.now += 7200
        await other.runs.sweep(watched={"services": NOW - 10})
        assert "step_done:deploy" not in await actions(other)


async def test_an_issuer_that_refuses_the_secret_finishes_the_step_that_revokes_it(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    clock.now += 5
    for validity in ("valid", "unknown", "refused", "refused"):
        answer = Verified(validity, clock.now, "401", "github")  # type: ignore[arg-type]
        await store.verdicts.record(ID, answer, actor="monitor")
    run = await store.runs.get(ID)
    assert run is not None
    assert (run.done, run.task("revoke").state, run.task("revoke").note) == (1, "done", "the issuer refuses the secret")
    assert (await actions(store)).count("step_done:revoke") == 1
    # Whoever ends it by hand after that needs no words of their own.
    await store.runs.act(ID, "revoke", "reopen", actor="ada")
    run = await store.runs.act(ID, "revoke", "done", actor="ada")
    assert run.task("revoke").note == "401"


async def test_a_step_that_names_a_provider_takes_no_others_answer(store: Store, clock: Clock) -> None:
    book = runbook.load("github-token")
    assert book is not None
    asked = {"refused": Verify(shows="refused", probe="gitlab"), "valid": Verify(shows="valid", probe="github")}
    steps = tuple(
        step.model_copy(update={"verify": asked.get(step.verify.shows, step.verify)}) if step.verify else step
        for step in book.steps
    )
    store.procedure = Procedure("high", LADDER, lambda name: dataclasses.replace(book, steps=steps))
    await store.commit([finding("a")])
    clock.now += 5
    await store.verdicts.record(ID, Verified("refused", clock.now, "401", "github"), actor="monitor")
    run = await store.runs.prove(ID, "valid", "the manager has another")
    assert run is not None
    assert (run.task("revoke").state, run.task("replace").state) == ("open", "open")
    await store.verdicts.record(ID, Verified("refused", clock.now, "401", "gitlab"), actor="monitor")
    run = await store.runs.prove(ID, "valid", "200", "github")
    assert run is not None
    assert (run.task("revoke").state, run.task("replace").state) == ("done", "done")


@pytest.mark.parametrize("left", [("revoke",), ()])
async def test_a_run_keeps_steps_that_its_runbook_has_no_more(
    store: Store, clock: Clock, left: tuple[str, ...]
) -> None:
    await store.commit([finding("a")])
    book = runbook.load("github-token")
    assert book is not None
    fewer = dataclasses.replace(book, steps=tuple(one for one in book.steps if one.id in left))
    store.procedure = Procedure("high", LADDER, lambda name: fewer if left else None)
    clock.now = NOW + 1000
    await store.runs.sweep(everything=True)
    assert "step_overdue:replace" in await actions(store)
    run = await store.runs.act(ID, "replace", "done", actor="ada", note="new one made")
    assert (len(run.tasks), run.task("replace").state) == (9, "done")
    await store.verdicts.record(ID, Verified("refused", clock.now, "401", "github"), actor="monitor")
    assert (await actions(store)).count("step_done:revoke") == 1


async def told(store: Store) -> list[tuple[str, str, str]]:
    return [(one.sink, one.reason, one.title) for one in reversed(await store.outbox.list()) if one.reason == "overdue"]


async def test_a_missed_deadline_climbs_the_ladder_each_rung_once(store: Store, clock: Clock) -> None:
    await store.commit([finding("a")])
    assert await deliver(store) == ["new"]
    assert await store.runs.sweep() == NOW + 900
    await store.runs.act(ID, "replace", "claim", actor="ada")
    clock.now = NOW + 899
    await store.runs.sweep()
    assert await told(store) == []

    clock.now = NOW + 900
    assert await store.runs.sweep() == NOW + 900 + 600
    both = "Overdue: Revoke the exposed secret, Generate the replacement"
    assert await told(store) == [("chat", "overdue", both)]
    leased = await lease(store, "chat")
    assert leased is not None
    assert leased.key == f"incident:{ID}"
    assert leased.receipt == {"ts": "1"}, "in the thread of the incident"
    assert "replace was due 2027-01-15 08:15:00 UTC and is claimed by ada" in leased.text

    await store.runs.act(ID, "replace", "done", actor="ada")
    clock.now = NOW + 900 + 1499
    await store.runs.sweep()
    await store.runs.sweep()
    alone = "Overdue: Revoke the exposed secret"
    assert await told(store) == [
        ("chat", "overdue", both),
        ("pager", "overdue", alone),
        ("boss", "overdue", alone),
        ("chat", "overdue", "Overdue: Deploy the replacement"),
    ]
    clock.now = NOW + 100
    await store.runs.sweep()
    assert len(await told(store)) == 4, "a clock put back repeats nothing"
    assert [one for one in await actions(store) if one == "step_overdue:revoke"] == ["step_overdue:revoke"] * 3


async def test_what_is_overdue_and_not_sent_yet_is_told_no_more_once_somebody_has_taken_it(
    store: Store, clock: Clock
) -> None:
    await store.commit([finding("a")])
    await deliver(store)
    clock.now = NOW + 1000
    await store.runs.sweep()
    await store.incidents.transition(ID, "ack", actor="ada")
    assert await deliver(store) == ["acknowledged"]


async def test_deadlines_survive_a_restart_and_a_changed_ladder(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        await store.commit([finding("a")])
        await deliver(store)
    clock.now = NOW + 1000
    async with await opened(url, clock) as store:
        store.procedure = Procedure("high", (Rung(300.0, ("boss",)),), runbook.load)
        assert await store.runs.sweep(everything=True) == NOW + 900 + 300
        assert await told(store) == []
        clock.now = NOW + 1200
        await store.runs.sweep()
        assert [sink for sink, *_ in await told(store)] == ["boss"]


async def test_a_silence_holds_deadlines_back_until_it_ends(url: str, clock: Clock) -> None:
    ends = datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1)
    quiet = Silence(matchers=(Matcher.parse('rule="github-pat"'),), ends=ends, comment="known")
    async with await opened(url, clock, Policy(POLICY.sinks, POLICY.routes, (quiet,))) as store:
        await store.commit([finding("a")])
        clock.now = NOW + 1000
        assert await store.runs.sweep() == NOW + 3600
        assert await told(store) == []
        clock.now = NOW + 3601
        await store.runs.sweep()
        assert {sink for sink, *_ in await told(store)} == {"chat", "pager", "boss"}


async def test_a_pager_is_woken_under_a_key_of_its_own_and_told_when_nothing_is_overdue(
    store: Store, clock: Clock
) -> None:
    await store.commit([finding("a")])
    await deliver(store)
    clock.now = NOW + 900 + 600
    await store.runs.sweep()
    leased = await lease(store, "pager")
    assert leased is not None
    assert (leased.key, leased.reason, leased.severity) == (f"overdue:{ID}", "overdue", "critical")
    await store.outbox.sent(leased.id, {"dedup_key": leased.key})
    await store.runs.act(ID, "revoke", "done", actor="ada", note="gone")
    assert await lease(store, "pager") is None
    await store.runs.act(ID, "replace", "done", actor="ada")
    leased = await lease(store, "pager")
    assert leased is not None
    assert (leased.key, leased.reason) == (f"overdue:{ID}", "recovered")


CHILD = """
import asyncio, os, random, signal, sys
from monitor import runbook
from monitor.routing.routes import Policy, Route
from monitor.runbook.progress import Procedure, RunError, Rung
from monitor.store import Store, database
from tests.monitor.store.helpers import finding, fingerprint

left = int(sys.argv[2])
def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
database.after_commit = count

async def main():
    policy = Policy(sinks=("chat", "pager"), routes=(Route(sinks=("chat",)),))
    procedure = Procedure("high", (Rung(), Rung(10.0, ("pager",))), runbook.load)
    now = 1_800_000_000.0
    store = await Store.open(sys.argv[1], policy, procedure=procedure, secret=b"k" * 16, clock=lambda: now)
    await store.commit([finding("a")])
    for step in ("revoke", "replace", "deploy"):
        try:
            await store.runs.act(fingerprint("a")[:16], step, "done", actor="ada", note="n")
        except RunError:
            pass
    now += 4000
    await store.runs.sweep()
    await store.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("kill", range(1, 9))
async def test_killed_between_any_two_transactions_nothing_is_lost_or_doubled(
    tmp_path: Path, forks: Forks, kill: int
) -> None:
    path = tmp_path / "state.db"
    for left in (kill, 0):
        done = await asyncio.to_thread(forks.python, CHILD, str(path), str(left))
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    async with await Store.open(path, POLICY, secret=b"k" * 16) as store:
        found = await actions(store)
        assert found.count("run_started") == 1
        for step in ("revoke", "replace", "deploy"):
            assert found.count(f"step_done:{step}") == 1
        for step in ("audit", "actions", "notify"):
            assert found.count(f"step_overdue:{step}") == 2
        assert [sink for sink, *_ in await told(store)] == ["chat", "pager"]
