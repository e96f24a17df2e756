"""The document about an incident, as Markdown and as a page of its own. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.common.outcome import outcome
from monitor.common.text import printable
from monitor.common.wording import decision, exposure, moment, origin, place, stands, sure, title, works
from monitor.report.dossier import REGULATOR, Dossier, events, milestones, spans, together, used
from monitor.report.picture import length, svg
from monitor.runbook.progress import BY_WORD

__all__ = ["ReportSection", "headline", "markdown", "page", "sections"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top;"
    "border-bottom:1px solid #8884}svg{width:100%}"
)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")
# What only people know. The hints go when they have written.
_PEOPLE = (
    ("What happened", "In three sentences, for somebody who was not there."),
    ("Who was affected", "Customers, systems and data that the secret could reach, and what the audit logs show."),
    ("Cause", "Which code or setting wrote the secret there, and why nothing stopped it."),
    ("What went well, what did not", "Detection, deadlines, tools, people."),
    ("Prevention", "Each measure with its owner and date."),
)


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading with a table, paragraphs, or both."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: Sequence[str] = ()


def markdown(dossier: Dossier) -> str:
    """The document as Markdown. Nothing of a path, a note or a label is taken for markup."""
    lines = [f"# {_md(headline(dossier))}", ""]
    for section in sections(dossier):
        lines += [f"## {_md(section.title)}", ""]
        if section.rows:
            lines += [f"| {' | '.join(section.head)} |", f"|{' --- |' * len(section.head)}"]
            lines += [f"| {' | '.join(_md(cell) for cell in row)} |" for row in section.rows]
            lines.append("")
        for paragraph in section.text:
            lines += [_md(paragraph), ""]
    return "\n".join(lines).rstrip() + "\n"


def page(dossier: Dossier) -> str:
    """The same as an HTML page that needs nothing else, with a picture of the timeline."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        f"<title>{_e(headline(dossier))}</title><style>{_STYLE}</style><body><h1>{_e(headline(dossier))}</h1>",
        svg(milestones(dossier), headline(dossier), calm=outcome(dossier.shown).harmless),
    ]
    for section in sections(dossier):
        parts.append(f"<h2>{_e(section.title)}</h2>")
        if section.rows:
            head = "".join(f"<th>{_e(cell)}</th>" for cell in section.head)
            body = "".join("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
        parts += [f"<p>{_e(paragraph)}</p>" for paragraph in section.text]
    return "".join([*parts, "</body></html>\n"])


def headline(dossier: Dossier) -> str:
    """What stands above it."""
    return f"Incident {dossier.incident.id}: {title(dossier.shown)}"


def sections(dossier: Dossier) -> list[ReportSection]:
    """All of it, in order."""
    return [
        _summary(dossier),
        _times(dossier),
        _exposure(dossier),
        ReportSection(
            "Timeline",
            ("when (UTC)", "who", "what", "note"),
            [(_time(one.at), one.who, one.what, one.note) for one in events(dossier)],
        ),
        *_uses(dossier),
        *_steps(dossier),
        _verified(dossier),
        *(() if outcome(dossier.shown).harmless else _to_decide(dossier)),
    ]


def _summary(dossier: Dossier) -> ReportSection:
    shown = dossier.shown
    people = dict.fromkeys(entry.actor for entry in dossier.history if entry.actor != "monitor")
    rows = [
        ("secret", f"{title(shown)} {shown.masked}"),
        ("severity", ", ".join(filter(None, (shown.severity, sure(shown))))),
        ("works", works(shown) or "its issuer was not asked"),
        ("state", decision(shown) or stands(shown)),
        *((("merged into", shown.merged),) if shown.merged else ()),
        ("owner", shown.owner or "nobody"),
        ("who acted", ", ".join(people) or "nobody"),
        ("rule", shown.rule),
        ("fingerprint", shown.fingerprint),
        *((f"label {name}", value) for name, value in sorted(shown.labels.items())),
    ]
    return ReportSection("Summary", ("", ""), rows)


def _times(dossier: Dossier) -> ReportSection:
    rows = [
        (f"to {one.name}", "—" if one.seconds is None else f"{length(one.seconds)} after it was {one.since}")
        for one in spans(dossier)
    ]
    return ReportSection("Times", ("time", ""), rows)


def _exposure(dossier: Dossier) -> ReportSection:
    shown = dossier.shown
    times = "once" if shown.occurrences == 1 else f"{shown.occurrences:,} times"
    text = f"{exposure(shown)}. Seen {times}."
    rows = [
        (
            origin(one),
            place(one) + (f" {one.url}" if one.url else ""),
            _time(when.timestamp()) if (when := one.logged_at or one.time) else "",
            one.context or "",
        )
        for one in shown.locations
    ]
    return ReportSection("Exposure", ("where", "path", "when (UTC)", "line, masked"), rows, (text,))


def _uses(dossier: Dossier) -> list[ReportSection]:
    rows = [(one.principal, f"{one.outcome} {one.secret}", _time(one.first), used(one)) for one in together(dossier)]
    head = ("who", "what", "first (UTC)", "how often")
    return [ReportSection("Who used it since it was exposed", head, rows)] if rows else []


def _steps(dossier: Dossier) -> list[ReportSection]:
    run = dossier.run
    if run is None:
        return []
    due = run.ended is None and outcome(dossier.shown).due
    order = "contain first" if run.order == "contain" else "replace first"
    rows = [
        (
            task.title,
            task.state + (" late" if task.state == "done" and task.since > task.deadline else ""),
            task.owner or "",
            _time(task.since) if task.over else f"due {_time(task.deadline)}" if due else "not due any more",
            task.note,
        )
        for task in run.tasks
    ]
    text = f"{run.title}, {order} ({run.why}): {run.done} of {len(run.tasks)} done."
    return [ReportSection("Steps", ("step", "state", "who", "when (UTC)", "evidence"), rows, (text,))]


def _verified(dossier: Dossier) -> ReportSection:
    rows = [
        (_time(entry.at), entry.actor, entry.note)
        for entry in dossier.history
        if entry.action == "verified"
        or (entry.step and entry.action == "step_done" and entry.actor == "monitor" and entry.note != BY_WORD)
    ]
    text = () if rows else ("Nothing was verified: what is done is what people said.",)
    return ReportSection("What was verified", ("when (UTC)", "who", "answer"), rows, text)


def _to_decide(dossier: Dossier) -> list[ReportSection]:
    """The clock that runs, and what only people know, of what was exposed."""
    return [_regulator(dossier), *(ReportSection(title, text=(f"({hint})",)) for title, hint in _PEOPLE)]


def _regulator(dossier: Dossier) -> ReportSection:
    known = next((entry.at for entry in dossier.history if entry.action == "opened"), dossier.incident.first_seen)
    end = known + REGULATOR
    left = end - dossier.now
    said = f"{length(left)} are left" if left > 0 else f"they ended {length(-left)} ago"
    text = (
        f"Where personal data may be concerned, a report to the regulator is due within 72 hours of becoming aware: "
        f"by {moment(end)}, if that was when the incident was opened; {said}. Decide with the data protection "
        "officer, and write the decision down here."
    )
    return ReportSection("Regulator's clock", text=(text,))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _md(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))


def _e(text: str) -> str:
    return html.escape(printable(text))
