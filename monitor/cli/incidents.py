"""`monitor incidents`: what was found, and what people decided about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from monitor.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    SeverityOption,
    at_least,
    command_app,
    complete_rules,
    emit,
    emit_one,
    fail,
    noted,
    paint,
    person,
    printable,
    private,
    read_config,
    severity_colour,
    table,
    with_store,
)
from monitor.cli.incident_papers import report, timeline, verify

if TYPE_CHECKING:
    from monitor.common.notification import State
    from monitor.config import Config
    from monitor.incidents import Action, Incident
    from monitor.model import Resolution
    from monitor.store import AuditEntry, Store

app = command_app(
    no_args_is_help=True,
    help="List, show, acknowledge and resolve incidents.",
    epilog="Example: monitor incidents list --severity critical",
)

_T = TypeVar("_T")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id or fingerprint of an incident, or a unique start.")]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids, fingerprints, or unique starts of them.")]
NoteOption = Annotated[str, typer.Option("--note", "-m", help="Why; kept in the history.", show_default=False)]


class StateFilter(StrEnum):
    open = "open"
    acknowledged = "acknowledged"
    resolved = "resolved"
    unresolved = "unresolved"
    all = "all"


class As(StrEnum):
    revoked = "revoked"
    false_positive = "false_positive"
    wont_fix = "wont_fix"
    used_in_tests = "used_in_tests"


@app.command(
    "list",
    epilog="Example: monitor incidents list --severity critical --since 24h --format jsonl",
    help="List incidents, last seen first.",
)
def list_incidents(
    *,
    state: Annotated[StateFilter, typer.Option(help="Only these.")] = StateFilter.unresolved,
    severity: SeverityOption = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="Only this rule; may be repeated.", autocompletion=complete_rules, show_default=False),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only seen in this source.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Only seen so recently, such as 24h.", show_default=False)
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="In name, rule, path or masked preview. `-` reads it from standard input: others on this host see "
            "arguments.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    if search == "-":
        search = private("search for")
    states: dict[StateFilter, list[State]] = {
        StateFilter.all: [],
        StateFilter.unresolved: ["open", "acknowledged"],
    }

    async def read(store: Store) -> tuple[list[Incident], int]:
        filters: dict[str, Any] = {
            "states": states.get(state, [state.value]),
            "severities": at_least(severity) if severity else (),
            "rules": rule or (),
            "source": source,
            "since": _since(since),
            "search": search,
        }
        found = await store.incidents.find(**filters, limit=limit, locations=True)
        total = len(found) if len(found) < limit else await store.incidents.count(**filters)
        return found, total

    nothing: tuple[list[Incident], int] = ([], 0)
    found, total = with_store(read_config(config), read, missing=nothing)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        if not found:
            narrowed = " match" if severity or rule or source or since or search else ""
            yield ("no incidents" if state is StateFilter.all else f"no {state.value} incidents") + narrowed
            return
        head = ("id", "severity", "state", "works", "times", "last seen", "what", "where")
        yield from table(
            head,
            [
                (
                    one.id,
                    one.severity,
                    one.state,
                    one.verified.validity if one.verified else "-",
                    f"{one.occurrences:,}",
                    _short_time(one.last_seen),
                    f"{one.name} {one.masked}",
                    _place(one.locations[0]) if one.locations else "-",
                )
                for one in found
            ],
        )
        if total > len(found):
            yield f"{len(found)} of {total}; --limit shows more"

    emit((as_dict(one) for one in found), form, text)


@app.command("show", epilog="Example: monitor incidents show 3f2a", help="Show one incident with its history.")
def show(ref: IdArgument, form: FormatOption = Format.text, config: ConfigOption = None) -> None:
    from monitor.incidents import next_command
    from monitor.program import invocation

    async def read(store: Store) -> tuple[Incident, list[AuditEntry]]:
        incident = await store.incidents.get(ref)
        return incident, await store.incidents.history(incident.id)

    settings = read_config(config)
    program = invocation(settings.path if config else None, sys.argv[0])
    incident, history = with_store(settings, read)
    first, where, link = _what_to_do(settings, incident)
    row = as_dict(incident) | {"first_step": first, "history": [_event(entry) for entry in history]}

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        colour = severity_colour(incident.severity)
        yield paint(f"{incident.name}  {incident.masked}", bold=True)
        yield f"{paint(incident.severity, colour)} {incident.state}" + (
            f" as {incident.resolution}" if incident.resolution else ""
        )
        if incident.state != "resolved":
            yield _line("first", first, bold=True)
        for key, value in (("at", where), ("runbook", link), ("next", next_command(incident, program))):
            if value:
                yield _line(key, value)
        for key in (
            "id",
            "fingerprint",
            "rule",
            "confidence",
            "first_logged",
            "first_seen",
            "last_seen",
            "occurrences",
            "owner",
            "merged_into",
        ):
            if row[key] is not None:
                yield _line(key, str(row[key]))
        if incident.verified is not None:
            answer = incident.verified
            facts = ", ".join(f"{name} {text}" for name, text in answer.facts.items())
            told = f"{answer.validity}: {answer.reason}" + (f" ({facts})" if facts else "")
            yield _line("works", f"{told}, asked {_short_time(answer.at)}")
        for key, value in incident.labels.items():
            yield _line("label", f"{key}={value}")
        for place in incident.locations:
            whose = " on ".join(filter(None, (place.service, place.host)))
            yield _line("seen in", _place(place) + (f"  ({whose})" if whose else ""))
        if around := next((place.context for place in incident.locations if place.context), None):
            yield _line("line", around)
        if incident.locations and incident.occurrences > len(incident.locations):
            yield _line("", f"and {incident.occurrences - len(incident.locations):,} more, before these")
        for event in row["history"]:
            note = f": {event['note']}" if event["note"] else ""
            became = f" as {event['resolution']}" if event["resolution"] else ""
            step = f" {event['step']}" if event["step"] else ""
            yield _line("history", f"{event['time']} {event['action']}{step}{became} by {event['actor']}{note}")

    emit_one(row, form, text)


@app.command(
    "ack",
    epilog="Example: monitor incidents ack 3f2a --note 'rotating now'",
    help="Acknowledge: somebody works on it. Repeats stop; a rise in severity still alerts.",
)
def ack(ref: IdsArgument, note: NoteOption = "", form: FormatOption = Format.text, config: ConfigOption = None) -> None:
    _transition(ref, "ack", None, note=note, form=form, config=config)


@app.command(
    "resolve",
    epilog="Example: monitor incidents resolve 3f2a --as revoked --note 'new key deployed'",
    help="Resolve. A secret that was resolved as revoked and is seen again opens once more.",
)
def resolve(
    *,
    ref: IdsArgument,
    resolution: Annotated[As, typer.Option("--as", "--resolution", help="What became of the secret.")],
    note: NoteOption = "",
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    _transition(ref, "resolve", resolution.value, note=note, form=form, config=config)


@app.command("reopen", epilog="Example: monitor incidents reopen 3f2a", help="Open again what was closed by mistake.")
def reopen(
    ref: IdsArgument, note: NoteOption = "", form: FormatOption = Format.text, config: ConfigOption = None
) -> None:
    _transition(ref, "reopen", None, note=note, form=form, config=config)


@app.command(
    "silence",
    epilog="Example: monitor incidents silence 3f2a --for 1h --note 'being rotated'",
    help="Tell nobody about an incident for a while, and hold its deadlines back. --for 0s ends it.",
)
def silence(
    *,
    ref: IdArgument,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 1h or 24h.")],
    note: NoteOption = "",
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    from monitor.common.duration import parse_duration

    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        fail(f"--for {error}", 2)
    settings = read_config(config)
    kept = noted(settings, note)

    async def hush(store: Store) -> tuple[str, float]:
        incident = await store.incidents.get(ref)
        return incident.id, await store.silences.set(incident.id, seconds, actor=person(), note=kept)

    id_, until = with_store(settings, hush)
    row = {"incident": id_, "silenced_until": _time(until) if seconds else None}
    said = f"{id_} silenced until {_short_time(until)}" if seconds else f"{id_} is not silenced any more"
    emit_one(row, form, lambda _row: [said])


@app.command(
    "merge",
    epilog="Example: monitor incidents merge 3f2a 77ab --note 'one token, logged in two forms'",
    help="The incidents after the first go into it, with their places and every later sighting; they are resolved, "
    "and whoever was told of them is told where they went. `reopen` of one of them lets it count for itself again; "
    "what was moved stays.",
)
def merge(
    *,
    into: Annotated[str, typer.Argument(metavar="ID", help="The incident that stays.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER…", help="Those that go into it.")],
    note: NoteOption = "",
    form: FormatOption = Format.text,
    config: ConfigOption = None,
) -> None:
    from monitor.incidents import TransitionError
    from monitor.store.actions import ActionError

    settings = read_config(config)
    kept = noted(settings, note)

    async def apply(store: Store) -> tuple[Incident, list[str]]:
        stays = await store.incidents.get(into)
        ids = [(await store.incidents.get(other)).id for other in others]
        await store.merges.merge(stays.id, ids, actor=person(), note=kept)
        return await store.incidents.get(stays.id), ids

    try:
        stays, ids = with_store(settings, apply)
    except (TransitionError, ActionError) as error:
        fail(printable(str(error)))
    emit_one(as_dict(stays), form, lambda _row: [f"{', '.join(ids)} merged into {stays.id}"])


app.command(
    "timeline",
    epilog="Example: monitor incidents timeline 3f2a --format jsonl",
    help="Everything that happened to an incident, in order: the log, people, steps, what was told.",
)(timeline)
app.command(
    "report",
    epilog="Example: monitor incidents report 3f2a --as html > incident.html",
    help="Write the incident's document: times, exposure, timeline, steps with evidence, the regulator's clock, and "
    "headings for what people must write.",
)(report)
app.command(
    "verify",
    epilog="Example: monitor incidents verify",
    help="Read the trail of all incidents and say whether an entry was edited, removed, added or moved. Exit code 1 "
    "when it is not whole.",
)(verify)


def _line(key: str, value: str, *, bold: bool = False) -> str:
    return f"{paint(key.ljust(12), dim=True)} {paint(printable(value), bold=bold)}"


def _what_to_do(config: Config, incident: Incident) -> tuple[str, str, str]:
    """What to do first, where it is done, and the address of the runbook as the alert gives it."""
    from monitor.view import FIRST_STEP

    book = config.shelf.load(incident.runbook)
    if book is None:
        return FIRST_STEP, "", ""
    listen = config.http.listen
    base = config.http.base_url or (
        f"http://{listen}" if listen and not listen.startswith("unix:") and not listen.endswith(":0") else ""
    )
    return book.first_step, book.where, f"{base}/runbooks/{book.name}" if base else book.name


def as_dict(incident: Incident) -> dict[str, Any]:
    """An incident as scripts get it: the names of the webhook payload, times in RFC 3339."""
    return {
        "id": incident.id,
        "fingerprint": incident.fingerprint,
        "rule": incident.rule,
        "name": incident.name,
        "severity": incident.severity,
        "confidence": incident.confidence,
        "state": incident.state,
        "resolution": incident.resolution,
        "masked": incident.masked,
        "first_seen": _time(incident.first_seen),
        "last_seen": _time(incident.last_seen),
        "first_logged": None if incident.first_logged is None else _time(incident.first_logged),
        "occurrences": incident.occurrences,
        "owner": incident.owner,
        "runbook": incident.runbook,
        "labels": dict(incident.labels),
        "merged_into": incident.merged,
        "validity": incident.verified.validity if incident.verified else None,
        "asked_at": _time(incident.verified.at) if incident.verified else None,
        "verdict": incident.verified.reason if incident.verified else "",
        "verified": dict(incident.verified.facts) if incident.verified else {},
        "locations": [
            {
                "source": place.source,
                "path": _text(place.path),
                "offset": place.offset,
                "line": place.line,
                "time": _time(place.time.timestamp()) if place.time else None,
                "logged_at": _time(place.logged_at.timestamp()) if place.logged_at else None,
                "host": place.host,
                "service": place.service,
                "context": place.context,
                "url": place.url,
            }
            for place in incident.locations
        ],
    }


def _transition(
    refs: Sequence[str],
    action: Action,
    resolution: Resolution | None,
    *,
    note: str,
    form: Format,
    config: Path | None,
) -> None:
    from monitor.incidents import TransitionError

    settings = read_config(config)
    actor, note = person(), noted(settings, note)
    done: list[Incident] = []
    problems: list[str] = []

    async def apply(store: Store) -> None:
        for ref in refs:
            try:
                done.append(
                    await store.incidents.transition(ref, action, actor=actor, resolution=resolution, note=note)
                )
            except (LookupError, TransitionError) as error:
                problems.append(str(error))

    with_store(settings, apply)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for one in done:
            yield f"{one.id} {one.state}" + (f" as {one.resolution}" if one.resolution else "")

    emit((as_dict(one) for one in done), form, text)
    if problems:
        fail("\n".join(printable(problem) for problem in problems))


def _since(duration: str | None) -> float | None:
    from monitor.common.duration import parse_duration

    if duration is None:
        return None
    try:
        return datetime.now(UTC).timestamp() - parse_duration(duration)
    except ValueError as error:
        fail(f"--since {error}", 2)


def _text(path: str) -> str:
    # A file name that is not UTF-8 carries surrogates, which JSON cannot.
    return path.encode("utf-8", "backslashreplace").decode()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _place(place: Any) -> str:
    where = place.path or place.url or place.source
    if place.line is not None:
        return f"{where}:{place.line}"
    return where if place.offset is None else f"{where} @{place.offset}"


def _event(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": _time(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "state": entry.state,
        "resolution": entry.resolution,
        "note": entry.note,
        "step": entry.step or None,
    }
