"""What `monitor incidents` writes about one incident: its timeline and its document; and whether the trail is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import ConfigOption, IncidentArgument, fail_if, json_text, printable, read_config, with_store
from monitor.cli.kit import FormatOption, emit_list, emit_one
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.report.dossier import Dossier, Event
    from monitor.store import Store
    from monitor.store.trail import TrailVerdict

__all__ = ["report", "timeline", "verify"]


def timeline(ref: IncidentArgument, form: FormatOption = "text", config: ConfigOption = None) -> None:
    from monitor.report.dossier import events

    rows = _timeline(events(_dossier(ref, config)))
    emit_list(rows, form, (("when", "time"), "who", "what", "note"), nothing="nothing happened yet", spare=("who",))


def report(
    *,
    ref: IncidentArgument,
    form: Annotated[
        Literal["markdown", "html", "svg", "json"],
        typer.Option("--as", help="How it is written; svg is the picture alone."),
    ] = "markdown",
    config: ConfigOption = None,
) -> None:
    from monitor.common.outcome import outcome, window
    from monitor.report.document import markdown, page
    from monitor.report.dossier import events, milestones, spans
    from monitor.report.picture import svg

    dossier = _dossier(ref, config)
    if form == "markdown":
        typer.echo(markdown(dossier), nl=False)
    elif form == "html":
        typer.echo(page(dossier), nl=False)
    elif form == "svg":
        typer.echo(svg(milestones(dossier), f"Incident {dossier.incident.id}", calm=outcome(dossier.shown).harmless))
    else:
        became, (start, end) = outcome(dossier.shown), window(dossier.shown)
        row = {
            "incident": dossier.incident.id,
            "exposed_from": stamp(start.timestamp(), "milliseconds"),
            "exposed_until": None if end is None else stamp(end.timestamp(), "milliseconds"),
            "outcome": became.kind,
            "verified": None if became.checked is None else stamp(became.checked.timestamp(), "milliseconds"),
            "seconds": {f"to_{one.name}": one.seconds for one in spans(dossier)},
            "timeline": _timeline(events(dossier)),
        }
        typer.echo(json_text(row, indent=True))


def _timeline(events: Iterable[Event]) -> list[dict[str, str | None]]:
    return [
        {"time": stamp(one.at, "milliseconds"), "who": one.who, "what": one.what, "note": one.note} for one in events
    ]


AcceptOption = Annotated[
    bool,
    typer.Option("--accept", help="Seal all of it anew as it is now: you have looked at what is reported."),
]


def verify(accept: AcceptOption = False, form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="act" if accept else "look")

    async def look(store: Store) -> TrailVerdict:
        found = await store.trail.verify()
        if accept:
            await store.trail.accept()
        return found

    verdict = with_store(settings, look)
    since = None if verdict.since is None else stamp(verdict.since, "milliseconds")
    row = {
        "whole": not verdict.problems,
        "incidents": verdict.incidents,
        "entries": verdict.entries,
        "taken": verdict.taken,
        "sealed_since": since,
        "host_note": verdict.kept,
        "problems": [{"incident": incident or None, "problem": problem} for incident, problem in verdict.problems],
        "accepted": accept,
    }

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        for incident, problem in verdict.problems:
            yield printable(f"{incident or 'all'}: {problem}")
        known = f"{verdict.entries:,} entries of {verdict.incidents:,} incidents"
        yield f"{known}: {'NOT whole' if verdict.problems else 'whole'}"
        if verdict.taken and since:
            yield f"sealed since {since}, with {verdict.taken:,} incidents as they were then"
        if not verdict.kept:
            yield "this host has no note of where histories end: an older database would not be seen"
        if accept:
            yield "sealed anew as it is"

    emit_one(row, form, text)
    fail_if(verdict.problems and not accept)


def _dossier(ref: str, config: Path | None) -> Dossier:
    from monitor.report.gather import gather

    return with_store(read_config(config, store_only="look"), lambda store: gather(store, ref))
