"""`monitor audit`: the policy's checklist, each item pass, fail or unknown, with evidence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.audit.items import ITEMS
from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    json_text,
    paint,
    printable,
    read_config,
    run_key,
    started,
)

if TYPE_CHECKING:
    from monitor.audit.check import Judged, Verdict

app = command_app()

_COLOUR: dict[Verdict, str] = {"pass": "green", "fail": "red", "unknown": "yellow"}
_SHOWN, _FEW = 12, 3  # pieces of evidence of an item, and of one that passes, as text; the documents have more
_EPILOG = """Examples:

monitor audit .

monitor audit /srv/gateway /etc/systemd/system image.tar --config /etc/exposure-monitor/config.toml

monitor audit . --only gitignore,workflows --format sarif > audit.sarif
"""


def complete_items(incomplete: str) -> list[tuple[str, str]]:
    """Shell completion of items, also of the last in a list."""
    before, comma, last = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", item.title) for name, item in ITEMS.items() if name.startswith(last)]


@app.command(
    epilog=_EPILOG,
    help="The policy's checklist over folders, units, images, GitHub and the monitor's own records. Each item passes, "
    "fails or is unknown, with evidence and the command that shows it again. Exit code 1 when an item fails and no "
    "[[waivers]] accepts it. Never takes ./config.toml by itself: it may be part of what is audited.",
)
def audit(
    *,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Folders, files, images (docker save, OCI). Default: audit.paths, else the current folder.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="ID,...", help="Only these items.", autocompletion=complete_items, show_default=False
        ),
    ] = None,
    form: Annotated[
        Literal["text", "json", "sarif", "markdown"],
        typer.Option("--format", "-f", help="How to print the result: sarif is for code hosts, markdown for auditors."),
    ] = "text",
    listing: Annotated[bool, typer.Option("--list", help="Print the items and end.")] = False,
    config: ConfigOption = None,
) -> None:
    if listing:
        for name, item in ITEMS.items():
            typer.echo(f"{name.ljust(24)}{item.title}")
        return
    items = _items(only or [])
    settings = read_config(config, foreign=True)
    looked_at = [Path(path).absolute() for path in paths or ()] or list(settings.audit.paths) or [Path.cwd()]
    if absent := next((path for path in looked_at if not path.exists()), None):
        fail(f"{printable(str(absent))}: there is no such file or folder", 2)

    from monitor import __version__
    from monitor.audit import report
    from monitor.audit.run import audit as judge
    from monitor.common.process import log_apart
    from monitor.scanning.redact import Redactor
    from monitor.site import build_engine, present_store

    engine, key, now = build_engine(settings), run_key(settings), time.time()
    started()
    log_apart()

    async def work() -> list[Judged]:
        async with present_store(settings) as (store, no_store):
            return await judge(looked_at, settings, engine, key, items, store=store, no_store=no_store, now=now)

    judged = asyncio.run(work())
    if form == "text":
        for line in _text(judged):
            typer.echo(line)
    elif form == "json":
        typer.echo(json_text([report.row(one) for one in judged], indent=True))
    elif form == "sarif":
        typer.echo(json_text(report.sarif(judged, __version__), indent=True))
    else:
        names = map(Redactor(engine.worker()), map(str, looked_at))
        typer.echo(report.markdown(judged, now, __version__, [*names]), nl=False)
    fail_if(any(one.verdict == "fail" and not one.accepted for one in judged))


def _items(only: Sequence[str]) -> list[str]:
    names = [name.strip() for part in only for name in part.split(",") if name.strip()]
    for name in names:
        if name not in ITEMS:
            close = get_close_matches(name, ITEMS, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            fail(f"no item is called {printable(name)!r}{meant}\n`monitor audit --list` shows all of them", 2)
    return names or list(ITEMS)


def _text(items: Sequence[Judged]) -> Iterator[str]:
    from monitor.audit.report import summary

    for item in items:
        mark = paint(item.verdict.upper().ljust(8), _COLOUR[item.verdict], bold=True)
        yield f"{mark}{item.id}: {item.title}" + (" (waived)" if item.accepted else "")
        most = _FEW if item.verdict == "pass" else _SHOWN
        shown = [piece for piece in item.evidence if piece.verdict == item.verdict or piece.verdict != "pass"][:most]
        for piece in shown:
            waiver = f"; waived until {piece.waiver.expires}: {piece.waiver.reason}" if piece.waiver else ""
            what = "" if piece.verdict == item.verdict else f"{piece.verdict}: "
            yield printable(f"        {what}{piece.text}{waiver}")
        for repeat in dict.fromkeys(piece.repeat for piece in shown if piece.repeat and item.verdict != "pass"):
            yield paint(printable(f"        $ {repeat}"), dim=True)
        rest = sum(item.counts[verdict] for verdict in {item.verdict, "fail", "unknown"}) - len(shown)
        if rest > 0:
            yield f"        … and {rest:,} more; --format json has up to 50 of each kind"
        for late in item.expired:
            yield printable(f"        a waiver expired on {late.expires}: {late.reason}")
        if item.verdict == "fail" and not item.accepted:
            yield f"        to do: {item.remedy}"
    yield summary(items)
