"""`monitor suppressions`: secrets that are known and accepted for a while."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    lasting,
    person,
    printable,
    read_config,
    typed,
    with_store,
)
from monitor.cli.kit import FormatOption, emit_list, emit_one
from monitor.common.wording import moment, stamp
from monitor.config.state import key

if TYPE_CHECKING:
    from monitor.store import Store
    from monitor.store.suppressions import Suppressed

app = command_app(
    no_args_is_help=True,
    help="Accept known secrets for a while: sightings are counted, open no incident and alert nobody.",
    epilog="Example: monitor suppressions add 3f2a --for 90d --reason 'revoked in the sandbox'",
)

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@app.command(
    "add",
    epilog="Example: monitor suppressions add 3f2a --for 90d --reason 'a key of the sandbox'",
    help="Suppress secrets by incident, or by the fingerprint of one that was not seen yet. `monitor fingerprint` "
    "prints it. An incident that is not resolved is resolved. When the time is over, a secret that was seen meanwhile "
    "is reported, and every later sighting again.",
)
def add(
    *,
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="Incidents, or whole fingerprints.")],
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 90d.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; stored in the history.")],
    resolution: Annotated[
        Literal["wont_fix", "false_positive", "used_in_tests"],
        typer.Option("--as", help="How an incident is resolved."),
    ] = "wont_fix",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.store.suppressions import Wanted

    seconds = lasting("--for", duration)
    fail_if(seconds <= 0 or not reason.strip(), "--for must be longer than nothing, and --reason say why", 2)
    settings = read_config(config, store_only="act")
    kept = typed(settings, reason.strip())
    until = time.time() + seconds

    async def apply(store: Store) -> tuple[list[str], Sequence[str]]:
        prints = [one for ref in refs for one in await _fingerprints(store, ref)]
        wanted = [Wanted(one, kept, until) for one in dict.fromkeys(prints)]
        closed = await store.suppressions.add(wanted, actor=person(), resolution=resolution)
        return prints, closed

    prints, closed = with_store(settings, apply)
    row = {"fingerprints": prints, "until": stamp(until), "resolved": list(closed)}

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        for one in prints:
            yield f"{one} suppressed until {moment(until)}"
        for id_ in closed:
            yield f"incident {id_} resolved as {resolution}"

    emit_one(row, form, text)


@app.command(
    "list",
    epilog="Example: monitor suppressions list --format jsonl",
    help="What is suppressed, until when, by whom and why, and how often it was seen meanwhile.",
)
def list_suppressions(form: FormatOption = "text", config: ConfigOption = None) -> None:
    suppressed = with_store(
        read_config(config, store_only="look"), lambda store: store.suppressions.list(), missing=lambda: []
    )
    columns = (
        ("fingerprint", lambda row: row["fingerprint"][:16]),
        "until",
        "by",
        "seen",
        ("last seen", "last_seen"),
        ("what", lambda row: row["name"] and f"{row['name']} {row['masked']}"),
        "reason",
    )
    emit_list(
        map(_as_dict, suppressed), form, columns, nothing="nothing is suppressed", spare=("last seen", "seen", "by")
    )


@app.command(
    "remove",
    epilog="Example: monitor suppressions remove 3f2a",
    help="Suppress no longer; what was seen meanwhile is reported now.",
)
def remove(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="Incidents, fingerprints, or unique starts.")],
    config: ConfigOption = None,
) -> None:
    async def apply(store: Store) -> int:
        known = [one.fingerprint for one in await store.suppressions.list()]
        chosen = [one for ref in refs for one in _fitting(known, ref)]
        return await store.suppressions.remove(chosen, actor=person())

    count = with_store(read_config(config, store_only="act"), apply)
    typer.echo(f"{count} suppressed no longer")


@app.command(
    "export",
    epilog="Example: monitor suppressions export > suppressions.toml",
    help="Print what is suppressed as a file that `import` reads. It holds fingerprints and reasons, no secret.",
)
def export(
    form: Annotated[Literal["toml", "json"], typer.Option("--format", help="How it is written.")] = "toml",
    config: ConfigOption = None,
) -> None:
    from monitor.cli.suppression_file import write
    from monitor.store.suppressions import Wanted

    settings = read_config(config, store_only="look")
    found = with_store(settings, lambda store: store.suppressions.list(), missing=lambda: [])
    wanted = [Wanted(one.fingerprint, one.reason, one.until) for one in found]
    typer.echo(write(wanted, key(settings), as_json=form == "json"), nl=False)


@app.command(
    "import",
    epilog="Example: monitor suppressions import suppressions.toml",
    help="Suppress what a file says (TOML or JSON, as `export` writes it), all of it or nothing. Entries whose time is "
    "over are left out; what is suppressed already gets the file's reason and end.",
)
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="`-`: standard input.")],
    config: ConfigOption = None,
) -> None:
    from monitor.cli.suppression_file import SuppressionFileError, read

    settings = read_config(config, store_only="act")
    name = "standard input" if str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        wanted, over = read(data, key(settings), now=time.time())
    except OSError as error:
        fail(printable(f"{name}: {error.strerror or 'cannot be read'}"), 2)
    except SuppressionFileError as error:
        fail(printable(f"{name}: {error}"), 2)
    kept = [replace(one, reason=typed(settings, one.reason)) for one in wanted]
    closed = with_store(settings, lambda store: store.suppressions.add(kept, actor=person()))
    said = f"{len(kept)} suppressed" + (f", {over} left out whose time is over" if over else "")
    typer.echo(said + "".join(f"\nincident {id_} resolved as wont_fix" for id_ in closed))


async def _fingerprints(store: Store, ref: str) -> list[str]:
    """Of an incident, and of those that were merged into it; or one that has none yet. Raises LookupError."""
    try:
        incident = await store.incidents.get(ref)
    except LookupError:
        if _FINGERPRINT.fullmatch(ref.strip()):
            return [ref.strip()]
        raise
    return [incident.fingerprint, *await store.merges.into(incident.id)]


def _fitting(known: Sequence[str], ref: str) -> list[str]:
    """Raises LookupError."""
    found = [one for one in known if ref and one.startswith(ref)]
    if len(found) != 1:
        fits = f"{ref!r} fits {len(found)} suppressions" if found else f"there is no suppression {ref!r}"
        raise LookupError(f"{fits}; `monitor suppressions list` shows them")
    return found


def _as_dict(one: Suppressed) -> dict[str, Any]:
    place = one.latest
    return {
        "fingerprint": one.fingerprint,
        "until": stamp(one.until),
        "reason": one.reason,
        "by": one.by,
        "since": stamp(one.at),
        "seen": one.seen,
        "last_seen": stamp(one.last_seen),
        "rule": place.rule if place else None,
        "name": place.name if place else None,
        "masked": place.masked if place else None,
        "source": place.source if place else None,
        "path": printable(place.path) if place else None,
    }
