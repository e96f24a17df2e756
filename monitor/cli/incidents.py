"""`monitor incidents`: what was found, and what people decided about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.asking import NotDoneError, ask
from monitor.cli.common import (
    ConfigOption,
    IncidentArgument,
    NoteOption,
    SeverityOption,
    at_least,
    command_app,
    complete_rules,
    fail,
    fail_if,
    lasting,
    noted,
    printable,
    private,
    read_config,
    since_when,
    with_store,
)
from monitor.cli.incident_bulk import MatchOption, YesOption, alike, chosen, confirm, merging, mistaken
from monitor.cli.incident_lines import columns, event, shown
from monitor.cli.incident_papers import report, timeline, verify
from monitor.cli.kit import Format, FormatOption, LimitOption, emit, emit_list, emit_one, tracked
from monitor.common.invocation import invocation
from monitor.common.notification import IncidentView, State
from monitor.common.user_name import user_name
from monitor.common.wording import moment, stamp, stands
from monitor.domain.incidents import Incident
from monitor.domain.model import Resolution

if TYPE_CHECKING:
    from monitor.common.inbound import Verb
    from monitor.config.config import Config
    from monitor.store import AuditEntry, Store

app = command_app(
    no_args_is_help=True,
    help="List, show, acknowledge and resolve incidents.",
    epilog="Example: monitor incidents list --severity critical",
)


IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID…", help="Ids, fingerprints, or unique starts.", show_default=False)
]
_STATES: Mapping[str, tuple[State, ...]] = {"all": (), "unresolved": ("open", "acknowledged")}


@app.command(
    "list",
    epilog="Example: monitor incidents list --severity critical --since 24h --format jsonl",
    help="List incidents, as the page does: open before acknowledged, worst first, of those the oldest.",
)
def list_incidents(
    *,
    state: Annotated[Literal[State, "unresolved", "all"], typer.Option(help="Only these.")] = "unresolved",
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
    limit: LimitOption = 100,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    if search == "-":
        search = private("search for")
    settings = read_config(config, store_only="look")
    from detectors.rules.gone import names

    filters: dict[str, Any] = {
        "states": _STATES.get(state, (state,)),
        "severities": at_least(severity) if severity else (),
        "rules": [name for one in rule or () for name in names(one)],
        "source": source,
        "since": since_when("--since", since),
        "search": search,
    }

    async def read(store: Store) -> tuple[list[IncidentView], int]:
        page = await store.incidents.find(**filters, limit=limit, locations=True)
        total = len(page) if len(page) < limit else await store.incidents.count(**filters)
        return await _views(settings, config, store, page), total

    views, total = with_store(settings, read, missing=lambda: ([], 0))
    narrowed = " match" if severity or rule or source or since or search else ""
    nothing = ("no incidents" if state == "all" else f"no {state} incidents") + narrowed
    emit_list(views, form, columns(time.time()), nothing=nothing, row=as_dict, total=total)


@app.command("show", epilog="Example: monitor incidents show 3f2a", help="Show one incident with its history.")
def show(ref: IncidentArgument, form: FormatOption = "text", config: ConfigOption = None) -> None:
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
    row = as_dict(incident) | {"silenced_until": ends, "silences": held, "history": [event(one) for one in history]}
    emit_one(row, form, lambda _row: shown(incident, history, until, held))


@app.command(
    "ack",
    epilog="Examples:\n\n  monitor incidents ack 3f2a --note 'rotating now'\n\n"
    "  monitor incidents ack --match 'rule=\"jwt\"' --match 'source=\"staging\"' --yes",
    help="Acknowledge: somebody works on it. Repeats stop; a rise in severity still alerts.",
)
def ack(
    *,
    ref: IdsArgument = None,
    match: MatchOption = None,
    yes: YesOption = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="act")
    refs = chosen(settings, ref, match, ("open",), yes=yes, verb="Acknowledge")
    _change(settings, refs, "ack", note=note, form=form, config=config)


@app.command(
    "assign",
    epilog="Examples:\n\n  monitor incidents assign 3f2a bob --note 'knows the gateway'\n\n"
    "  monitor incidents assign bob --match 'service=\"billing\"' --yes",
    help="Hand incidents to a person: their name is in alerts, lists and the history. The state stays.",
)
def assign(
    *,
    names: Annotated[list[str], typer.Argument(metavar="[ID…] PERSON", help="Ids, and last whose they are now.")],
    match: MatchOption = None,
    yes: YesOption = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    *refs, whose = names
    try:
        whose = user_name(whose)
    except ValueError as error:
        fail(str(error), 2)
    settings = read_config(config, store_only="act")
    ids = chosen(settings, refs, match, ("open", "acknowledged"), yes=yes, verb=f"To {whose}: assign")
    _change(settings, ids, "assign", whose, note=note, form=form, config=config)


@app.command(
    "resolve",
    epilog="Example: monitor incidents resolve 3f2a --as revoked --note 'new key deployed'",
    help="Resolve incidents: say what became of the secret. One that was resolved as revoked and is seen again opens "
    "once more.",
)
def resolve(
    *,
    ref: IdsArgument = None,
    resolution: Annotated[Resolution, typer.Option("--as", help="What became of the secret.")],
    match: MatchOption = None,
    yes: YesOption = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="act")
    refs = chosen(settings, ref, match, ("open", "acknowledged"), yes=yes, verb="Resolve")
    _change(settings, refs, "resolve", resolution, note=note, form=form, config=config)


@app.command(
    "reopen",
    epilog="Example: monitor incidents reopen 3f2a",
    help="Open again what was closed by mistake. One that was merged has its places and its count again.",
)
def reopen(
    ref: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids, fingerprints, or unique starts of them.")],
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _change(read_config(config, store_only="act"), ref, "reopen", note=note, form=form, config=config)


@app.command(
    "silence",
    epilog="Example: monitor incidents silence 3f2a --for 1h --note 'being rotated'",
    help="Alert nobody to an incident for a while, and hold its deadlines back. --for 0s ends it.",
)
def silence(
    *,
    ref: IdsArgument = None,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 1h or 24h.")],
    match: MatchOption = None,
    yes: YesOption = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    seconds = lasting("--for", duration)
    settings = read_config(config, store_only="act")
    kept = noted(settings, note)
    refs = chosen(settings, ref, match, ("open", "acknowledged"), yes=yes, verb="Silence")

    async def hush(store: Store) -> list[tuple[str, float | None]]:
        incidents = [(await store.incidents.get(one)).id for one in refs]
        for id_ in tracked(incidents, "silenced"):
            await ask(store, settings, "silence", id_, str(seconds), note=kept)
        _, single = await store.silences.list()
        until = {hushed.incident: hushed.until for hushed in single}
        return [(id_, until.get(id_)) for id_ in incidents]

    rows = with_store(settings, hush, refused=(NotDoneError,))
    ends = [{"incident": id_, "silenced_until": at and stamp(at, "milliseconds")} for id_, at in rows]
    said = [f"{id_} silenced until {moment(at)}" if at else f"{id_} is not silenced any more" for id_, at in rows]
    if len(ends) == 1 and not match:
        emit_one(ends[0], form, lambda _row: said)
    else:
        emit(ends, form, lambda _rows: said)


@app.command(
    "merge",
    epilog="Example: monitor incidents merge 3f2a 77ab --note 'one token, logged in two forms'",
    help="Make one of several incidents. Those after the first go into it, with their places and every later "
    "sighting; they are resolved, and the sinks that alerted say where they went. Asks first. `reopen` of one of "
    "them takes it back.",
)
def merge(
    *,
    into: Annotated[str, typer.Argument(metavar="ID", help="The incident that stays.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER…", help="Those that go into it.")],
    yes: YesOption = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="act")
    reason = noted(settings, note)

    async def look(store: Store) -> list[Incident]:
        return [await store.incidents.get(id_) for id_ in (into, *others)]

    known = with_store(settings, look)
    if problem := mistaken(known):
        fail(problem)
    if not yes and (sys.stdin.isatty() or not alike(known)):
        for line in merging(known):
            typer.echo(line, err=True)
        confirm("Make them one?", yes=yes)

    async def apply(store: Store) -> tuple[IncidentView, list[str]]:
        stays, *rest = known
        ids = [id_.id for id_ in rest]
        await ask(store, settings, "merge", stays.id, " ".join(ids), note=reason)
        (shown,) = await _views(settings, config, store, [await store.incidents.get(stays.id)])
        return shown, ids

    stays, ids = with_store(settings, apply, refused=(NotDoneError,))
    emit_one(as_dict(stays), form, lambda _row: [f"{', '.join(ids)} merged into {stays.id}"])


app.command(
    "timeline",
    epilog="Example: monitor incidents timeline 3f2a --format jsonl",
    help="Everything that happened to an incident, in order: the log, people, steps, alerts.",
)(timeline)
app.command(
    "report",
    epilog="Example: monitor incidents report 3f2a --as html > incident.html",
    help="Write the document of an incident. It has times, exposure, timeline, steps with evidence, the regulator's "
    "clock, and headings for what people must write.",
)(report)
app.command(
    "verify",
    epilog="Example: monitor incidents verify",
    help="Say whether the histories of all incidents are whole. What was edited, removed, added, moved or put back "
    "beside the monitor is named. Exit code 1 when something was.",
)(verify)


async def _views(
    settings: Config, given: Path | None, store: Store, incidents: Sequence[Incident]
) -> list[IncidentView]:
    """As alerts show them. `given`: the configuration that was named, which further commands have to name, too."""
    from monitor.report.view import Links, view

    links = Links.below(settings.http.address, invocation(settings.path if given else None, sys.argv[0]))
    joined, books = await store.incidents.joined(incidents), settings.runbook_store.load
    return [view(one, joined, links=links, books=books) for one in incidents]


def as_dict(incident: IncidentView) -> dict[str, Any]:
    """An incident as scripts get it: the webhook payload's, but `runbook` is its name; where it was merged into, its
    age (seconds since it was first read) and its next deadline."""
    from monitor.common.payload import record

    due = incident.run.deadline if incident.run else None
    named: dict[str, Any] = {"runbook": incident.book, "drill": incident.drill, "merged_into": incident.merged}
    named |= {
        "age": int(max(time.time() - incident.first_seen.timestamp(), 0)),
        "next_deadline": stamp(due.timestamp(), "milliseconds") if due else None,
    }
    return record(incident, lambda time: stamp(time.timestamp(), "milliseconds")) | named


def _change(
    settings: Config,
    refs: Sequence[str],
    verb: Verb,
    detail: str = "",
    *,
    note: str,
    form: Format,
    config: Path | None,
) -> None:
    """Each by itself: what is refused holds up no other."""

    kept = noted(settings, note)
    done: list[IncidentView] = []
    problems: list[str] = []

    async def apply(store: Store) -> None:
        for ref in tracked(refs, "assigned" if verb == "assign" else "done"):
            try:
                id_ = (await store.incidents.get(ref)).id
                await ask(store, settings, verb, id_, detail, note=kept)
                done.extend(await _views(settings, config, store, [await store.incidents.get(id_)]))
            except (LookupError, NotDoneError) as error:
                problems.append(str(error))

    with_store(settings, apply)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for one in done:
            yield f"{one.id} {stands(one)}" + (f", {printable(one.owner)}'s" if one.owner and verb == "assign" else "")

    emit(map(as_dict, done), form, text)
    fail_if(problems, "\n".join(printable(problem) for problem in problems))
