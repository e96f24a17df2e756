"""`monitor action`: what is done about a secret, approved by people, run once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from monitor.cli.asking import NotDoneError, ask, planned
from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    paint,
    person,
    printable,
    read_config,
    with_store,
)
from monitor.cli.kit import Format, FormatOption, emit, emit_list, emit_one, field, fields
from monitor.cli.verify import PartOption, ValueOption, parts_from, value_of
from monitor.common.wording import moment, stamp
from monitor.config import state

if TYPE_CHECKING:
    from monitor.actions.operator import Operator
    from monitor.config.config import Config
    from monitor.store import Store
    from monitor.store.records import ActionRun

_T = TypeVar("_T")

app = command_app(
    no_args_is_help=True,
    help="Plan, approve and run what takes a secret back: [[actions]] of the configuration. Each runs at most once.",
    epilog="Example: monitor action plan 3f2a",
)

RunArgument = Annotated[str, typer.Argument(metavar="ACTION", help="Id of a planned action, or a unique start of it.")]


@app.command("list", epilog="Example: monitor action list --format json", help="List actions, newest first.")
def list_actions(
    incident: Annotated[str | None, typer.Option(metavar="ID", help="Only about this one.", show_default=False)] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    async def read(store: Store) -> list[ActionRun]:
        about = (await store.incidents.get(incident)).id if incident is not None else None
        await store.actions.abandon()
        return await store.actions.find(incident=about)

    actions = with_store(read_config(config, store_only="look"), read, missing=lambda: [])
    columns = (
        "id",
        "incident",
        "action",
        "state",
        ("approved", lambda run: f"{len(run.approvals)}/{run.needed}"),
        ("planned", lambda run: moment(run.planned_at)),
        "outcome",
    )
    nothing = "nothing was planned; `monitor action plan ID` shows what can be done about an incident"
    emit_list(actions, form, columns, nothing=nothing, row=as_dict, spare=("planned", "approved"))


@app.command("show", epilog="Example: monitor action show 5d0c", help="Show one action.")
def show(ref: RunArgument, form: FormatOption = "text", config: ConfigOption = None) -> None:
    async def read(store: Store) -> ActionRun:
        await store.actions.abandon()
        return await store.actions.get(ref)

    _print(with_store(read_config(config, store_only="look"), read), form)


@app.command(
    "plan",
    epilog="Examples:\n\n  monitor action plan 3f2a\n\n  monitor action plan 3f2a github-revoke",
    help="Plan an action for an incident. Without its name: say which there are for it.",
)
def plan(
    *,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Id of an incident, or a unique start.")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of an action in the configuration.")] = None,
    part: PartOption = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings, parts = read_config(config), parts_from(part or [])
    if name is None:
        _fitting(settings, incident, form)
        return
    chosen = next((one for one in settings.actions if one.name == name), None)
    if chosen is None:
        fail(f"there is no action {printable(name)!r} in the configuration; `monitor action plan ID` shows them", 2)

    async def work(store: Store) -> ActionRun:
        about = await store.incidents.get(incident)
        if not chosen.fits(about.rule, about.labels):
            what = "where this one was seen" if chosen.about_place else f"secrets of {about.rule}"
            fail(f"{chosen.name} is not for {what}", 2)
        return await planned(store, settings, about.id, name, parts)

    _print(_told(settings, work), form)


@app.command(
    "approve",
    epilog="Example: monitor action approve 5d0c",
    help="Approve a planned action. Where two have to, they are different people.",
)
def approve(ref: RunArgument, form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config)

    async def work(store: Store) -> ActionRun:
        waiting = await store.actions.get(ref)
        await ask(store, settings, "approve", waiting.incident, waiting.id)
        return await store.actions.get(waiting.id)

    _print(_told(settings, work), form)


@app.command(
    "run",
    epilog="Examples:\n\n  monitor action run 5d0c --dry-run\n\n  monitor action run 5d0c",
    help="Run an approved action, once, and ask the issuer whether the secret still works. Exit code 0: completed or "
    "accepted; 1: failed, or it cannot be known.",
)
def run(
    ref: RunArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be sent; send nothing.")] = False,
    value_from: ValueOption = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.verify.request import MissingPartError

    settings = read_config(config)
    value = value_of("--value-from", value_from)

    async def work(store: Store) -> ActionRun | list[str]:
        operator = _operator(settings, store)
        await store.actions.abandon()
        approved = await store.actions.get(ref)
        if dry_run:
            return await operator.preview(approved, value)
        return await operator.run(approved, actor=person(), value=value)

    try:
        done = _told(settings, work)
    except MissingPartError as error:
        fail(str(error), 2)
    if isinstance(done, list):
        emit_one({"would": done}, form, lambda _row: [printable(line) for line in done])
        return
    _print(done, form)
    fail_if(done.state not in ("completed", "accepted"))


def as_dict(run: ActionRun) -> dict[str, Any]:
    """An action as scripts get it; times in RFC 3339."""
    return {
        "id": run.id,
        "incident": run.incident,
        "action": run.action,
        "state": run.state,
        "automatic": run.automatic,
        "approvals": list(run.approvals),
        "needed": run.needed,
        "planned_by": run.planned_by,
        "planned_at": stamp(run.planned_at, "milliseconds"),
        "started_at": stamp(run.started_at, "milliseconds"),
        "finished_at": stamp(run.finished_at, "milliseconds"),
        "step": run.step,
        "parts": dict(run.parts),
        "outcome": run.outcome,
    }


def _print(run: ActionRun, form: Format) -> None:
    def text(row: Mapping[str, Any]) -> Iterable[str]:
        yield paint(f"{run.action} {run.state}", bold=True) + (f": {printable(run.outcome)}" if run.outcome else "")
        yield from fields(row, "id", "incident", "planned_by", "planned_at", "started_at", "finished_at")
        if run.needed:
            who = f": {', '.join(run.approvals)}" if run.approvals else ""
            yield field("approved", f"{len(run.approvals)} of {run.needed}{who}")
        if run.state in ("planned", "approved"):
            yield field("next", f"monitor action {'approve' if run.state == 'planned' else 'run'} {run.id}")

    emit_one(as_dict(run), form, text)


def _fitting(settings: Config, ref: str, form: Format) -> None:
    """What may be done about an incident, and what else there is where nothing is configured."""
    from monitor import runbook
    from monitor.actions.config import load_ready

    about = with_store(settings, lambda store: store.incidents.get(ref))
    configured = [one for one in settings.actions if one.fits(about.rule, about.labels)]
    ready = [one for one in load_ready().values() if about.rule in one.rules or one.place(about.labels)]
    book = runbook.load(about.runbook)
    rows: list[dict[str, Any]] = [
        {"action": one.name, "configured": True, "does": one.does, "approvals": one.approvals} for one in configured
    ]
    rows += [
        {"action": one.id, "configured": False, "does": one.name, "needs": one.credential, "docs": one.docs}
        for one in ready
        if one.id not in {action.type for action in configured}
    ]

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for row in rows:
            if row["configured"]:
                people = f"{row['approvals']} to approve" if row["approvals"] else "nobody has to approve"
                yield f"{paint(row['action'], bold=True)}: {row['does']} ({people})"
            else:
                needs = f"; it needs {row['needs']}" if row["needs"] else ""
                yield f'not configured: [[actions]] type = "{row["action"]}": {row["does"]}{needs}'
        if book is not None:
            yield f"by hand: {book.where}" + (f"  {book.url}" if book.url else "")

    emit(rows, form, text)


def _operator(settings: Config, store: Store) -> Operator:
    from monitor.actions.actor import Actor
    from monitor.actions.operator import Operator
    from monitor.scanning.redact import Redactor
    from monitor.site import build_engine
    from monitor.verify.asker import Asker
    from monitor.verify.verifier import Verifier

    engine = build_engine(settings)
    redact = Redactor(engine.worker())
    verifier = Verifier(settings.verify, redact=redact)
    asker = Asker(store, verifier, state.key(settings), lambda: engine, lambda: settings)
    return Operator(store, asker, Actor(proxy=lambda: settings.verify.proxy, redact=redact), lambda: settings)


def _told(settings: Config, work: Callable[[Store], Awaitable[_T]]) -> _T:
    """`with_store`, with what an action does not allow as the end of the command."""
    from monitor.store.actions import ActionError
    from monitor.verify.asker import WrongValueError

    return with_store(settings, work, refused=(ActionError, NotDoneError, WrongValueError))
