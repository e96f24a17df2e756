"""Pages that alerts link to: an incident as it stands, and its runbook. Read-only, masked, no script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web

from monitor import runbook
from monitor.incidents import Incident, next_command
from monitor.program import Program
from monitor.runbook.progress import Task
from monitor.store import Store

__all__ = ["routes"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
    "code,pre{background:#8882;padding:.1rem .3rem;white-space:pre-wrap}"
)


def routes(store: Store, program: Program = Program()) -> list[web.RouteDef]:
    """`/incidents`, `/incidents/{id}` and `/runbooks/{name}`."""

    async def incident(request: web.Request) -> web.Response:
        try:
            found = await store.incidents.get(request.match_info["id"])
            history = await store.incidents.history(found.id)
        except LookupError:
            raise web.HTTPNotFound(text="no such incident\n") from None
        rows = [
            ("what", found.name),
            ("rule", found.rule),
            ("severity", f"{found.severity}, {found.confidence} confidence"),
            ("state", found.state + (f" ({found.resolution})" if found.resolution else "")),
            *((("merged into", found.merged),) if found.merged else ()),
            ("secret", found.masked),
            ("works", _answer(found)),
            ("fingerprint", found.fingerprint),
            ("first logged", _time(found.first_logged) if found.first_logged is not None else "the log does not say"),
            ("first seen", _time(found.first_seen)),
            ("last seen", _time(found.last_seen)),
            ("occurrences", str(found.occurrences)),
            *((key, value) for key, value in found.labels.items()),
        ]
        places = [
            (
                " on ".join(filter(None, (place.service, place.host))) or place.source,
                place.path + (f":{place.line}" if place.line else ""),
                _when(place.logged_at or place.time),
                place.context or "",
            )
            for place in found.locations
        ]
        body = f"<h1>{_e(found.name)}</h1>{_table(rows)}"
        book = store.procedure.book(found.runbook) or runbook.load(found.runbook)
        if book is not None:
            body += f'<p><b>First:</b> {_e(book.first_step)} <a href="/runbooks/{_e(book.name)}">Runbook</a></p>'
        run = await store.runs.get(found.id)
        if run is not None:
            body += f"<h2>Steps</h2><p>{_e(run.title)}: {run.done} of {len(run.tasks)} done</p>"
            body += _table([(one.id, one.title, one.state, one.owner or "", _due(one), one.note) for one in run.tasks])
        if command := next_command(found, program):
            body += f"<p>Next: <code>{_e(command)}</code></p>"
        body += f"<h2>Where</h2>{_table(places)}<h2>History</h2>"
        body += _table([(_time(e.at), e.action, e.step or "", e.actor, e.note) for e in history])
        return _page(found.name, body)

    async def incidents(request: web.Request) -> web.Response:
        rows = [
            (
                f'<a href="/incidents/{_e(i.id)}">{_e(i.id)}</a>',
                *(_e(cell) for cell in (i.severity, i.state, i.name, i.masked, str(i.occurrences), _time(i.last_seen))),
            )
            for i in await store.incidents.find(limit=500)
        ]
        if not rows:
            return _page("Incidents", "<h1>Incidents</h1><p>There are none.</p>")
        heads = ("id", "severity", "state", "what", "secret", "times", "last seen")
        head = "<tr>" + "".join(f"<th>{name}</th>" for name in heads) + "</tr>"
        cells = head + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        return _page("Incidents", f"<h1>Incidents</h1><table>{cells}</table>")

    async def book(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = store.procedure.book(name) or runbook.load(name)
        if found is None:
            raise web.HTTPNotFound(text="no such runbook\n")
        return _page(found.title, f"<h1>{_e(found.title)}</h1><pre>{_e(found.text())}</pre>")

    return [
        web.get("/", incidents),
        web.get("/incidents", incidents),
        web.get("/incidents/{id}", incident),
        web.get("/runbooks/{name:[a-z0-9-]+(?:/[a-z0-9-]+)?}", book),
    ]


def _answer(incident: Incident) -> str:
    """What the issuer said of the secret."""
    if incident.verified is None:
        return "its issuer was not asked"
    answer = incident.verified
    facts = "".join(f", {name} {text}" for name, text in answer.facts.items())
    return f"{answer.validity}: {answer.reason}{facts}, asked {_time(answer.at)}"


def _e(text: str) -> str:
    return html.escape(text)


def _time(seconds: float) -> str:
    return _when(datetime.fromtimestamp(seconds, UTC))


def _when(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else ""


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return (
        "<table>"
        + "".join(
            "<tr>"
            + "".join(f"<{tag}>{_e(cell)}</{tag}>" for tag, cell in zip(("th", *["td"] * 9), row, strict=False))
            + "</tr>"
            for row in rows
        )
        + "</table>"
    )


def _page(title: str, body: str) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_e(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><body>{body}</body></html>'
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})


def _due(task: Task) -> str:
    return f"since {_time(task.since)}" if task.over else f"due {_time(task.deadline)}"
