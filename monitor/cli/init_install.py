"""`monitor init --install`: the plan, and doing it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from monitor.cli.common import fail, paint, printable, usage
from monitor.common.text import veiled
from monitor.machine.install import Installation, InstallError, Step, program
from monitor.machine.logs import LogPlace
from monitor.machine.unit import NAME

__all__ = ["install"]

_RUNNING = Path("/run/systemd/system")
_MORE = 40  # lines of a step's details


def install(root: Path | None, *, agreed: bool, ask: bool) -> None:
    """`agreed`: do it. `ask`: where somebody is at a terminal, whether to do it."""
    usage((root is not None and not root.is_dir(), f"{printable(veiled(str(root)))}: no such folder"))
    try:
        path = program()
    except InstallError as error:
        fail(printable(str(error)))
    where = Path(os.path.realpath(root)) if root is not None else Path("/")
    if where != Path("/") and path.is_relative_to(where):
        path = Path("/", path.relative_to(where))
    installation = Installation(where, path, live=root is None and _RUNNING.is_dir())
    if reasons := installation.refused():
        fail("\n".join(("not installed, and nothing is changed:", *(f"- {printable(why)}" for why in reasons))))
    logs = installation.logs()
    steps = installation.steps(logs)
    for line in _plan(steps, logs):
        typer.echo(line)
    if not any(step.needed for step in steps):
        typer.echo(paint("all of it is done already", "green", bold=True))
        return
    again = shlex.join(["monitor", "init", "--install", "--yes", *(["--root", str(root)] if root else [])])
    if root is None and not installation.live:
        fail("systemd does not run here; for an image: monitor init --install --root /", 1 if agreed else 0)
    if os.geteuid():
        fail(f"nothing is changed; root may do it: sudo {path.with_name(again.split()[0])}{again[7:]}", int(agreed))
    if not agreed:
        if not (ask and sys.stdin.isatty() and sys.stdout.isatty()):
            typer.echo(f"nothing is changed; to do it: {again}")
            return
        if not typer.confirm("Do it?"):
            return
    _do(installation, steps)


def _plan(steps: Sequence[Step], logs: Sequence[LogPlace]) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        mark = paint("to do", "yellow", bold=True) if step.needed else paint("is so", "green")
        what = paint(printable(step.what), bold=True) if step.needed else printable(step.what)
        yield f"{number}. {mark}  {what}" + (f": {printable(step.why)}" if step.needed else "")
        if step.needed:
            yield paint("          $ ", dim=True) + printable(step.command)
            more = [f"          {_coloured(printable(line))}" for line in step.more]
            yield from more[:_MORE]
            if len(more) > _MORE:
                yield f"          and {len(more) - _MORE} more lines"
    for place in logs:
        for what, count in (place.refused or {}).items():
            yield paint("note: ", "cyan") + printable(f"{count:,} files that the service may not read: {what}")


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red"}.get(line[:1])
    return paint(line, colour) if colour else line


def _do(installation: Installation, steps: Sequence[Step]) -> None:
    done: list[str] = []
    for step in steps:
        if not step.needed:
            continue
        try:
            step.do()
        except OSError as error:
            _stop(done, step, f"{error.filename or ''}: {error.strerror or type(error).__name__}".removeprefix(": "))
        except InstallError as error:
            _stop(done, step, str(error))
        done.append(step.what)
        typer.echo(f"{paint('done', 'green', bold=True)}  {printable(step.what)}")
    if installation.live:
        typer.echo(f"{NAME} runs. Alerts: journalctl -fu {NAME}. What it lacks: monitor check --environment")
    typer.echo("To take it back:")
    for line in installation.undo():
        typer.echo(f"  {printable(line)}")


def _stop(done: Sequence[str], step: Step, why: str) -> NoReturn:
    fail(
        "\n".join(
            (
                f"failed: {printable(step.what)}: {printable(why)}",
                f"done before: {printable('; '.join(done)) or 'nothing'}",
                "next: mend that and do the same again, what is done is left as it is; or by hand:",
                f"  {printable(step.command)}",
            )
        )
    )
