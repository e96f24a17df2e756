"""`monitor outbox`: what waits to be sent, what a sink refused, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import (
    ConfigOption,
    command_app,
    complete_sinks,
    fail_if,
    person,
    read_config,
    since_when,
    with_store,
)
from monitor.cli.kit import MOST, FormatOption, LimitOption, emit, emit_list, emit_one, fields
from monitor.common.wording import moment, stamp

if TYPE_CHECKING:
    from monitor.store import OutboxEntry, Store

app = command_app(
    no_args_is_help=True,
    help="List, show, retry and discard notifications. Works beside a running monitor.",
    epilog="Example: monitor outbox list --sink pager",
)

_UNDONE = ("pending", "leased", "dead")

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Ids, or unique starts of them.")]
SinkOption = Annotated[
    str | None, typer.Option("--sink", help="Only for this sink.", autocompletion=complete_sinks, show_default=False)
]
OlderOption = Annotated[
    str | None,
    typer.Option("--older", metavar="DURATION", help="Only older than this, such as 1h.", show_default=False),
]


_STATES: Mapping[str, tuple[str, ...]] = {"undone": _UNDONE, "all": ()}
_COLUMNS = (
    ("id", lambda one: one.id[:12]),
    "sink",
    "state",
    "reason",
    ("incidents", lambda one: len(one.incidents)),
    ("made", lambda one: moment(one.created_at)),
    ("tries", "attempts"),
    "error",
)


@app.command(
    "list",
    epilog="Example: monitor outbox list --state dead --sink pager --older 1h --format jsonl",
    help="List notifications, newest first: those that wait (pending), are being sent (leased) or were refused (dead).",
)
def list_outbox(
    *,
    state: Annotated[
        Literal["undone", "pending", "leased", "dead", "sent", "all"],
        typer.Option(help="Only these; undone: all that is not sent."),
    ] = "undone",
    sink: SinkOption = None,
    older: OlderOption = None,
    limit: LimitOption = 100,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    before, states = since_when("--older", older), _STATES.get(state, (state,))
    found = with_store(
        read_config(config, store_only="look"),
        lambda store: store.outbox.list(states=states, sink=sink, before=before, limit=MOST),
        missing=lambda: [],
    )
    nothing = "nothing waits, and nothing was refused" if state == "undone" else "none"
    spare = ("reason", "tries", "made")
    emit_list(found, form, _COLUMNS, nothing=nothing, row=as_dict, limit=limit, spare=spare)


@app.command("show", epilog="Example: monitor outbox show 3f2a", help="Show one notification.")
def show(
    ref: Annotated[str, typer.Argument(metavar="ID", help="Id, or a unique start of it.")],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    async def read(store: Store) -> OutboxEntry:
        return _one(await store.outbox.list(limit=MOST), ref)

    emit_one(as_dict(with_store(read_config(config, store_only="look"), read)), form, fields)


@app.command(
    "retry",
    epilog="Example: monitor outbox retry --sink pager",
    help="Try at once what waits or was refused: by id, or all of a sink. The running monitor sends it.",
)
def retry(
    ref: IdsArgument = None,
    sink: SinkOption = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    fail_if(bool(ref) == bool(sink), "name ids, or a sink with --sink", 2)

    async def work(store: Store) -> list[OutboxEntry]:
        found = await _chosen(store, ref, sink)
        done = await store.undelivered.retry([entry.id for entry in found], actor=person())
        return [entry for entry in found if entry.id in done]

    done = with_store(read_config(config, store_only="act"), work)
    emit(map(as_dict, done), form, lambda rows: [f"{len(rows)} to be tried at once"])


@app.command(
    "discard",
    epilog="Example: monitor outbox discard 3f2a",
    help="Forget notifications that wait or were refused; they alert nobody. Incidents stay.",
)
def discard(
    ref: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids, or unique starts of them.")],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    async def work(store: Store) -> list[OutboxEntry]:
        found = await _chosen(store, ref, None)
        done = await store.undelivered.discard([entry.id for entry in found], actor=person())
        return [entry for entry in found if entry.id in done]

    done = with_store(read_config(config, store_only="act"), work)
    emit(map(as_dict, done), form, lambda rows: [f"{len(rows)} discarded"])
    fail_if(len(done) < len(ref), "some are being sent, or were sent meanwhile; `monitor outbox list` shows them")


async def _chosen(store: Store, refs: Sequence[str] | None, sink: str | None) -> list[OutboxEntry]:
    undone = await store.outbox.list(states=_UNDONE, sink=sink, limit=MOST)
    return list(undone) if refs is None or sink else [_one(undone, ref) for ref in refs]


def _one(found: Sequence[OutboxEntry], ref: str) -> OutboxEntry:
    """Raises LookupError."""
    fitting = [one for one in found if one.id == ref] or [one for one in found if ref and one.id.startswith(ref)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise LookupError(f"{ref!r} fits several notifications; give more of the id")
    raise LookupError(f"there is no such notification {ref!r}; `monitor outbox list` shows them")


def as_dict(entry: OutboxEntry) -> dict[str, Any]:
    """A notification as scripts get it; times in RFC 3339."""
    return {
        "id": entry.id,
        "sink": entry.sink,
        "state": entry.state,
        "reason": entry.reason,
        "incidents": list(entry.incidents),
        "title": entry.title,
        "created_at": stamp(entry.created_at, "milliseconds"),
        "next_at": stamp(entry.next_at, "milliseconds") if entry.state == "pending" else None,
        "attempts": entry.attempts,
        "error": entry.error,
        "finished_at": stamp(entry.finished_at, "milliseconds"),
    }
