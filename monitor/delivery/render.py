"""From a row of the outbox, with its incidents as they are now, to what a sink receives. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.common.notification import IncidentView, Notification
from monitor.common.severity import Severity, worst
from monitor.domain.incidents import urgency
from monitor.report.view import Books, Links, Offers, view
from monitor.store import Leased

__all__ = ["render"]


def render(leased: Leased, *, links: Links, books: Books, host: str = "", offers: Offers | None = None) -> Notification:
    """The notification, the worst incidents first. `host`: whose monitor sends it; `offers`: for a sink that people act
    through."""
    shown = sorted(leased.incidents, key=urgency)
    ready = tuple(view(one, leased.joined, links=links, books=books, offers=offers) for one in shown)

    url = ready[0].url if len(ready) == 1 else None
    if url is None and links.console:
        url = f"{links.console}/incidents" + (f"?told={leased.id}&state=all" if ready else "")
    title = leased.title
    if not title and leased.reason == "digest":
        title = f"{len(ready)} new incidents" + (f", and {leased.more:,} more that follow" if leased.more else "")

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
        partly=leased.partly,
        more=leased.more,
    )


def _severity(leased: Leased, ready: Sequence[IncidentView]) -> Severity:
    """That of the incidents now. What is overdue may be told as something worse."""
    now = [one.severity for one in ready]
    return worst([*now, leased.severity]) if leased.reason == "overdue" or not now else worst(now)
