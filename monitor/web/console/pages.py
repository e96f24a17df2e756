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
from monitor.web.console.visitor import Visitor, visitor

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["HERE", "now", "page", "render"]

HERE = Path(__file__).parent
# The pages allow themselves a style of ours and nothing else: no script, no picture, no frame around them.
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def page(request: web.Request, template: str, *, status: int = 200, **what: Any) -> web.Response:
    """`what`: as for `render`."""
    await asyncio.to_thread(environment)  # the first time it has to be imported
    text = render(template, now(), visitor(request), **what)
    headers = {"Content-Security-Policy": _POLICY}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def render(template: str, now: datetime, visitor: Visitor = Visitor(), **what: Any) -> str:
    """`what`: names that the template uses, beside `now`, `visitor`, `wording` and `condition`."""
    return (
        environment()
        .get_template(template)
        .render(now=now, visitor=visitor, wording=wording, condition=condition, **what)
    )


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
