from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from monitor import runbook
from monitor.common.notification import Location
from monitor.domain.incidents import Incident, Verified
from monitor.report.dossier import Dossier, events, milestones, spans, together, used
from monitor.runbook.progress import act, begin
from monitor.store import AuditEntry, OutboxEntry, Use

T = 1_800_000_000.0


def place(**changes: Any) -> Location:
    found = Location("logs", "/var/log/a.log", 1, 2, datetime.fromtimestamp(T, UTC), host="web-3", service="payments")
    return replace(found, **changes)


INCIDENT = Incident(
    *("i1", "f" * 64, "github-pat", "GitHub token", "critical", "high", "resolved", "ghp_ab…", T, T + 50, 3),
    resolution="revoked",
    resolved_at=T + 4000,
    owner="ada",
    runbook="github-token",
    labels={"user": "ci"},
    locations=(place(),),
    first_logged=T - 100,
)


def entry(at: float, actor: str, action: str, note: str = "", step: str | None = None) -> AuditEntry:
    return AuditEntry(T + at, actor, "i1", action, "open", "open", None, "critical", note, step)


HISTORY = [
    entry(1, "monitor", "opened"),
    entry(1, "monitor", "run_started", "github-token", ""),
    entry(60, "ada", "acknowledged"),
    entry(300, "ada", "step_done", "deleted", "revoke"),
    entry(600, "monitor", "step_reopened", "seen again", "revoke"),
    entry(900, "bob", "step_done", "deleted for good", "revoke"),
    entry(1200, "bob", "step_done", "", "replace"),
]
TOLD = [
    OutboxEntry("n1", "chat", "new", "sent", ("i1",), "", T + 1, T + 1, 0, None, T + 3),
    OutboxEntry("n2", "pager", "overdue", "dead", ("i1",), "", T + 901, T + 901, 3, "no such key", T + 905),
    OutboxEntry("n3", "chat", "update", "pending", ("i1",), "", T + 901, T + 901, 0, None, None),
]


def dossier(**changes: Any) -> Dossier:
    book = runbook.load("github-token")
    assert book is not None
    run, _ = act(
        begin("i1", book, {"severity": "critical"}, T + 1), "revoke", "done", actor="bob", now=T + 900, note="gone"
    )
    return replace(Dossier(INCIDENT, run, HISTORY, TOLD, T + 5000), **changes)


def test_everything_that_happened_is_in_order() -> None:
    found = events(dossier())
    assert [one.at for one in found] == sorted(one.at for one in found)
    what = [(one.at - T, one.who, one.what) for one in found]
    assert what[0] == (-100, "the log", "first logged")
    assert (3, "chat", "reported (new)") in what
    assert (905, "pager", "could not be reported (overdue)") in what
    assert (600, "monitor", "step revoke reopened") in what
    assert not any("update" in one for *_, one in what), "what was not sent has not happened"


def test_times_count_from_their_own_beginning_and_a_step_that_was_taken_back_from_its_last_time() -> None:
    assert {one.name: one.seconds for one in spans(dossier())} == {
        "detect": 100,
        "tell": 2,
        "acknowledge": 59,
        "revoke": 899,
        "replace": 1199,
        "deploy": None,
        "close": 3999,
    }
    found = dossier()
    assert found.run is not None
    run, _ = act(found.run, "revoke", "reopen", actor="ada", now=T + 950)
    known = replace(INCIDENT, state="open", resolution=None, resolved_at=None)
    assert {one.name: one.seconds for one in spans(replace(found, incident=known, run=run))}["revoke"] is None


def test_what_is_not_known_has_no_time() -> None:
    bare = replace(INCIDENT, first_logged=None, state="open", resolution=None, resolved_at=None)
    found = {one.name: one.seconds for one in spans(dossier(incident=bare, run=None, history=[], told=[]))}
    assert set(found.values()) == {None}


def test_milestones_are_in_the_order_of_time() -> None:
    assert [name for name, _ in milestones(dossier())] == [
        *("logged", "read", "opened", "reported", "acknowledged", "said to be revoked", "replaced", "resolved"),
    ]
    asked = replace(INCIDENT, verified=Verified("refused", T + 4100, "401"))
    assert ("revoked", T + 900) in milestones(dossier(incident=asked))


def use(first: float, last: float, principal: str = "app", times: int = 1, **changes: Any) -> Use:
    found = Use("secret/app", principal, "10.0.0.1", "read", "vault", (), "", T + first, T + last, times)
    return replace(found, **changes)


def test_who_used_the_secret_since_it_was_exposed_is_on_the_timeline() -> None:
    uses = [use(5000, 5100), use(-500, -50, times=7), use(-9000, -8000, "before"), use(60, 60, "web", outcome="denied")]
    asked = dossier(uses=uses)
    first, second = together(asked)
    assert (first.principal, first.first, first.last, first.times) == ("app", T - 100, T + 5100, 8)
    assert (second.principal, second.outcome) == ("web", "denied")
    assert used(first).startswith("8 times from 10.0.0.1, last 2027-01-15 ")
    assert used(use(0, 0, address="")).startswith("1 time, last ")
    told = [(one.at - T, one.who, one.what) for one in events(asked)]
    assert (-100, "app", "read secret/app") in told
    assert (60, "web", "was refused secret/app") in told
    assert not any(who == "before" for _, who, _ in told)
