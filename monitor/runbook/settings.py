"""`[runbook]` and `[[escalation]]`: when runs begin, whose runbooks count, and whom a missed deadline is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.common.duration import Duration
from monitor.common.fields import LocalPath
from monitor.common.severity import Severity
from monitor.common.table import Table
from monitor.routing.match import Matcher
from monitor.runbook.progress import Procedure, Rung
from monitor.runbook.runbook_store import RunbookStore

__all__ = ["Escalation", "RunbookConfig", "procedure"]


class RunbookConfig(Table):
    """`[runbook]`. `start_at`: incidents of this severity and worse start their runbook by themselves. `folder`: with
    runbooks of one's own, which go before the shipped ones."""

    start_at: Literal["critical", "high", "medium", "low", "info", "never"] = "high"
    folder: LocalPath | None = None


class Escalation(Table):
    """One rung of the ladder, `after` so long beyond the deadline. Without `sinks`: those that know the incident, in
    the same thread. `severity`: as what it is told, which a pager takes for its urgency; at least the incident's."""

    after: Annotated[Duration, Field(ge=0)] = 0.0
    sinks: tuple[str, ...] = ()
    severity: Severity | None = None
    matchers: tuple[Matcher, ...] = ()


def procedure(table: RunbookConfig, ladder: tuple[Escalation, ...], runbook_store: RunbookStore) -> Procedure:
    """What the store needs to know of it. Without `ladder` those who know the incident are told once."""
    rungs = sorted(ladder, key=lambda rung: rung.after)
    return Procedure(
        start_at=None if table.start_at == "never" else table.start_at,
        ladder=tuple(Rung(one.after, one.sinks or None, one.severity, one.matchers) for one in rungs) or (Rung(),),
        book=runbook_store.load,
    )
