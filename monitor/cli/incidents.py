"""`monitor incidents`: what was found, and what people decided about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
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
    lasting,
    noted,
    paint,
    person,
    printable,
    private,
    read_config,
    severity_colour,
    since_when,
    table,
    with_store,
)
from monitor.cli.incident_papers import report, timeline, verify
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.common.notification import IncidentView, State
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

    settings = read_config(config, store_only="look")

    async def read(store: Store) -> tuple[list[IncidentView], int]:
        filters: dict[str, Any] = {
            "states": states.get(state, [state.value]),
            "severities": at_least(severity) if severity else (),
            "rules": rule or (),
            "source": source,
            "since": since_when("--since", since),
            "search": search,
        }
        found = await store.incidents.find(**filters, limit=limit, locations=True)
        total = len(found) if len(found) < limit else await store.incidents.count(**filters)
        return await _views(settings, config, store, found), total

    nothing: tuple[list[IncidentView], int] = ([], 0)
    found, total = with_store(settings, read, missing=nothing)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        from monitor.common import wording

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
                    one.validity or "-",
                    f"{one.occurrences:,}",
                    wording.moment(one.last_seen),
                    f"{wording.title(one)} {one.masked}",
                    wording.place(one.locations[0]) if one.locations else "-",
                )
                for one in found
            ],
        )
        if total > len(found):
            yield f"{len(found)} of {total}; --limit shows more"

    emit((as_dict(one) for one in found), form, text)


@app.command("show", epilog="Example: monitor incidents show 3f2a", help="Show one incident with its history.")
def show(ref: IdArgument, form: FormatOption = Format.text, config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="look")

    async def read(store: Store) -> tuple[IncidentView, list[AuditEntry], float | None, list[dict[str, Any]]]:
        from monitor.cli.silences import holding

        incident = await store.incidents.get(ref)
        (shown,) = await _views(settings, config, store, [incident])
        rules, single = await store.silences.list()
        until = next((hushed.until for hushed in single if hushed.incident == incident.id), None)
        return shown, await store.incidents.history(incident.id), until, holding(settings, rules, incident)

    incident, history, until, held = with_store(settings, read)
    ends = stamp(until, "milliseconds") if until is not None else None
    row = as_dict(incident) | {"silenced_until": ends, "silences": held, "history": [_event(one) for one in history]}
    emit_one(row, form, lambda _row: _shown(incident, history, until, held))


def _shown(
    incident: IncidentView, history: Sequence[AuditEntry], until: float | None, held: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    """What an alert says of it, and its history. `held`: by silences that it matches."""
    from monitor.cli.silences import in_words
    from monitor.common import wording

    yield paint(f"{wording.title(incident)}  {printable(incident.masked)}", bold=True)
    yield f"{paint(incident.severity, severity_colour(incident.severity))} {wording.stands(incident)}"
    if incident.state != "resolved":
        yield _line("first", incident.first_step, bold=True)
    fields = {
        "at": incident.first_at if incident.state != "resolved" else "",
        "runbook": incident.runbook or incident.book,
        "steps": wording.steps(incident),
        "next": wording.next_step(incident),
        "ack" if incident.state == "open" else "resolve": wording.following(incident),
        "console": incident.url,
        "id": incident.id,
        "fingerprint": incident.fingerprint,
        "rule": incident.rule,
        "confidence": incident.confidence,
        "first_logged": wording.moment(incident.first_logged) if incident.first_logged else None,
        "first_seen": wording.moment(incident.first_seen),
        "last_seen": wording.moment(incident.last_seen),
        "occurrences": f"{incident.occurrences:,}",
        "owner": incident.owner,
        "decided": wording.decision(incident),
        "silenced": f"until {wording.moment(until)}; `incidents silence {incident.id} --for 0s` ends it"
        if until
        else "",
        "merged_into": incident.merged,
        "works": wording.works(incident),
    }
    for key, value in fields.items():
        if value:
            yield _line(key, value)
    for silence in held:
        yield _line("silenced", in_words(silence))
    for key, value in sorted(incident.labels.items()):
        yield _line("label", f"{key}={value}")

    for place in incident.locations:
        yield _line("seen in", f"{wording.place(place)}  ({wording.origin(place)})")
        if place.url:
            yield _line("", place.url)
    if around := wording.surroundings(incident):
        yield _line("line", around)
    if incident.locations and incident.occurrences > len(incident.locations):
        yield _line("", f"and {incident.occurrences - len(incident.locations):,} more, before these")
    for entry in history:
        note = f": {entry.note}" if entry.note else ""
        became = f" as {entry.resolution}" if entry.resolution else ""
        step = f" {entry.step}" if entry.step else ""
        when = wording.moment(entry.at)
        yield _line("history", f"{when} {entry.action}{step}{became} by {entry.actor}{note}")


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
    seconds = lasting("--for", duration)
    settings = read_config(config, store_only="act")
    kept = noted(settings, note)

    async def hush(store: Store) -> tuple[str, float]:
        incident = await store.incidents.get(ref)
        return incident.id, await store.silences.set(incident.id, seconds, actor=person(), note=kept)

    from monitor.common.wording import moment

    id_, until = with_store(settings, hush)
    row = {"incident": id_, "silenced_until": stamp(until, "milliseconds") if seconds else None}
    end = moment(until)
    said = f"{id_} silenced until {end}" if seconds else f"{id_} is not silenced any more"
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

    settings = read_config(config, store_only="act")
    kept = noted(settings, note)

    async def apply(store: Store) -> tuple[IncidentView, list[str]]:
        stays = await store.incidents.get(into)
        ids = [(await store.incidents.get(other)).id for other in others]
        await store.merges.merge(stays.id, ids, actor=person(), note=kept)
        (shown,) = await _views(settings, config, store, [await store.incidents.get(stays.id)])
        return shown, ids

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


async def _views(
    settings: Config, given: Path | None, store: Store, incidents: Sequence[Incident]
) -> list[IncidentView]:
    """As alerts show them. `given`: the configuration that was named, which further commands have to name, too."""
    from monitor.program import invocation
    from monitor.view import Links, view

    links = Links.below(settings.http.address, invocation(settings.path if given else None, sys.argv[0]))
    beside, books = await store.incidents.beside(incidents), settings.shelf.load
    return [view(one, beside, links=links, books=books) for one in incidents]


def as_dict(incident: IncidentView) -> dict[str, Any]:
    """An incident as scripts get it: the webhook payload's, but `runbook` is its name; and where it was merged into."""
    from monitor.common.payload import record

    named = {"runbook": incident.book, "drill": incident.drill, "merged_into": incident.merged}
    return record(incident, lambda time: stamp(time.timestamp(), "milliseconds")) | named


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

    settings = read_config(config, store_only="act")
    actor, note = person(), noted(settings, note)
    done: list[IncidentView] = []
    problems: list[str] = []

    async def apply(store: Store) -> None:
        for ref in refs:
            try:
                changed = await store.incidents.transition(ref, action, actor=actor, resolution=resolution, note=note)
                done.extend(await _views(settings, config, store, [changed]))
            except (LookupError, TransitionError) as error:
                problems.append(str(error))

    with_store(settings, apply)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        from monitor.common.wording import stands

        for one in done:
            yield f"{one.id} {stands(one)}"

    emit((as_dict(one) for one in done), form, text)
    if problems:
        fail("\n".join(printable(problem) for problem in problems))


def _event(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": stamp(entry.at, "milliseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "state": entry.state,
        "resolution": entry.resolution,
        "note": entry.note,
        "step": entry.step or None,
    }
