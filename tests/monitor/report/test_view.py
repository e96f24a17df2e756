from __future__ import annotations

from dataclasses import replace

import pytest

from monitor import runbook
from monitor.common.invocation import Program
from monitor.common.severity import Severity
from monitor.domain.incidents import Incident, Verified
from monitor.report.view import FIRST_STEP, Links, view
from monitor.runbook.progress import BY_WORD, REFUSED, StepDecision, act, apply, begin
from monitor.store import Joined
from monitor.store.records import ActionRun

INCIDENT = Incident("i", "f", "r", "N", "high", "high", "open", "m", 1.0, 2.0, 3, runbook="aws-key")


def test_without_a_runbook_it_has_a_first_step_all_the_same() -> None:
    shown = view(INCIDENT)
    assert (shown.first_step, shown.first_at) == (FIRST_STEP, "")
    assert (shown.url, shown.runbook, shown.occurrences) == (None, None, 3)


def test_a_run_under_way_says_what_is_next_and_an_ended_one_nothing() -> None:
    book = runbook.load("aws-key")
    assert book is not None
    run = begin("i", book, {"severity": "critical"}, 1000.0)
    shown = view(INCIDENT, Joined(runs={"i": run}), books=runbook.load)
    assert (shown.first_step, shown.first_at) == (book.advice({}), book.where)
    assert shown.run is not None
    assert (shown.run.step, shown.run.done, shown.run.total, shown.run.overdue) == ("revoke", 0, 9, False)
    run, _ = act(run, "revoke", "done", actor="ada", now=1001.0, note="gone")
    run, _ = act(run, "replace", "claim", actor="ada", now=1001.0)
    shown = view(INCIDENT, Joined(runs={"i": run}), books=runbook.load)
    assert (shown.first_step, shown.first_at) == ("Generate the replacement.", ""), "that is done elsewhere"
    assert shown.run is not None
    assert (shown.run.step, shown.run.done, shown.run.owner) == ("replace", 1, "ada")
    assert view(INCIDENT, Joined(runs={"i": replace(run, ended=1002.0)})).run is None


def test_who_has_revoked_it_by_its_step_and_whether_the_monitor_has_seen_that() -> None:
    book = runbook.load("aws-key")
    assert book is not None
    begun = begin("i", book, {"severity": "critical"}, 1000.0)
    run, _ = act(begun, "revoke", "done", actor="ada", now=1001.0, note=REFUSED)
    said = view(INCIDENT, Joined(runs={"i": run})).claim
    assert said is not None
    assert (said.at.timestamp(), said.by, said.checked) == (1001.0, "ada", False), "whatever words she takes"
    for reason, checked in ((f"{REFUSED}: 401", True), (BY_WORD, False)):
        made = view(INCIDENT, Joined(runs={"i": apply(begun, StepDecision("done", "revoke", reason), 1002.0)})).claim
        assert made is not None
        assert (made.by, made.note, made.checked) == ("monitor", reason, checked)
    assert view(INCIDENT, Joined(runs={"i": begun})).claim is None


def test_what_is_kept_beside_it_is_in_the_picture_and_that_of_others_is_not() -> None:
    said = Verified("valid", 5.0, "it works")
    asked = replace(INCIDENT, state="resolved", resolution="wont_fix", merged="j", verified=said)
    joined = Joined(decided={"i": ("ada", "twice", 1_700_000_000.0)}, drills=frozenset({"f"}))
    shown = view(asked, joined)
    assert (shown.actor, shown.note, shown.drill, shown.merged) == ("ada", "twice", True, "j")
    assert shown.decided_at is not None
    assert shown.decided_at.timestamp() == 1_700_000_000.0
    assert (shown.validity, shown.verdict) == ("valid", "it works")
    other = view(replace(INCIDENT, id="j", fingerprint="g"), joined)
    assert (other.actor, other.note, other.drill, other.asked_at) == (None, "", False, None)


def test_links_and_commands_are_those_of_this_installation() -> None:
    links = Links.below("https://m.example", Program("cd /srv && monitor", " --config a"))
    shown = view(INCIDENT, links=links, books=runbook.load)
    assert (shown.url, shown.runbook) == ("https://m.example/incidents/i", "https://m.example/runbooks/aws-key")
    assert (shown.program, shown.options) == ("cd /srv && monitor", " --config a")
    assert view(INCIDENT, links=Links.below(None, Program()), books=runbook.load).runbook is None
    assert view(INCIDENT, links=links).runbook is None, "there is no such page"


def test_actions_are_offered_as_they_stand_also_one_that_is_configured_no_more() -> None:
    done = ActionRun("a", "i", "gone", "completed", False, 1, ("bob",), "ada", 1.0)
    shown = view(INCIDENT, Joined(actions={"i": [done]}), offers=lambda rule: [("revoke", 2)])
    assert [(offer.name, offer.needed, offer.state) for offer in shown.offers] == [
        ("revoke", 2, ""),
        ("gone", 1, "completed"),
    ]
    assert view(INCIDENT, Joined(actions={"i": [done]})).offers == (), "only where people act through it"


def test_what_to_do_first_has_what_is_known_of_the_incident() -> None:
    named = view(replace(INCIDENT, labels={"access_key_id": "AKIA-ONE"}), books=runbook.load)
    assert "--access-key-id AKIA-ONE --user-name" in named.first_step
    assert "--access-key-id ID --user-name" in view(INCIDENT, books=runbook.load).first_step
    hostile = view(replace(INCIDENT, labels={"access_key_id": "x; rm -rf ~"}), books=runbook.load)
    assert "--access-key-id ID --user-name" in hostile.first_step


@pytest.mark.parametrize(
    ("labels", "severity", "words"),
    [
        ({"role": "anon"}, "critical", "Nothing is out"),
        ({"role": "service_role"}, "critical", "disable the legacy keys at Supabase now"),
        ({"role": "service_role"}, "medium", "make a secret key, deploy it, then disable"),
        ({}, "critical", "check the role in the token"),
    ],
)
def test_it_follows_the_role_of_the_key_and_the_order_of_the_run(
    labels: dict[str, str], severity: Severity, words: str
) -> None:
    found = replace(INCIDENT, runbook="database/supabase-legacy-jwt", labels=labels, severity=severity)
    assert words in view(found, books=runbook.load).first_step
