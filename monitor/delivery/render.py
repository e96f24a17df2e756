"""From a row of the outbox, with its incidents as they are now, to what a sink receives. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.common import notification as told
from monitor.common.notification import Notification
from monitor.common.severity import Severity, rank, worst
from monitor.incidents import Incident, Verified
from monitor.program import Program
from monitor.runbook.progress import Run
from monitor.store import Leased
from monitor.store.records import ActionRun

__all__ = ["FIRST_STEP", "FirstStep", "Links", "Offers", "present", "render"]

FIRST_STEP = "Revoke the secret where it was issued, then replace it wherever it is used."

Offers = Callable[[str], Sequence[tuple[str, int]]]  # rule → actions that may be asked for, how many have to approve
FirstStep = Callable[[str | None], str | None]  # runbook name (or None) → one sentence, None for FIRST_STEP


@dataclass(frozen=True, slots=True)
class Links:
    """Where alerts point to, without a slash at the end; None: no link. And how a shell calls this program."""

    console: str | None = None  # → {console}/incidents/{id}
    runbooks: str | None = None  # → {runbooks}/{name}
    program: Program = field(default_factory=Program)


def render(
    leased: Leased, *, links: Links, first_step: FirstStep, host: str = "", offers: Offers | None = None
) -> Notification:
    """The notification, the worst incidents first. `host`: whose monitor sends it; `offers`: for a sink that people act
    through."""
    shown = sorted(leased.incidents, key=lambda one: (-rank(one.severity), -one.last_seen))
    ready = tuple(
        present(
            one,
            decided=leased.decided.get(one.id),
            run=leased.runs.get(one.id),
            drill=one.fingerprint in leased.drills,
            links=links,
            first_step=first_step,
            offers=_offers(offers(one.rule), leased.actions.get(one.id, ())) if offers else (),
        )
        for one in shown
    )

    url = ready[0].url if len(ready) == 1 else None
    if url is None and links.console:
        url = f"{links.console}/incidents"
    title = leased.title
    if not title and leased.reason == "digest":
        title = f"{len(ready)} new incidents"

    return Notification(
        id=leased.id,
        key=leased.key,
        reason=leased.reason,
        incidents=ready,
        url=url,
        runbook=ready[0].runbook if ready else None,
        title=title,
        text=leased.text,
        severity=_severity(leased, ready),
        receipt=leased.receipt,
        host=host,
        again=leased.attempts > 0,
    )


def _severity(leased: Leased, ready: Sequence[told.IncidentView]) -> Severity:
    """That of the incidents now. What is overdue may be told as something worse."""
    now = [one.severity for one in ready]
    return worst([*now, leased.severity]) if leased.reason == "overdue" or not now else worst(now)


def present(
    incident: Incident,
    *,
    decided: tuple[str, str] | None = None,
    run: Run | None = None,
    drill: bool = False,
    links: Links = Links(),
    first_step: FirstStep = lambda runbook: None,
    offers: tuple[told.Offer, ...] = (),
) -> told.IncidentView:
    """An incident as sinks show it. `decided`: who changed its state last, and what they said."""
    first = first_step(incident.runbook) or FIRST_STEP
    if run is not None and run.next is not None and run.next.claims != "revoked":
        first = f"{run.next.title}."
    actor, note = decided or (None, "")
    runbook = f"{links.runbooks}/{incident.runbook}" if links.runbooks and incident.runbook else None
    return told.IncidentView(
        id=incident.id,
        fingerprint=incident.fingerprint,
        rule=incident.rule,
        name=incident.name,
        severity=incident.severity,
        state=incident.state,
        masked=incident.masked,
        first_seen=datetime.fromtimestamp(incident.first_seen, UTC),
        last_seen=datetime.fromtimestamp(incident.last_seen, UTC),
        occurrences=incident.occurrences,
        locations=incident.locations,
        owner=incident.owner,
        first_step=first,
        runbook=runbook,
        url=f"{links.console}/incidents/{incident.id}" if links.console else None,
        labels=incident.labels,
        resolution=incident.resolution,
        actor=actor,
        note=note,
        confidence=incident.confidence,
        first_logged=None if incident.first_logged is None else datetime.fromtimestamp(incident.first_logged, UTC),
        program=links.program.call,
        options=links.program.options,
        drill=drill,
        run=None if run is None or run.ended is not None else _progress(run),
        offers=offers,
        **_answer(incident.verified),
    )


def _offers(configured: Sequence[tuple[str, int]], runs: Sequence[ActionRun]) -> tuple[told.Offer, ...]:
    """What is configured, as it stands, and what is not any more but was done."""
    latest: dict[str, ActionRun] = {}
    for one in runs:  # newest first
        latest.setdefault(one.action, one)
    found = [
        told.Offer(name, needed, latest[name].approvals, latest[name].state)
        if name in latest
        else told.Offer(name, needed)
        for name, needed in configured
    ]
    names = {name for name, _ in configured}
    return (
        *found,
        *(told.Offer(n, one.needed, one.approvals, one.state) for n, one in latest.items() if n not in names),
    )


def _progress(run: Run) -> told.Progress:
    following = run.next
    if following is None:
        return told.Progress(run.book, run.order, run.done, len(run.tasks))
    return told.Progress(
        book=run.book,
        order=run.order,
        done=run.done,
        total=len(run.tasks),
        step=following.id,
        title=following.title,
        deadline=datetime.fromtimestamp(following.deadline, UTC),
        owner=following.owner if following.state == "claimed" else None,
        overdue=following.rung > 0,
    )


def _answer(verified: Verified | None) -> dict[str, Any]:
    if verified is None:
        return {}
    asked = datetime.fromtimestamp(verified.at, UTC)
    return {
        "validity": verified.validity,
        "asked_at": asked,
        "verdict": verified.reason,
        "verified": verified.facts,
    }
