"""`monitor inventory check`: every name that a program wants is set in an environment, before it is deployed there."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, fail, fail_if, paint, printable, read_config, redacted, with_store
from monitor.cli.kit import FormatOption, emit
from monitor.common.environments import known_as
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.inventory.complete import Holding
    from monitor.inventory.managers.base import ManagerConfig
    from monitor.store import Store

__all__ = ["EntriesArgument", "check", "entries_named"]

_LARGEST = 1 << 20  # bytes of a file of names
_COLOURS = {"set": "green", "unread": "yellow", "unknown": "yellow"}


EntriesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ENTRY]…", help="Names of [[inventory]] entries; none: all of them.")
]


def check(
    entries: EntriesArgument = None,
    *,
    names: Annotated[
        Path, typer.Option("--names", metavar="FILE", help="A file such as .env.example, or a name a line; - reads it.")
    ],
    environment: Annotated[str, typer.Option("--environment", "-e", metavar="NAME", help="Where they must be set.")],
    without: Annotated[
        list[str] | None,
        typer.Option("--except", metavar="PATTERN", help="Names that are set elsewhere.", show_default=False),
    ] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Ask nobody: go by what `monitor run` or `sync` read last.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 2 also where a manager does not give a value to compare.")
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.audit.real import is_secret_name
    from monitor.inventory.complete import WRONG
    from monitor.inventory.complete import check as held_against
    from monitor.site import make_redactor

    needed, problem = _wanted(names, without or ())  # before the configuration's folder is entered
    settings = read_config(config, enter=True, store_only="look" if stored else None, needs=("inventory",))
    redact = make_redactor(settings)
    if problem:
        fail(printable(redact(f"{names}: {problem}")), 2)
    asked = entries_named(settings, entries)
    holdings, unasked = _stored(settings, asked) if stored else _fresh(asked, redact)
    if not unasked:
        _known(settings, environment, asked, holdings)
    checked = held_against(needed, environment, holdings, unasked, is_secret_name)
    # The names are masked, too: of a file that holds secrets itself each line may be one.
    rows: list[dict[str, Any]] = [
        {
            "kind": "name",
            "name": redact(one.name),
            "state": one.state,
            "where": list(one.where),
            "why": one.why or None,
        }
        for one in checked
    ]
    rows += [{"kind": "entry", "name": name, "state": "unknown", "where": [], "why": unasked[name]} for name in unasked]
    emit(rows, form, lambda rows: _text(rows, redact(environment)))
    states = {one.state for one in checked}
    fail_if(states & set(WRONG))
    fail_if(unasked or "unknown" in states or (strict and "unread" in states), code=2)


def _wanted(file: Path, without: Sequence[str]) -> tuple[list[str], str]:
    """The names of a file, or why there are none."""

    from monitor.inventory.complete import NamesError, wanted

    try:
        if str(file) == "-":
            text = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with file.open("rb") as stream:
                text = stream.read(_LARGEST + 1)
        found = wanted(text, without) if len(text) <= _LARGEST else []
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return [], getattr(error, "strerror", None) or "cannot be read"
    except NamesError as error:
        return [], str(error)
    if len(text) > _LARGEST:
        return [], "larger than 1 MiB, so no list of names"
    return found, "" if found else "names nothing that could be checked"


def _fresh(entries: Sequence[ManagerConfig], redact: Callable[[str], str]) -> tuple[list[Holding], dict[str, str]]:
    """What the managers have now, and why one could not be read. Values are compared by a key of this run."""
    from monitor.inventory.complete import of_kept
    from monitor.inventory.reader import read

    key = secrets.token_bytes(32)
    holdings: list[Holding] = []

    async def one(entry: ManagerConfig) -> str:
        def take(enrolled: Any) -> None:
            kept = enrolled[0]
            if kept.standing == "current":
                holdings.append(of_kept(entry.name, kept))

        return await read(entry, key, redact, take)

    async def ask_all() -> list[str]:
        return await asyncio.gather(*map(one, entries))

    why = asyncio.run(ask_all())
    return holdings, {entry.name: error for entry, error in zip(entries, why, strict=True) if error}


def _stored(settings: Config, entries: Sequence[ManagerConfig]) -> tuple[list[Holding], dict[str, str]]:
    from monitor.inventory.complete import of_secret

    names = {entry.name for entry in entries}

    async def work(store: Store) -> tuple[list[Holding], dict[str, str]]:
        held = [of_secret(one) for one in await store.inventory.secrets() if one.entry in names]
        syncs = await store.inventory.syncs()
        unasked = {name: syncs[name].error for name in names & syncs.keys() if syncs[name].error}
        unasked |= {name: f"inventory {name}: it was never read" for name in names - syncs.keys()}
        for entry in entries:
            sync = syncs.get(entry.name)
            if sync is not None and sync.whole_at is not None and time.time() - sync.whole_at > entry.stale_after:
                typer.echo(f"note: {entry.name} was last read {stamp(sync.whole_at)}", err=True)
        return [one for one in held if one is not None], unasked

    try:
        return with_store(settings, work)
    except typer.Exit:  # why was said; no name is wrong for that
        raise typer.Exit(2) from None


def _known(settings: Config, environment: str, entries: Sequence[ManagerConfig], holdings: Sequence[Holding]) -> None:
    """Ends the command where nothing is of that environment: it is mistyped, or no manager of it is configured."""
    there = ({one.environment for one in entries} | {one.environment for one in holdings}) - {""}
    if known_as(environment) not in map(known_as, there):
        others = f"there are {printable(', '.join(sorted(there)[:20]))}" if there else "none has an `environment`"
        fail(f"no [[inventory]] is of the environment {printable(redacted(settings, environment))!r}; {others}", 2)


def _text(rows: Iterable[Mapping[str, Any]], environment: str) -> Iterable[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row["kind"] == "entry":
            yield paint(f"could not be read: {printable(row['why'])}", "yellow")
            continue
        counts[row["state"]] += 1
        if row["state"] != "set":
            where = f" ({', '.join(row['where'])})" if row["where"] else ""
            state = paint(row["state"].ljust(12), _COLOURS.get(row["state"], "red"))
            yield f"{state}{printable(row['name'] + where)}: {printable(row['why'] or '')}"
    rest = "".join(f", {count} {state}" for state, count in counts.items() if state != "set")
    yield f"{printable(environment)}: {counts['set']} of {sum(counts.values())} names are set{rest}"


def entries_named(settings: Config, names: Sequence[str] | None) -> list[ManagerConfig]:
    known = {entry.name: entry for entry in settings.inventory}
    fail_if(not known, "there is no [[inventory]] in the configuration; docs/inventory.md says how to write one", 2)
    for name in names or ():
        if name not in known:
            fail(f"no [[inventory]] is named {printable(redacted(settings, name))!r}; there are {', '.join(known)}", 2)
    return [known[name] for name in names or known]
