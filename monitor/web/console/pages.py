"""What each page says: templates, in which nothing from outside is markup. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.common import wording
from monitor.common.notification import IncidentView
from monitor.common.text import printable, web_address
from monitor.runbook import Runbook
from monitor.runbook.progress import RunbookRun
from monitor.store import AuditEntry
from monitor.web.console.query import CHOICES, TEXTS, ListQuery

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["HERE", "IncidentPage", "book", "incident", "incidents"]

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """A page of the list: what is on it, of how many, and where the next one begins."""

    shown: Sequence[IncidentView]
    total: int
    query: ListQuery
    next: str = ""  # place behind the last one; empty: there is no other


def incident(shown: IncidentView, run: RunbookRun | None, history: Sequence[AuditEntry], now: datetime) -> str:
    """`run`: of its runbook, under way or ended."""
    return _render("incident.html", now, incident=shown, run=run, history=history)


def incidents(page: IncidentPage, now: datetime) -> str:
    return _render("incidents.html", now, page=page, query=page.query, choices=CHOICES, texts=TEXTS)


def book(shown: Runbook, now: datetime) -> str:
    return _render("runbook.html", now, book=shown)


def _render(template: str, now: datetime, **what: Any) -> str:
    return environment().get_template(template).render(now=now, wording=wording, **what)


@cache
def environment() -> Environment:
    """Made at the first page: most starts show none."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def text(value: object) -> object:
        if value is None or isinstance(value, Markup):
            return value or ""
        return "\n".join(map(printable, str(value).split("\n")))

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(away=_away, ago=_ago, iso=wording.instant, moment=wording.moment, until=_until)
    return made


def _away(address: str | None) -> str | None:
    """An address elsewhere that may be followed."""
    return address if address and web_address(address) is not None else None


def _since(at: datetime | float, now: datetime) -> float:
    return (now - (at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC))).total_seconds()


def _ago(at: datetime | float, now: datetime) -> str:
    return f"{wording.ago(_since(at, now))} ago"


def _until(at: datetime | float, now: datetime) -> str:
    left = -_since(at, now)
    return f"in {wording.ago(left)}" if left >= 0 else f"{wording.ago(-left)} overdue"
