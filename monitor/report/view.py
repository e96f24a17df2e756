"""The one picture of an incident, from what the store keeps of it: everything that shows one shows this. Pure.

The picture itself (`IncidentView`) lies on the ground floor, as sinks import nothing else of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.common.invocation import Program
from monitor.common.notification import IncidentView, Offer, RunbookProgress, StepClaim
from monitor.domain.incidents import Incident, Verified
from monitor.runbook import Runbook
from monitor.runbook.progress import REFUSED, RunbookRun, choose_order
from monitor.store.records import ActionRun, Joined

__all__ = ["FIRST_STEP", "Books", "Links", "Offers", "view"]

FIRST_STEP = "Revoke the secret where it was issued, then replace it wherever it is used."

# Of an incident: actions that may be asked for, and how many have to approve.
Offers = Callable[[Incident], Sequence[tuple[str, int]]]
Books = Callable[[str | None], Runbook | None]  # a runbook by its name


@dataclass(frozen=True, slots=True)
class Links:
    """Where alerts point to, without a slash at the end; None: no link. And how a shell calls this program."""

    console: str | None = None  # → {console}/incidents/{id}
    runbooks: str | None = None  # → {runbooks}/{name}
    program: Program = field(default_factory=Program)

    @classmethod
    def below(cls, base: str | None, program: Program) -> Links:
        """`base`: where people reach our HTTP server; None: nobody knows."""
        return cls(base, f"{base}/runbooks" if base else None, program)


def view(
    incident: Incident,
    joined: Joined = Joined(),
    *,
    links: Links = Links(),
    books: Books = lambda name: None,
    offers: Offers | None = None,
) -> IncidentView:
    """`offers`: for what people act through."""
    book = books(incident.runbook)
    run = joined.runs.get(incident.id)
    first, first_at = (book.advice(_facts(incident, book, run)), book.where) if book else (FIRST_STEP, "")
    if run is not None and run.next is not None and run.next.claims != "revoked":
        first, first_at = f"{run.next.title}.", ""
    actor, note, decided_at = joined.decided.get(incident.id, (None, "", None))
    return IncidentView(
        id=incident.id,
        fingerprint=incident.fingerprint,
        rule=incident.rule,
        name=incident.name,
        severity=incident.severity,
        state=incident.state,
        masked=incident.masked,
        first_seen=_time(incident.first_seen),
        last_seen=_time(incident.last_seen),
        occurrences=incident.occurrences,
        locations=incident.locations,
        owner=incident.owner,
        first_step=first,
        first_at=first_at,
        book=incident.runbook,
        runbook=f"{links.runbooks}/{book.name}" if links.runbooks and book else None,
        url=f"{links.console}/incidents/{incident.id}" if links.console else None,
        labels=incident.labels,
        resolution=incident.resolution,
        actor=actor,
        note=note,
        decided_at=None if decided_at is None else _time(decided_at),
        resolved_at=None if incident.resolved_at is None else _time(incident.resolved_at),
        claim=_claim(run),
        merged=incident.merged,
        confidence=incident.confidence,
        first_logged=None if incident.first_logged is None else _time(incident.first_logged),
        program=links.program.call,
        options=links.program.options,
        drill=incident.fingerprint in joined.drills,
        run=None if run is None or run.ended is not None else _progress(run),
        offers=_offers(offers(incident), joined.actions.get(incident.id, ())) if offers else (),
        **_answer(incident.verified),
    )


def _facts(incident: Incident, book: Runbook, run: RunbookRun | None) -> dict[str, str]:
    """What advice goes by: its labels, what matchers see of it, and the order of its run, or of one begun now."""
    validity = incident.verified.validity if incident.verified else incident.labels.get("validity", "")
    seen = {**incident.labels, "severity": incident.severity, "validity": validity}
    return seen | {"order": run.order if run is not None else choose_order(book, seen)[0]}


def _offers(configured: Sequence[tuple[str, int]], runs: Sequence[ActionRun]) -> tuple[Offer, ...]:
    """What is configured, as it stands, and what is not any more but was done."""
    latest: dict[str, ActionRun] = {}
    for one in runs:  # newest first
        latest.setdefault(one.action, one)
    found = [
        Offer(name, needed, latest[name].approvals, latest[name].state) if name in latest else Offer(name, needed)
        for name, needed in configured
    ]
    names = {name for name, _ in configured}
    return (
        *found,
        *(Offer(name, one.needed, one.approvals, one.state) for name, one in latest.items() if name not in names),
    )


def _progress(run: RunbookRun) -> RunbookProgress:
    following = run.next
    if following is None:
        return RunbookProgress(run.book, run.order, run.done, len(run.tasks))
    return RunbookProgress(
        book=run.book,
        order=run.order,
        done=run.done,
        total=len(run.tasks),
        step=following.id,
        title=following.title,
        deadline=_time(following.deadline),
        owner=following.owner if following.state == "claimed" else None,
        overdue=following.rung > 0,
    )


def _claim(run: RunbookRun | None) -> StepClaim | None:
    done = [task for task in (run.tasks if run else ()) if task.claims == "revoked" and task.state == "done"]
    first = min(done, key=lambda task: task.since, default=None)
    if first is None:
        return None
    # A step that a person does is theirs from then on: what they write counts as their word, whatever it is.
    checked = first.owner is None and first.note.startswith(REFUSED)
    return StepClaim(_time(first.since), first.owner or "monitor", first.note, checked)


def _answer(verified: Verified | None) -> dict[str, Any]:
    if verified is None:
        return {}
    return {
        "validity": verified.validity,
        "asked_at": _time(verified.at),
        "verdict": verified.reason,
        "verified": verified.facts,
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
