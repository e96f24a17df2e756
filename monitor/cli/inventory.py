"""`monitor inventory`: our own secrets by name, as their managers have them. No value is ever shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    paint,
    printable,
    read_config,
    redacted,
    with_store,
)
from monitor.cli.inventory_check import EntriesArgument, check, entries_named
from monitor.cli.kit import FormatOption, emit, emit_list, emit_one, field, fields, spoken
from monitor.common.wording import stamp
from monitor.config import state

if TYPE_CHECKING:
    from monitor.inventory.managers.base import ManagerConfig
    from monitor.store import Store
    from monitor.store.inventory import Difference, Secret, Sync

app = command_app(
    no_args_is_help=True,
    help="Our own secrets by name: what [[inventory]] of the configuration holds. No value is stored or shown.",
    epilog="Example: monitor inventory sync",
)


@app.command(
    "sync",
    epilog="Example: monitor inventory sync gateway",
    help="Read the managers now. What cannot be read stays as it was known, and so does what is missing with many "
    "others. Exit code 1: an entry could not be read, or lacks so much.",
)
def sync(
    entries: EntriesArgument = None,
    *,
    accept: Annotated[
        bool, typer.Option("--accept-removals", help="What a manager does not give is gone, however much that is.")
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.site import make_redactor

    settings = read_config(config, enter=True, store_only="act", needs=("inventory",))
    chosen = entries_named(settings, entries)
    key, redact = state.key(settings), make_redactor(settings)

    async def work(store: Store) -> list[dict[str, Any]]:
        from monitor.inventory.reader import sync

        async def one(entry: ManagerConfig) -> dict[str, Any]:
            return _outcome(entry.name, *await sync(store, entry, key, redact, accept=accept))

        return await asyncio.gather(*map(one, chosen))  # one that does not answer holds up no other

    rows = with_store(settings, work, make=True)
    emit(rows, form, lambda rows: (line for row in rows for line in _told(row)))
    fail_if(any(row["error"] for row in rows))


def _outcome(entry: str, told: Difference, error: str) -> dict[str, Any]:
    counts = {"held": told.held, "added": told.added, "changed": told.changed, "returned": told.returned}
    counts["gone"] = told.gone
    return {"entry": entry, **counts, "refused": told.refused, "names": told.names, "error": error or None}


def _told(row: Mapping[str, Any]) -> Iterable[str]:
    counts = ", ".join(f"{row[what]} {what}" for what in ("held", "added", "changed", "gone", "refused"))
    yield f"{paint(row['entry'], bold=True)}: {counts}"
    for what in ("added", "changed", "gone"):
        for name in row["names"][what]:
            again = (
                ": an earlier value is in use again" if what == "changed" and name in row["names"]["returned"] else ""
            )
            yield f"  {what.ljust(8)}{printable(name)}{again}"
        if (more := row[what] - len(row["names"][what])) > 0:
            yield f"  and {more} more {what}"
    if row["refused"]:
        yield "  `monitor inventory list --refused` says why"
    if row["error"]:
        yield from (
            paint(f"  not taken for the whole: {printable(row['error'])}", "red"),
            "  what was known before stays as it was",
        )


@app.command(
    "list",
    epilog="Examples:\n\n  monitor inventory list --environment production\n\n  monitor inventory list --refused",
    help="List the secrets that are known by name.",
)
def list_secrets(
    entry: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this entry.", show_default=False)] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this environment.", show_default=False)
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only those whose value is not enrolled, and why.")
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    async def work(store: Store) -> tuple[list[Secret], dict[str, Sync]]:
        return await store.inventory.secrets(entry=entry, environment=environment), await store.inventory.syncs()

    secrets, syncs = with_store(read_config(config, store_only="look"), work, missing=lambda: ([], {}))
    columns = (
        "entry",
        "name",
        "environment",
        ("value", lambda row: f"refused: {row['refused']}" if row["refused"] else row["state"]),
        ("versions", lambda row: len(row["versions"])),
        ("changed", lambda row: (row["changed_at"] or "")[:10]),
        "owner",
    )
    unknown = "no secret is known; `monitor inventory sync` reads the managers"
    emit_list(
        (as_dict(one) for one in secrets if one.refused or not refused),
        form,
        columns,
        nothing="no secret is refused" if refused else unknown,
        spare=("versions", "changed", "environment"),
        notes=(_outdated(one) for one in syncs.values() if one.error and entry in (None, one.entry)),
    )


def _outdated(sync: Sync) -> str:
    since = spoken(stamp(sync.whole_at), "never")
    return paint(f"{sync.entry}: not up to date, read whole: {since}: {printable(sync.error)}", "yellow")


def as_dict(secret: Secret) -> dict[str, Any]:
    """A secret as scripts get it; times in RFC 3339."""
    unread = "not given by its manager" if secret.unread else "enrolled"
    return {
        "entry": secret.entry,
        "name": secret.name,
        "environment": secret.environment,
        "owner": secret.owner,
        "consumers": list(secret.consumers),
        "tags": list(secret.tags),
        "state": "gone" if secret.gone_at is not None else "refused" if secret.refused else unread,
        "refused": secret.refused or None,
        "first_seen": stamp(secret.first_seen),
        "last_seen": stamp(secret.last_seen),
        "gone_at": stamp(secret.gone_at),
        "changed_at": stamp(secret.changed_at),
        "versions": [
            {
                "version": version.version or None,
                "standing": version.standing,
                "created": stamp(version.created),
                "rotated": stamp(version.rotated),
                "expires": stamp(version.expires),
                "first_seen": stamp(version.first_seen),
                "last_seen": stamp(version.last_seen),
                "replaced_at": stamp(version.replaced_at),
                "values": [
                    {"part": p.part or None, "fingerprint": p.fingerprint, "length": p.length, "alphabet": p.alphabet}
                    for p in version.prints
                ],
            }
            for version in secret.versions
        ],
    }


app.command(
    "check",
    epilog="Examples:\n\n  monitor inventory check --names .env.example --environment production\n\n"
    "  monitor inventory check --names .env.example --environment production --except 'NEXT_PUBLIC_*' --strict",
    help="Check before a deploy that every name of a file is set in an environment. None may be empty or a "
    "placeholder, and none may have the value of another environment. The managers are asked now; no database or "
    "daemon is needed. Exit code 1: one is not; 2: that could not be found out.",
)(check)


@app.command("show", epilog="Example: monitor inventory show DATABASE_URL", help="Show one secret and its versions.")
def show(
    ref: Annotated[str, typer.Argument(metavar="SECRET", help="Its name, or ENTRY/NAME.")],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    secret = with_store(read_config(config, store_only="look"), lambda store: store.inventory.get(ref))

    def text(row: Mapping[str, Any]) -> Iterable[str]:
        yield f"{paint(printable(row['name']), bold=True)}: {row['state']}"
        yield from fields(row, "entry", "environment", "owner", "consumers", "tags", "refused")
        yield from fields(row, "first_seen", "last_seen", "gone_at")
        for one in row["versions"]:
            times = (key for key in ("rotated", "expires", "first_seen", "replaced_at") if one[key])
            yield field(one["standing"], ", ".join(f"{key} {spoken(one[key])}" for key in times))
            for value in one["values"]:
                what = f"{value['part'] or 'value'}: {value['length']} bytes, {value['alphabet']}"
                yield field("", f"{value['fingerprint'][:16]}  {what}")

    emit_one(as_dict(secret), form, text)


@app.command(
    "doctor",
    epilog="Example: monitor inventory doctor",
    help="Say what is wrong with the access to each manager, and what is refused. Exit code 1: something is.",
)
def doctor(entries: EntriesArgument = None, form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config, enter=True, needs=("inventory",))
    chosen = entries_named(settings, entries)

    async def work(store: Store | None) -> list[dict[str, Any]]:
        from monitor.inventory.reader import faults

        syncs = await store.inventory.syncs() if store is not None else {}
        rows = []
        for entry in chosen:
            wrong, sync = await faults(entry), syncs.get(entry.name)
            if sync is not None and sync.error:
                wrong.append(f"the last look at it failed: {sync.error}")
            read = {"read_at": stamp(sync.whole_at) if sync else None, "refused": sync.refused if sync else None}
            rows.append({"entry": entry.name, "type": entry.type, **read, "faults": wrong})
        return rows

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for row in rows:
            good = paint("ok", "green") if not row["faults"] else paint(f"{len(row['faults'])} faults", "red")
            refused = f", {row['refused']} refused" if row["refused"] else ""
            yield f"{paint(row['entry'], bold=True)} ({row['type']}): {good}; read {row['read_at'] or 'never'}{refused}"
            yield from (f"  {printable(fault)}" for fault in row["faults"])

    rows = with_store(settings, work, missing=lambda: asyncio.run(work(None)))  # before the first start, too
    emit(rows, form, text)
    fail_if(any(row["faults"] for row in rows))


@app.command(
    "forget",
    epilog="Examples:\n\n  monitor inventory forget gateway/OLD_KEY\n\n  monitor inventory forget gateway",
    help="Delete a secret with its versions, or all of an entry. The next sync brings back what its manager has.",
)
def forget(
    ref: Annotated[str, typer.Argument(metavar="ENTRY[/NAME]", help="What to forget.")], config: ConfigOption = None
) -> None:
    entry, _, name = ref.partition("/")

    settings = read_config(config, store_only="act")
    count = with_store(settings, lambda store: store.inventory.forget(entry=entry, name=name or None))
    if not count:
        fail(f"nothing is known as {printable(redacted(settings, ref))!r}; `monitor inventory list` shows what is")
    typer.echo(f"forgotten: {count}")
