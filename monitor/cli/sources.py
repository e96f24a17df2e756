"""`monitor sources`: what is read, how far it is, and what was lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, command_app, paint, printable, read_config, with_store
from monitor.cli.kit import FormatOption, emit, emit_list, table
from monitor.common.wording import ago, moment
from monitor.intake.ledger import Loss, total

if TYPE_CHECKING:
    pass

app = command_app(
    help="Show each source: how far it is, when it last stored something, and what was lost. No daemon has to run.",
    epilog="Example: monitor sources --format json",
)


@app.command(epilog="Example: monitor sources --losses")
def sources(
    losses: Annotated[bool, typer.Option("--losses", help="Every loss with its place and time.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    """Show each source: how far it is, when it last stored something, and what was lost. No daemon has to run."""
    from monitor.sources.standing import standing

    settings = read_config(config, enter=True, needs=("sources",))
    known = with_store(settings, lambda store: store.positions.all(), missing=lambda: {})
    rows = [one.row() for one in standing(settings.sources, known)]
    if losses:
        emit(rows, form, _losses)
        return
    columns = (
        "name",
        "type",
        ("position", _position),
        ("behind", lambda row: None if row["behind_bytes"] is None else f"{row['behind_bytes']:,} B"),
        ("last success", lambda row: row["last_success"] and f"{ago(time.time() - row['last_success'])} ago"),
        ("lost", _lost),
    )
    nothing = "no sources: nothing is watched; add [[sources]] to the configuration"
    problems = (
        f"{paint(row['name'], bold=True)}: {printable(part)}: {printable(why)}"
        for row in rows
        for part, why in row["problems"].items()
    )
    emit_list(rows, form, columns, nothing=nothing, spare=("type",), notes=problems)


def _position(row: Mapping[str, Any]) -> str:
    up_to = f" of {moment(row['read_up_to'])}" if row["read_up_to"] is not None else ""
    return f"{row['position'] or '-'}{up_to}"


def _lost(row: Mapping[str, Any]) -> str:
    sums = total(Loss(**loss) for loss in row["lost"]).values()
    return ", ".join(_amount(loss) for loss in sums) or "nothing known of"


def _amount(loss: Loss) -> str:
    if not loss.count:
        return f"{loss.reason}: unknown"
    return f"{loss.reason}: {loss.count:,} {loss.unit}{' and more' if loss.unknown else ''}"


def _losses(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    found = sorted(
        ((row["name"], Loss(**loss)) for row in rows for loss in row["lost"]), key=lambda pair: -pair[1].last
    )
    if not found:
        yield "nothing known of was lost"
        return
    cells = [
        (name, _amount(loss), moment(loss.first), moment(loss.last), printable(loss.place) or "several places")
        for name, loss in found
    ]
    yield from table(("source", "lost", "first", "last", "place"), cells)
