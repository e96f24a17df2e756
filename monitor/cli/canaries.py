"""Canaries, for `monitor drill`: plant one, list them, forget one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.common import fail, fail_if, person, printable, redacted, with_store
from monitor.cli.kit import Format, emit_list
from monitor.common.text import token_like
from monitor.common.wording import stamp
from monitor.drill.append import append
from monitor.sources.file.globs import Globs

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.drill.ammunition import Ammunition
    from monitor.store import Store

__all__ = ["forget", "plant", "show"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HOW = "give --at FILE, or --at - to print the value and put it somewhere yourself"


def plant(settings: Config, name: str, shot: Ammunition, rule: str, *, at: str | None, note: str) -> None:
    """Known first, then planted: nothing sees it in between. With `at` "-" the value goes to stdout, alone."""
    fail_if(
        not _NAME.fullmatch(name) or token_like(name),
        "--canary takes a name of letters, digits, dots and dashes, which is shown in alerts",
        2,
    )
    if at is None:
        fail(_HOW, 2)
    fail_if(not shot.written, f"no rule finds a secret of {rule} in a line of settings; choose another with --rule", 2)
    path = None if at == "-" else _home(settings, at)
    if path is not None and not os.path.isdir(path.parent):  # never raises
        fail(f"{printable(redacted(settings, str(path.parent)))} is no folder; {_HOW}", 2)
    told = redacted(settings, note) or (str(path) if path is not None else "outside")

    async def run(store: Store) -> str:
        kept = redacted(settings, str(path)) if path is not None else None
        try:
            await store.canaries.plant(
                name, shot.written, others=shot.others, rule=rule, place=told, path=kept, by=person()
            )
        except ValueError as error:
            return str(error)
        try:
            if path is not None:
                # A new file is for its owner alone: else the first one to read it is anybody.
                append(path, shot.line, mode=0o600)
        except OSError as error:
            await store.canaries.forget(name)
            return f"{path}: {error.strerror}; {_HOW}"
        return ""

    if wrong := with_store(settings, run):
        fail(printable(redacted(settings, wrong)))
    if path is None:
        typer.echo(shot.value)
    typer.echo(f"canary {name}: seen anywhere but in {printable(told)}, it is an alarm", err=True)


def _home(settings: Config, at: str) -> Path:
    """By the name under which a source follows it; else where links lead, as a source would rather follow that."""
    from monitor.sources.file.source import FileConfig

    path = os.path.abspath(os.path.expanduser(at))
    files = (source for source in settings.sources if isinstance(source, FileConfig))
    followed = any(Globs(source.include, source.exclude).matches(path) for source in files)
    return Path(path if followed else os.path.realpath(path))


def show(settings: Config, form: Format) -> None:
    """Each with where it was planted, and whether it was seen elsewhere."""
    from monitor.site import read_rules

    planted = with_store(settings, lambda store: store.canaries.list(), missing=lambda: [])
    rules = {rule.id for rule in read_rules(settings)}
    rows = [
        {
            "name": one.name,
            "rule": one.rule,
            "place": one.place,
            "host": one.host,
            "planted": stamp(one.at),
            "by": one.by,
            "incident": one.incident,
            "watched": one.rule in rules,
        }
        for one in planted
    ]

    columns = ("name", ("lies in", "place"), "host", ("since", "planted"), "by", ("", _state))
    emit_list(rows, form, columns, nothing="there are no canaries", spare=("by", "since"))


def _state(row: Mapping[str, Any]) -> str:
    if row["incident"]:
        return f"used or moved: incident {row['incident']}"
    return "" if row["watched"] else f"the rule {row['rule']} is off: nobody would see it"


def forget(settings: Config, name: str) -> None:
    """What is seen of it afterwards is a leak like any other."""

    async def run(store: Store) -> bool:
        await store.canaries.forget(name)
        return True

    with_store(settings, run)
    typer.echo(f"forgotten: {name}; where it still lies, it is found as any other secret")
