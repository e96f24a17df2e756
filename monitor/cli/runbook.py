"""`monitor runbook`: what is to be done about an incident, by whom and until when; and the runbooks themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.asking import NotDoneError, ask, planned
from monitor.cli.common import (
    ConfigOption,
    IncidentArgument,
    command_app,
    fail,
    fail_if,
    noted,
    paint,
    printable,
    read_config,
    with_store,
)
from monitor.cli.kit import Format, FormatOption, LimitOption, emit, emit_list, emit_one
from monitor.common.wording import ago, moment, stamp

if TYPE_CHECKING:
    from monitor.actions.config import ActionConfig
    from monitor.common.inbound import Verb as Asked
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident
    from monitor.runbook import Runbook
    from monitor.runbook.progress import RunbookRun, Task, Verb
    from monitor.store import Store
    from monitor.store.records import ActionRun

app = command_app(
    no_args_is_help=True,
    help="Follow the runbook of an incident: claim steps, finish or skip them; and read and check runbooks.",
    epilog="Example: monitor runbook claim 3f2a revoke",
)

StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="A step, such as revoke.")]
NoteOption = Annotated[
    str, typer.Option("--note", "-m", help="Evidence, or why; stored in the history.", show_default=False)
]
AnywayOption = Annotated[bool, typer.Option("--anyway", help="Although another has it, or earlier steps wait.")]


@app.command("list", epilog="Example: monitor runbook list --format json", help="The runs under way, or all runbooks.")
def list_runs(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    limit: LimitOption = 100,
    books: Annotated[bool, typer.Option("--books", help="Names of all runbooks instead.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="look")
    if books:
        runbook_store = settings.runbook_store
        found = [book for name in runbook_store.names() if (book := runbook_store.load(name)) is not None]
        rows = [{"name": book.name, "title": book.title, "steps": len(book.steps)} for book in found]
        emit_list(rows, form, ("name", "title"), nothing="there are no runbooks")
        return
    now = time.time()
    runs, total = with_store(settings, lambda store: store.runs.find(limit, ended=everything), missing=lambda: ([], 0))
    columns = (
        "incident",
        ("runbook", "book"),
        ("done", lambda run: f"{run.done} of {len(run.tasks)}"),
        ("due", lambda run: run.next and _due(run.next, now)),
        ("next", lambda run: _next(run.next) if run.next else run.ended and f"over since {moment(run.ended)}"),
    )
    nothing = "there are no runs" if everything else "no runbook is under way"
    emit_list(runs, form, columns, nothing=nothing, row=lambda run: run_row(run, now), total=total)


@app.command(
    "show",
    epilog="Examples:\n\n  monitor runbook show 3f2a\n\n  monitor runbook show aws-key",
    help="The run of an incident with its steps, instructions and filled queries; or a runbook, by its name.",
)
def show(
    what: Annotated[str, typer.Argument(metavar="ID|NAME", help="An incident, or a runbook.")],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="look")
    if (book := settings.runbook_store.load(what)) is not None:
        steps = [
            step.model_dump(mode="json", exclude={"when"}) | {"when": [str(one) for one in step.when]}
            for step in book.steps
        ]
        row = {
            "name": book.name,
            "title": book.title,
            "first_step": book.advice({}),
            "where": book.where,
            "url": book.url,
            "notes": list(book.notes),
            "order": book.order,
            "steps": steps,
        }
        emit_one(row, form, lambda row: [book.text().rstrip()])
        return
    if not re.fullmatch("[0-9a-fA-F]+", what):  # no incident is called so
        close = get_close_matches(what, settings.runbook_store.names(), n=3)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        shown = "`monitor runbook list --books` shows the runbooks, `monitor incidents list` the incidents"
        fail(f"neither a runbook nor an incident is called {printable(what)!r}{meant}\n{shown}")

    async def read(store: Store) -> tuple[Incident, RunbookRun | None]:
        incident = await store.incidents.get(what)
        return incident, await store.runs.get(incident.id)

    incident, run = with_store(settings, read)
    if run is None:
        begin = f"`monitor runbook start {incident.id}` begins it"
        fail(f"no runbook is under way for incident {incident.id}; {begin}")
    _print_run(settings, incident, run, form)


@app.command(
    "start",
    epilog="Example: monitor runbook start 3f2a --order replace",
    help="Begin the runbook of an incident by hand, whatever its severity.",
)
def start(
    *,
    ref: IncidentArgument,
    book: Annotated[str | None, typer.Option(metavar="NAME", help="Another runbook.", show_default=False)] = None,
    order: Annotated[
        Literal["contain", "replace"] | None,
        typer.Option(help="contain: revoke first; replace: new secret first. Default: by rule and severity."),
    ] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="act")

    incident, run = _change(settings, ref, "start", f"{book or ''}:{order or ''}")
    _print_run(settings, incident, run, form)


def _verb(verb: Verb, ref: str, step: str, *, note: str, anyway: bool, form: Format, config: Path | None) -> None:
    settings = read_config(config, store_only="act")
    kept = noted(settings, note)

    _, run = _change(settings, ref, verb, step + (":over" if anyway else ""), note=kept)
    now = time.time()

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        task = run.task(step)
        by = f" by {task.owner}" if task.owner else ""
        yield f"{run.incident} {task.id} {task.state}{by}; {run.done} of {len(run.tasks)} done"
        if run.next is not None and run.next.id != task.id:
            yield f"next: {printable(_next(run.next))} ({_due(run.next, now)})"

    emit_one(run_row(run, now), form, text)


@app.command("claim", epilog="Example: monitor runbook claim 3f2a revoke", help="Say that you do a step.")
def claim(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    anyway: AnywayOption = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _verb("claim", ref, step, note="", anyway=anyway, form=form, config=config)


@app.command(
    "done",
    epilog="Example: monitor runbook done 3f2a revoke --note 'inactive in IAM'",
    help="Say that a step is done, with evidence.",
)
def done(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    note: NoteOption = "",
    anyway: AnywayOption = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _verb("done", ref, step, note=note, anyway=anyway, form=form, config=config)


@app.command(
    "skip",
    epilog="Example: monitor runbook skip 3f2a notify --note 'nobody is concerned'",
    help="Leave a step out; --note says why.",
)
def skip(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _verb("skip", ref, step, note=note, anyway=False, form=form, config=config)


@app.command(
    "fail",
    epilog="Example: monitor runbook fail 3f2a replace --note 'the console is down'",
    help="Say that a step was tried and did not work; it stays to be done.",
)
def failed(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _verb("fail", ref, step, note=note, anyway=False, form=form, config=config)


@app.command("reopen", epilog="Example: monitor runbook reopen 3f2a deploy", help="Take back that a step was done.")
def reopen(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    _verb("reopen", ref, step, note=note, anyway=False, form=form, config=config)


@app.command(
    "run",
    epilog="Example: monitor runbook run 3f2a revoke",
    help="Plan the actions of a step ([[actions]] of the configuration), and claim it. `monitor action` approves and "
    "runs them; what they did is seen when the issuer is asked. A step without one says what to do by hand.",
)
def run(
    *,
    ref: IncidentArgument,
    step: StepArgument,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.runbook.progress import RunError

    settings = read_config(config, store_only="act")

    async def plan(store: Store) -> list[ActionRun]:
        incident = await store.incidents.get(ref)
        under_way = await store.runs.get(incident.id)
        if under_way is None:
            raise RunError(f"no runbook is under way for incident {incident.id}")
        task = under_way.task(step)
        chosen = _actions(settings, under_way, task, incident)
        if not chosen:
            by_hand = f"`monitor runbook show {incident.id}` says how it is done by hand"
            raise RunError(f"step {step} has no action that is configured for {incident.rule}; {by_hand}")
        if task.state in ("open", "failed"):
            await ask(store, settings, "claim", incident.id, step)
        return [await planned(store, settings, incident.id, one.name) for one in chosen]

    actions = with_store(settings, plan, refused=(RunError, NotDoneError))
    rows = [{"action": one.action, "id": one.id, "state": one.state, "incident": one.incident} for one in actions]

    verbs = {"planned": "approve"}
    emit(
        rows,
        form,
        lambda rows: (
            f"{row['action']} {row['state']}; next: monitor action {verbs.get(row['state'], 'run')} {row['id']}"
            for row in rows
        ),
    )


def _actions(settings: Config, run: RunbookRun, task: Task, incident: Incident) -> list[ActionConfig]:
    """Those that the step names; else, of the step that revokes, those configured for such secrets, and of one that
    takes away where it can be read, those for such a place."""
    book = settings.runbook_store.load(run.book)
    step = book.step(task.id) if book else None
    fitting = [one for one in settings.actions if one.fits(incident.rule, incident.labels)]
    if step is not None and step.actions:
        return [one for one in fitting if one.name in step.actions]
    wanted = {False} if task.claims == "revoked" else {True} if step is not None and step.erases else set()
    return [one for one in fitting if one.about_place in wanted]


@app.command(
    "lint",
    epilog="Example: monitor runbook lint runbooks.d/*.toml",
    help="Check runbooks of your own: the files named, or those of runbook.folder. Exit code 1 when one is wrong.",
)
def lint(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", show_default=False)] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.runbook import RunbookStore

    if files:
        runbook_store, paths = (
            RunbookStore(),
            list(files),
        )  # wherever they are written: the actions are those of another place
    else:
        runbook_store = read_config(config, needs=("runbook", "actions")).runbook_store
        if runbook_store.own is None:
            fail("name files, or set runbook.folder", 2)
        paths = sorted(runbook_store.own.glob("*.toml"))
    rows = []
    for path in paths:
        _, problems = runbook_store.parse(path)
        rows += [{"file": str(path), "key": problem.key, "message": problem.message} for problem in problems]

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for row in rows:
            yield printable(": ".join(filter(None, (row["file"], row["key"], row["message"]))))
        wrong = len({row["file"] for row in rows})
        yield f"{len(paths)} runbooks, {wrong} wrong" if wrong else f"{len(paths)} runbooks, all right"

    emit(rows, form, text)
    fail_if(rows)


def _change(settings: Config, ref: str, verb: Asked, detail: str, *, note: str = "") -> tuple[Incident, RunbookRun]:
    """The incident and its run afterwards; a refusal ends the command."""

    async def apply(store: Store) -> tuple[Incident, RunbookRun]:
        incident = await store.incidents.get(ref)
        await ask(store, settings, verb, incident.id, detail, note=note)
        run = await store.runs.get(incident.id)
        assert run is not None
        return incident, run

    return with_store(settings, apply, refused=(NotDoneError,))


def _print_run(settings: Config, incident: Incident, run: RunbookRun, form: Format) -> None:
    from monitor.runbook.book import PHASES

    now = time.time()
    book = settings.runbook_store.load(run.book)
    asked = {task.id: _queries(book, task, incident, now) for task in run.tasks}
    row = run_row(run, now)
    for step in row["steps"]:
        step["queries"] = asked[step["id"]]

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        order = "contain first" if run.order == "contain" else "replace first"
        yield from (
            paint(printable(f"{run.title}: {incident.name} {incident.masked}"), bold=True),
            f"{incident.id}  {order} ({run.why}); {run.done} of {len(run.tasks)} done",
        )
        phase = ""
        for task in run.tasks:
            if task.phase != phase:
                phase = task.phase
                yield from (
                    "",
                    paint(PHASES[task.phase], bold=True),
                )
            yield _line(task, now, run.ended is not None)
            if not task.over and run.next is not None and task.id == run.next.id:
                yield from _instructions(book, task, asked[task.id], {**incident.labels, "order": run.order})

    emit_one(row, form, text)


def _line(task: Task, now: float, ended: bool) -> str:
    mark = {"done": "✓", "skipped": "–", "failed": "!", "claimed": "…"}.get(task.state, " ")
    when = moment(task.since) if task.over else _due(task, now) if not ended else ""
    by = f" by {task.owner}" if task.owner else ""
    note = f": {task.note}" if task.note else ""
    line = f"{mark} {task.id.ljust(10)} {task.title} ({task.state}{by}{', ' if when else ''}{when}){note}"
    return paint(printable(line), "red" if not task.over and not ended and task.deadline < now else None)


def _instructions(
    book: Runbook | None, task: Task, asked: Sequence[Mapping[str, Any]], facts: Mapping[str, str]
) -> Iterable[str]:
    step = book.step(task.id) if book else None
    if book is None or step is None:  # the runbook was changed or removed since: the run keeps its steps
        return
    for line in book.instructions(step, facts).splitlines():
        yield f"    {printable(line)}"
    for link in step.links:
        yield f"    {printable(link.text)}: {printable(link.url)}"
    for query in asked:
        yield f"    {printable(query['where'])}:"
        for line in query["text"].splitlines():
            yield f"      {printable(line)}"


def _queries(book: Runbook | None, task: Task, incident: Incident, now: float) -> list[dict[str, Any]]:
    from monitor.runbook import fill

    step = book.step(task.id) if book else None
    facts = {**incident.labels, "masked": incident.masked, "fingerprint": incident.fingerprint, "id": incident.id}
    facts["rule"] = incident.rule
    begin = incident.first_logged if incident.first_logged is not None else incident.first_seen
    end = incident.resolved_at or now
    return [
        {"where": query.where, "text": fill(query, facts, begin, end).rstrip(), "url": query.url}
        for query in (step.queries if step else ())
    ]


def run_row(run: RunbookRun, now: float) -> dict[str, Any]:
    """A run as scripts get it, times in RFC 3339."""
    return {
        "incident": run.incident,
        "book": run.book,
        "order": run.order,
        "why": run.why,
        "started": stamp(run.started),
        "ended": stamp(run.ended),
        "done": run.done,
        "total": len(run.tasks),
        "next": run.next.id if run.next else None,
        "steps": [
            {
                "id": task.id,
                "title": task.title,
                "phase": task.phase,
                "actor": task.actor,
                "needs": list(task.needs),
                "state": task.state,
                "owner": task.owner,
                "deadline": stamp(task.deadline),
                "overdue": not task.over and run.ended is None and task.deadline < now,
                "since": stamp(task.since),
                "note": task.note,
            }
            for task in run.tasks
        ],
    }


def _next(task: Task) -> str:
    return f"{task.title} [{task.id}]" + (f", claimed by {task.owner}" if task.state == "claimed" else "")


def _due(task: Task, now: float) -> str:
    left = task.deadline - now
    return f"due in {ago(left)}" if left >= 0 else f"{ago(-left)} overdue"
