"""What each page says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.common.notification import IncidentView
from monitor.common.wording import (
    decision,
    following,
    moment,
    next_step,
    origin,
    place,
    stands,
    steps,
    sure,
    title,
    works,
)
from monitor.runbook import Runbook
from monitor.runbook.progress import RunbookRun, Task
from monitor.store import AuditEntry
from monitor.web.console.markup import document, link, table, tag

__all__ = ["book", "incident", "incidents"]


def incident(shown: IncidentView, run: RunbookRun | None, history: Sequence[AuditEntry]) -> str:
    """`run`: of its runbook, under way or ended."""
    rows = [
        ("what", title(shown)),
        ("rule", shown.rule),
        ("severity", ", ".join(filter(None, (shown.severity, sure(shown))))),
        ("state", decision(shown) or stands(shown)),
        ("owner", shown.owner or "nobody"),
        *((("merged into", link(f"/incidents/{shown.merged}", shown.merged)),) if shown.merged else ()),
        ("secret", shown.masked),
        ("works", works(shown) or "its issuer was not asked"),
        ("fingerprint", shown.fingerprint),
        ("first logged", moment(shown.first_logged) if shown.first_logged else "the log does not say"),
        ("first seen", moment(shown.first_seen)),
        ("last seen", moment(shown.last_seen)),
        ("occurrences", f"{shown.occurrences:,}"),
        *sorted(shown.labels.items()),
    ]
    body: list[str] = [tag("h1", title(shown)), table(rows)]
    if shown.state != "resolved":
        body.append(tag("p", tag("b", "First:"), " ", shown.first_step))
    if shown.runbook:
        body.append(tag("p", link(shown.runbook, "Runbook")))
    if run is not None:
        how_far = steps(shown) or f"{run.done} of {len(run.tasks)} done"
        body += [tag("h2", "Steps"), tag("p", f"{run.title}: {how_far}"), table(map(_task, run.tasks))]
    state = "Acknowledge" if shown.state == "open" else "Resolve"
    for label, command in ((state, following(shown)), ("Next", next_step(shown))):
        if command:
            body.append(tag("p", f"{label}: ", tag("code", command)))
    body += [tag("h2", "Where"), table(_places(shown))]
    if shown.occurrences > len(shown.locations):
        body.append(tag("p", f"and {shown.occurrences - len(shown.locations):,} more, before these"))
    body += [tag("h2", "History"), table(map(_entry, history))]
    return document(title(shown), *body)


def incidents(shown: Sequence[IncidentView]) -> str:
    heads = ("id", "severity", "state", "works", "what", "secret", "times", "last seen", "where")
    rows = [
        (
            link(f"/incidents/{item.id}", item.id),
            item.severity,
            item.state,
            item.validity or "-",
            title(item),
            item.masked,
            f"{item.occurrences:,}",
            moment(item.last_seen),
            place(item.locations[0]) if item.locations else "-",
        )
        for item in shown
    ]
    return document("Incidents", tag("h1", "Incidents"), table(rows, heads) if rows else tag("p", "There are none."))


def book(shown: Runbook) -> str:
    return document(shown.title, tag("h1", shown.title), tag("pre", shown.text()))


def _places(shown: IncidentView) -> list[tuple[str, ...]]:
    return [
        (
            origin(one),
            place(one),
            moment(when) if (when := one.logged_at or one.time) else "",
            one.context or "",
            link(one.url, "open") if one.url else "",
        )
        for one in shown.locations
    ]


def _task(task: Task) -> tuple[str, ...]:
    when = f"since {moment(task.since)}" if task.over else f"due {moment(task.deadline)}"
    return task.id, task.title, task.state, task.owner or "", when, task.note


def _entry(entry: AuditEntry) -> tuple[str, ...]:
    became = f" as {entry.resolution}" if entry.resolution else ""
    return moment(entry.at), entry.action + became, entry.step or "", entry.actor, entry.note
