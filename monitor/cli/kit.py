"""How commands print data: rows as a list whose columns fit, one thing as its fields, and both as JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import typer

from monitor.cli.common import json_text, paint, printable, severity_colour

__all__ = [
    "MOST",
    "Column",
    "Format",
    "FormatOption",
    "LimitOption",
    "Row",
    "emit",
    "emit_list",
    "emit_one",
    "field",
    "fields",
    "said",
    "spoken",
    "table",
    "tracked",
]

_T = TypeVar("_T")

MOST = 10_000  # rows

Row = Mapping[str, Any]
# A key of the rows; or a head, and a key or what the cell of an item says
Column = str | tuple[str, str | Callable[[Any], object]]

Format = Literal["text", "json", "jsonl"]
FormatOption = Annotated[
    Format,
    typer.Option("--format", "-f", help="How to print the data: for people, as one document, or as one object a line."),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=MOST, help="At most so many.")]

_GAP = "  "
_LEAST = 16  # characters that a column is cut to: an id stays whole
_LAST = 24  # that the last one, which says most, has before another is cut for it
_END = 8  # that it has in any case
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_FEW = 10  # items that are dealt with before a bar could be read
_KEY = 12  # characters that the name of a field takes


def emit(rows: Iterable[Row], form: Format, text: Callable[[Sequence[Row]], Iterable[str]]) -> None:
    """Print data. `json` is one array, `jsonl` one object a line, and `text` turns the rows into lines."""
    if form == "jsonl":
        for row in rows:
            typer.echo(json_text(row))
    elif form == "json":
        typer.echo(json_text(list(rows), indent=True))
    else:
        for line in text(list(rows)):
            typer.echo(line)


def emit_one(row: Row, form: Format, text: Callable[[Row], Iterable[str]]) -> None:
    """Print one object; `json` and `jsonl` differ in the line breaks only."""
    if form == "text":
        for line in text(row):
            typer.echo(line)
    else:
        typer.echo(json_text(row, indent=form == "json"))


def emit_list(
    items: Iterable[Any],
    form: Format,
    columns: Sequence[Column],
    *,
    nothing: str,
    row: Callable[[Any], Row] = dict,
    spare: Sequence[str] = (),
    limit: int | None = None,
    total: int | None = None,
    notes: Iterable[str] = (),
) -> None:
    """Print items, to people as a table; `nothing` where there is none, `notes` below.

    `row` makes what scripts get of an item. `limit`: how many at most; `total`: how many there are, where these are not
    all. `spare`: see `table`.
    """
    known = list(items)
    shown = known[:limit]
    cells = [(column, column) if isinstance(column, str) else column for column in columns]

    def text(rows: Sequence[Row]) -> Iterable[str]:
        if rows:
            body = (
                [said(one[cell] if isinstance(cell, str) else cell(item)) for _, cell in cells]
                for item, one in zip(shown, rows, strict=True)
            )
            yield from table([head for head, _ in cells], body, spare)
        else:
            yield nothing
        if (more := (total or len(known)) - len(shown)) > 0:
            yield f"and {more:,} more; --limit shows them"
        yield from notes

    emit(map(row, shown), form, text)


def said(value: object) -> str:
    """A value of a row, which is for scripts, as people read it everywhere."""
    if isinstance(value, bool):
        return "yes" if value else "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "-"
    text = "" if value is None else str(value)
    return spoken(text) if _STAMP.fullmatch(text) else text or "-"


def spoken(stamped: str | None, none: str = "-") -> str:
    """A moment of a row as people read it."""
    from datetime import datetime

    from monitor.common.wording import moment

    return moment(datetime.fromisoformat(stamped)) if stamped else none


def fields(row: Row, *keys: str) -> Iterable[str]:
    """A line for each value of a row that says something; of these keys, or of all."""
    return (field(key, said(row[key])) for key in keys or row if row[key] not in (None, "", [], (), {}))


def field(key: str, text: str, *, bold: bool = False) -> str:
    """A line that names what it says."""
    return f"{paint(key.ljust(_KEY), dim=True)} {paint(printable(text), bold=bold)}"


def tracked(items: Sequence[_T], what: str) -> Iterable[_T]:
    """The items, with a bar on standard error for who waits at a terminal for many."""
    if len(items) <= _FEW or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, what, console=Console(stderr=True), transient=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()) -> Iterable[str]:
    """Aligned columns. A pipe gets all of them whole; a terminal what fits: where it is narrow, columns of `spare` are
    left out, the first of them first, then what is widest is cut. No two columns have one name.

    Cells of a column `severity` are coloured.
    """
    body = [[printable(cell) for cell in row] for row in rows]
    columns = {name: [name.upper(), *(row[place] for row in body)] for place, name in enumerate(head)}
    widths = {name: max(map(len, column)) for name, column in columns.items()}
    if sys.stdout.isatty():
        import shutil

        _fit(widths, shutil.get_terminal_size().columns, spare)
    for number in range(len(body) + 1):
        cells = {name: _cut(columns[name][number], width).ljust(width) for name, width in widths.items()}
        if number and "severity" in cells:
            cells["severity"] = paint(cells["severity"], severity_colour(columns["severity"][number]))
        line = _GAP.join(cells.values()).rstrip()
        yield line if number else paint(line, bold=True)


def _fit(widths: dict[str, int], room: int, spare: Sequence[str]) -> None:
    """Fewer and narrower columns, until they fit or are as narrow as makes sense."""
    last = [*widths][-1]
    whole = widths[last]
    widths[last] = min(whole, _LAST)

    def over() -> int:
        return sum(widths.values()) + len(_GAP) * (len(widths) - 1) - room

    for name in spare:
        if over() > 0:
            del widths[name]
    while over() > 0 and max(widths.values()) > _LEAST:
        widths[max(widths, key=widths.__getitem__)] -= 1
    widths[last] = min(whole, max(widths[last] - over(), _END))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
