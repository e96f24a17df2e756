from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from monitor import runbook
from monitor.routing.match import Matcher
from monitor.runbook.progress import (
    Facts,
    Procedure,
    RunbookRun,
    RunError,
    Rung,
    act,
    apply,
    begin,
    choose_order,
    moment,
    possible,
    progress,
    quiet,
)

NOW = 1_800_000_000.0
BOOK = runbook.load("aws-key")
LADDER = (Rung(), Rung(600.0, ("pager",), "critical"), Rung(3600.0, ("boss",)))


def run_of(severity: str = "critical", **labels: str) -> RunbookRun:
    assert BOOK is not None
    return begin("i", BOOK, {"severity": severity, **labels}, NOW)


def facts(**changes: Any) -> Facts:
    return replace(Facts("open", "critical", NOW), **changes)


def states(run: RunbookRun) -> dict[str, str]:
    return {task.id: task.state for task in run.tasks if task.state != "open"}


def settled(run: RunbookRun, known: Facts, now: float, ladder: tuple[Rung, ...] = ()) -> RunbookRun:
    for decision in progress(run, known, now, ladder):
        run = apply(run, decision, now)
    assert not progress(run, replace(known, reopened=None), now, ladder), "deciding again must change nothing"
    return run


@pytest.mark.parametrize(
    ("labels", "asked", "order", "why"),
    [
        ({"severity": "critical"}, None, "contain", "severity critical"),
        ({"severity": "high"}, None, "contain", "severity high"),
        ({"severity": "medium"}, None, "replace", "severity medium"),
        ({"severity": "low", "publicly_leaked": "true"}, None, "contain", "public"),
        ({"severity": "critical", "validity": "active"}, None, "contain", "works"),  # says GitHub
        ({"severity": "critical", "validity": "valid"}, None, "contain", "works"),  # says the issuer
        ({"severity": "low", "publicly_leaked": "true"}, "replace", "replace", "somebody"),
    ],
)
def test_the_order_is_chosen_by_people_danger_and_severity(
    labels: dict[str, str], asked: Any, order: str, why: str
) -> None:
    assert BOOK is not None
    chosen, reason = choose_order(BOOK, labels, asked)
    assert chosen == order
    assert why in reason


def test_the_runbook_may_say_the_order_but_not_for_what_is_public() -> None:
    assert BOOK is not None
    book = replace(BOOK, order="replace")
    assert choose_order(book, {"severity": "critical"})[0] == "replace"
    assert choose_order(book, {"severity": "critical", "publicly_leaked": "true"})[0] == "contain"


def test_containing_first_revokes_first_and_replacing_first_last_of_the_three() -> None:
    contain, replaced = run_of("critical"), run_of("low")
    assert contain.next is not None
    assert contain.next.id == "revoke"
    assert (contain.next.deadline, len(contain.tasks), contain.done) == (NOW + 900, 9, 0)
    assert replaced.next is not None
    assert replaced.next.id == "replace"
    with pytest.raises(RunError, match=r"revoke comes after deploy .*--anyway"):
        act(replaced, "revoke", "done", actor="ada", now=NOW, note="gone")
    for step in ("replace", "deploy", "revoke"):
        replaced, _ = act(replaced, step, "done", actor="ada", now=NOW, note="seen to")
    assert replaced.done == 3


def test_a_step_that_needs_one_that_was_left_out_does_not_wait_for_it() -> None:
    assert BOOK is not None
    steps = tuple(
        step.model_copy(update={"when": (Matcher.parse('source="github"'),)}) if step.id == "audit" else step
        for step in BOOK.steps
    )
    run = begin("i", replace(BOOK, steps=steps), {"severity": "high", "source": "logs"}, NOW)
    assert "audit" not in [task.id for task in run.tasks]
    assert run.task("actions").needs == ()
    assert act(run, "actions", "done", actor="ada", now=NOW)[0].done == 1


def test_what_people_do() -> None:
    run = run_of()
    run, task = act(run, "revoke", "claim", actor="ada", now=NOW + 1)
    assert (task.state, task.owner, task.since) == ("claimed", "ada", NOW + 1)
    with pytest.raises(RunError, match="claimed already by ada"):
        act(run, "revoke", "claim", actor="ada", now=NOW)
    with pytest.raises(RunError, match="claimed by ada; take it over"):
        act(run, "revoke", "claim", actor="bob", now=NOW)
    run, task = act(run, "revoke", "claim", actor="bob", now=NOW + 2, anyway=True)
    assert task.owner == "bob"
    run, task = act(run, "revoke", "done", actor="cy", now=NOW + 3, note="inactive in IAM")
    assert (task.state, task.owner, task.note) == ("done", "cy", "inactive in IAM")
    with pytest.raises(RunError, match="done already by cy; reopen it first"):
        act(run, "revoke", "done", actor="ada", now=NOW, note="gone")
    with pytest.raises(RunError, match="why"):
        act(run, "notify", "skip", actor="ada", now=NOW)
    run, task = act(run, "notify", "skip", actor="ada", now=NOW, note="ours alone")
    assert task.state == "skipped"
    run, task = act(run, "replace", "fail", actor="ada", now=NOW, note="console is down")
    assert task.state == "failed"
    assert run.next is not None
    assert run.next.id == "replace", "what failed is still to be done"
    run, task = act(run, "revoke", "reopen", actor="ada", now=NOW + 100)
    assert (task.state, task.deadline, task.rung) == ("open", NOW + 1000, 0)
    with pytest.raises(RunError, match="open already"):
        act(run, "revoke", "reopen", actor="ada", now=NOW)
    with pytest.raises(RunError, match="no step 'rewoke'; it has revoke, "):
        act(run, "rewoke", "done", actor="ada", now=NOW)


def test_proofs_and_the_resolution_finish_steps_and_the_last_one_ends_the_run() -> None:
    run = settled(run_of(), facts(proofs={"refused": NOW + 5}), NOW + 6)
    assert states(run) == {"revoke": "done"}
    assert run.task("revoke").note == "the issuer refuses the secret"
    run = settled(run, facts(proofs={"unseen": NOW + 5}), NOW + 6)
    assert "deploy" not in states(run), "it needs the replacement"
    resolved = settled(run_of(), facts(state="resolved", resolution="revoked"), NOW + 6)
    assert states(resolved) == {"revoke": "done"}
    assert resolved.ended is None
    for task in run.tasks:
        if not task.over:
            run, _ = act(run, task.id, "done", actor="ada", now=NOW + 7, anyway=True, note="seen to")
    run = settled(run, facts(seen=NOW), NOW + 8)
    assert run.ended == NOW + 8
    assert run.next is None
    with pytest.raises(RunError, match="has ended"):
        act(run, "revoke", "claim", actor="ada", now=NOW)


def test_a_proof_from_before_the_run_proves_nothing() -> None:
    assert not states(settled(run_of(), facts(proofs={"refused": NOW - 5}), NOW + 6))


@pytest.mark.parametrize("resolution", ["false_positive", "used_in_tests", "wont_fix"])
def test_what_is_no_exposure_ends_the_run_and_a_second_thought_takes_it_up_again(resolution: str) -> None:
    run, _ = act(run_of(), "revoke", "done", actor="ada", now=NOW, note="gone")
    run = settled(run, facts(state="resolved", resolution=resolution), NOW + 9, LADDER)
    assert run.ended == NOW + 9
    assert states(run) == {"revoke": "done"}
    assert moment(run, LADDER, {}) is None
    assert progress(run, facts(), NOW + 9999, LADDER) == []
    run = settled(run, facts(reopened="hand"), NOW + 9999, LADDER)
    assert run.ended is None
    assert states(run) == {"revoke": "done"}
    assert run.task("replace").deadline == NOW + 9999 + 900


def test_a_sighting_after_the_resolution_reopens_the_steps_that_claimed_it_and_an_ended_run() -> None:
    run = run_of()
    for task in run.tasks:
        run, _ = act(run, task.id, "done", actor="ada", now=NOW + 7, anyway=True, note="seen to")
    run = settled(run, facts(state="resolved", resolution="revoked"), NOW + 8)
    assert run.ended is not None
    run = settled(run, facts(reopened="seen", seen=NOW + 50), NOW + 51)
    assert run.ended is None
    assert [task.id for task in run.tasks if task.state == "open"] == ["revoke", "deploy"]
    assert run.task("revoke").deadline == NOW + 51 + 900


def test_a_sighting_after_deploy_reopens_deploy_alone() -> None:
    run = run_of()
    for step in ("revoke", "replace", "deploy"):
        run, _ = act(run, step, "done", actor="ada", now=NOW + 7, note="seen to")
    run = settled(run, facts(seen=NOW + 6), NOW + 8)
    assert run.done == 3
    run = settled(run, facts(seen=NOW + 60), NOW + 61)
    assert states(run) == {"revoke": "done", "replace": "done"}


def test_each_rung_is_told_once_and_a_finished_step_of_none() -> None:
    run = run_of()
    assert moment(run, LADDER, {}) == NOW + 900
    assert progress(run, facts(), NOW + 899, LADDER) == []
    first = progress(run, facts(), NOW + 900, LADDER)
    assert [(decision.step, decision.rung) for decision in first] == [("revoke", 0), ("replace", 0)]
    run = settled(run, facts(), NOW + 900, LADDER)
    assert moment(run, LADDER, {}) == NOW + 900 + 600
    run, _ = act(run, "replace", "done", actor="ada", now=NOW + 1000)
    later = progress(run, facts(), NOW + 900 + 3600, LADDER)
    assert [(one.step, one.rung) for one in later if one.step in ("revoke", "replace")] == [
        ("revoke", 1),
        ("revoke", 2),
    ]
    run = settled(run, facts(), NOW + 900 + 3600, LADDER)
    assert run.task("revoke").rung == 3
    assert progress(run, facts(), NOW + 2000, LADDER) == [], "a clock put back tells nothing twice"


def test_a_rung_that_is_not_for_this_incident_is_passed_over() -> None:
    ladder = (Rung(matchers=(Matcher.parse('severity="low"'),)), Rung(60.0))
    found = progress(run_of(), facts(), NOW + 960, ladder, {"severity": "critical"})
    assert [(one.step, one.rung) for one in found] == [("revoke", 1), ("replace", 1)]
    run = settled(run_of(), facts(), NOW + 960, (Rung(), *ladder[:1]))
    assert moment(run, ladder, {"severity": "critical"}) == NOW + 960
    assert moment(run, (Rung(), *ladder[:1]), {"severity": "critical"}) > NOW + 960, "no rung is due for ever"


def test_severities_start_runs_by_themselves_from_one_on() -> None:
    assert not Procedure().starts("critical")
    procedure = Procedure("high")
    assert [procedure.starts(one) for one in ("medium", "high", "critical")] == [False, True, True]  # type: ignore[arg-type]


def test_whatever_happens_in_whatever_order_the_run_stays_whole() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        run, now, known = run_of(chance.choice(["critical", "low"])), NOW, facts()
        told: list[tuple[str | None, int, int]] = []
        reopened = 0
        for _ in range(60):
            now += chance.choice([1.0, 30.0, 900.0, -600.0, 7200.0])
            task = chance.choice(run.tasks)
            known = chance.choice(
                [
                    facts(),
                    facts(seen=now),
                    facts(state="resolved", resolution="revoked"),
                    facts(seen=now, reopened="seen"),
                    facts(proofs={"refused": now, "valid": now, "unseen": now}),
                ]
            )
            for decision in progress(run, known, now, LADDER):
                assert decision.reason
                run = apply(run, decision, now)
                reopened += decision.kind == "reopen"
                if decision.kind == "overdue":
                    told.append((decision.step, decision.rung, reopened))
            verb: Any = chance.choice(["claim", "done", "skip", "fail", "reopen"])
            try:
                run, _ = act(run, task.id, verb, actor="ada", now=now, note="n", anyway=chance.random() < 0.5)
                reopened += verb == "reopen"
            except RunError:
                pass
            assert (run.next is None) == (run.ended is not None or all(task.over for task in run.tasks))
            assert all(0 <= task.rung <= len(LADDER) for task in run.tasks)
        assert len(told) == len(set(told)), "each rung once"
        for step in {step for step, *_ in told}:
            rungs = [(again, rung) for name, rung, again in told if name == step]
            assert all(later[1] != before[1] or later[0] > before[0] for before, later in pairwise(rungs))


def test_deadlines_of_a_clock_that_was_put_back_are_set_anew() -> None:
    run = run_of()
    assert possible(run, NOW) == run
    assert possible(run, NOW + 10 * 86_400) == run, "what is overdue stays so"
    assert possible(run, NOW - 30) == run, "so far two clocks may differ"
    back = NOW - 40_000_000
    assert {task.id: task.deadline - back for task in possible(run, back).tasks} == {
        task.id: task.within for task in run.tasks
    }


def replaced(now: float = NOW) -> RunbookRun:
    """The new secret is made: deploying it is next."""
    return act(run_of(), "replace", "done", actor="ada", now=now)[0]


def test_what_no_log_shows_any_more_is_deployed() -> None:
    run = replaced(NOW + 60)
    known = facts(seen=NOW + 100, watched=NOW - 1)
    assert quiet(run, known.seen) == {"deploy": NOW + 3700}
    assert states(settled(run, known, NOW + 3699)) == {"replace": "done"}
    done = settled(run, known, NOW + 3700)
    assert done.task("deploy").state == "done"
    assert done.task("deploy").note == "no log has shown the secret for 1 hour"
    # And the next sighting says otherwise.
    again = settled(done, replace(known, seen=NOW + 5000), NOW + 5000)
    assert again.task("deploy").state == "open"
    assert quiet(again, NOW + 5000) == {"deploy": NOW + 8600}


@pytest.mark.parametrize(
    ("run", "changes"),
    [
        (run_of(), {}),  # silent before there is another secret
        (replaced(NOW + 4000), {}),  # silent for less than an hour since there is
        (replaced(), {"watched": None}),  # nobody looked
        (replaced(), {"watched": NOW + 4000}),  # nobody looked for most of the time
        (replaced(), {"seen": NOW + 4000}),
        (act(replaced(), "deploy", "fail", actor="ada", now=NOW + 4000)[0], {}),
    ],
)
def test_silence_that_says_nothing_finishes_no_step(run: RunbookRun, changes: dict[str, Any]) -> None:
    settled_run = settled(run, facts(**{"watched": NOW, **changes}), NOW + 7000)
    assert not settled_run.task("deploy").over


def test_silence_is_looked_for_when_it_may_be_there_and_soon_again_while_nobody_watches() -> None:
    run = replaced()
    assert moment(run, (), {}) == NOW + 3600
    assert moment(run, (), {}, seen=NOW + 50) == NOW + 3650
    assert moment(run, (), {}, seen=NOW + 50, now=NOW + 4000) == NOW + 4015
    assert moment(run_of(), (), {}) is None


def test_revoked_is_only_what_somebody_can_say_how_they_know() -> None:
    with pytest.raises(RunError, match=r"nothing shows that the secret is revoked.*monitor verify.*--note"):
        act(run_of(), "revoke", "done", actor="ada", now=NOW, anyway=True)
    assert act(run_of(), "revoke", "done", actor="ada", now=NOW, note="the page says so")[0].done == 1
