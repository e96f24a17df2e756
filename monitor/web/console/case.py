"""What the page of an incident shows, for who looks at it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.common.notification import IncidentView, Offer
from monitor.common.outcome import outcome, window
from monitor.domain.incidents import RESOLUTIONS
from monitor.report.dossier import Dossier, events
from monitor.runbook import Runbook
from monitor.runbook.progress import RunbookRun
from monitor.store.cases import IncidentCase
from monitor.web.console.asking import needed_role
from monitor.web.console.exposure import chart, places
from monitor.web.console.visitor import Visitor

__all__ = ["MainStep", "fields", "main_step", "open_for"]

_REASONS = ("not needed here", "done elsewhere", "nobody is concerned")  # to skip a step, as in Slack
_TIMES = {"1h": "1 hour", "4h": "4 hours", "24h": "1 day", "7d": "7 days"}
_LONG_TIMES = {"7d": "7 days", "30d": "30 days", "90d": "90 days", "365d": "1 year"}


@dataclass(frozen=True, slots=True)
class MainStep:
    """What is to be done next, as the one main button says it. `detail`: the step or the action."""

    verb: str
    detail: str = ""
    title: str = ""


def main_step(shown: IncidentView, run: RunbookRun | None, who: Visitor) -> MainStep | None:
    """For this visitor. None: nothing is left, or somebody else is at it."""
    if shown.state == "resolved":
        return None
    if shown.state == "open":
        return MainStep("ack")
    if offer := next((one for one in shown.offers if open_for(one, shown, who)), None):
        return MainStep("run", offer.name)
    task = run.next if run is not None else None
    if task is None:
        return MainStep("resolve")
    if task.state == "claimed":
        return MainStep("done", task.id, task.title) if task.owner == who.name else None
    return MainStep("claim", task.id, task.title)


def open_for(offer: Offer, shown: IncidentView, who: Visitor) -> bool:
    """Whether they may ask for an action, or approve it."""
    if not who.may(needed_role("run")):
        return False
    waits = offer.state in ("", "planned", "failed") and (offer.state != "planned" or who.name not in offer.given)
    return waits and not shown.drill and shown.state != "resolved"


def fields(
    case: IncidentCase,
    shown: IncidentView,
    book: Runbook | None,
    who: Visitor,
    now: datetime,
    *,
    people: Sequence[str] = (),
) -> dict[str, Any]:
    """What the template is given. `shown`: the incident as alerts show it; `people`: to whom it may be handed."""
    known, run, at = case.incident, case.joined.runs.get(case.incident.id), now.timestamp()
    return {
        "case": case,
        "incident": shown,
        "run": run,
        "book": book,
        "main": main_step(shown, run, who) if who.may("responder") else None,
        "open_for": open_for,
        "actions": case.joined.actions.get(known.id, ()),
        "places": places(shown.locations),
        "chart": chart(shown, at),
        "outcome": outcome(shown),
        "window": window(shown),
        "events": events(Dossier(known, run, case.trail, (), at, joined=case.joined))[::-1],
        "choices": {"resolution": RESOLUTIONS, "reasons": _REASONS, "times": _TIMES, "long": _LONG_TIMES},
        "people": [name for name in dict.fromkeys([who.name, *people]) if name and name != shown.owner],
    }
