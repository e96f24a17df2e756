"""Pages from templates, in which nothing from outside is markup."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from monitor.common import condition, wording
from monitor.common.text import printable, web_address
from monitor.web.console.static import address, files
from monitor.web.console.visitor import Visitor, visitor

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["HERE", "now", "page", "render"]

HERE = Path(__file__).parent
# Nothing that is written into a page or lies elsewhere is run, shown or asked for, and no frame is around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# At the top of each page: address and name.
NAV = (
    ("/incidents", "Incidents"),
    ("/overview", "Overview"),
    ("/silences", "Silences"),
    ("/routes", "Routes"),
    ("/sources", "Sources"),
    ("/sinks", "Sinks"),
    ("/outbox", "Outbox"),
)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def page(request: web.Request, template: str, *, status: int = 200, **what: Any) -> web.Response:
    """`what`: as for `render`."""
    await asyncio.to_thread(environment)  # the first time it has to be imported
    text = render(template, now(), visitor(request), here=request.path, **what)
    # Not compressed: with what a form carries beside what an address may say, its length would give that away.
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def render(template: str, now: datetime, visitor: Visitor = Visitor(), here: str = "", **what: Any) -> str:
    """`here`: the path of the page; `what`: names that the template uses, beside those below."""
    known = {"now": now, "visitor": visitor, "here": here, "nav": NAV, "static": address}
    return environment().get_template(template).render(**known, **what)


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
    files()  # read now, in a thread
    made.globals.update(wording=wording, condition=condition)  # for macros too, which have no other names
    made.filters.update(away=_away, ago=_ago, iso=_iso, moment=wording.moment, until=_until)
    return made


def _away(address: str | None) -> str | None:
    """An address elsewhere that may be followed."""
    return address if address and web_address(address) is not None else None


def _iso(at: datetime | float) -> str:
    return wording.instant(at) if isinstance(at, datetime) else wording.stamp(at)


def _since(at: datetime | float, now: datetime) -> float:
    return (now - (at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC))).total_seconds()


def _ago(at: datetime | float, now: datetime) -> str:
    return f"{wording.ago(_since(at, now))} ago"


def _until(at: datetime | float, now: datetime) -> str:
    left = -_since(at, now)
    return f"in {wording.ago(left)}" if left >= 0 else f"{wording.ago(-left)} overdue"
