"""`monitor access`: who read which secret, what is usual, and what the policies say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.access.reading import Reading
from monitor.cli.common import (
    ConfigOption,
    IncidentArgument,
    command_app,
    fail_if,
    read_config,
    since_when,
    with_store,
)
from monitor.cli.kit import MOST, Format, FormatOption, LimitOption, emit_list
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.access.policy import AccessConfig
    from monitor.domain.incidents import Incident
    from monitor.store import Store, Use

app = command_app(
    no_args_is_help=True,
    help="Who read which secret, by the audit records of what holds it (docs/access.md).",
    epilog="Example: monitor access list --secret secret/supabase --since 7d",
)

_NOBODY = "nobody, as far as audit records were read"

SinceOption = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Only so recently, such as 24h.", show_default=False)
]


@app.command(
    "list",
    epilog="Example: monitor access list --principal approle:gateway --since 24h --format jsonl",
    help="Readings by the hour, last first: who, which secret, from where, how often, and whether it was given.",
)
def list_uses(
    *,
    secret: Annotated[str | None, typer.Option(help="Only this one, by its whole name.", show_default=False)] = None,
    principal: Annotated[str | None, typer.Option(help="Only by this one.", show_default=False)] = None,
    since: SinceOption = None,
    limit: LimitOption = 100,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    named, start = [secret] if secret else None, since_when("--since", since) or 0.0
    found = with_store(
        read_config(config, store_only="look"),
        lambda store: store.access.uses(secrets=named, principal=principal, since=start, limit=MOST),
        missing=lambda: [],
    )
    _show(found, form, limit)


@app.command(
    "habits",
    epilog="Example: monitor access habits --format json",
    help="Who reads which secret, since when, how often, at which hours (UTC) and from which networks.",
)
def habits(form: FormatOption = "text", config: ConfigOption = None) -> None:
    known = with_store(read_config(config, store_only="look"), lambda store: store.access.known(), missing=lambda: [])
    rows = [
        {
            "secret": secret,
            "principal": principal,
            "first": stamp(habit.first),
            "last": stamp(habit.last),
            "readings": habit.times,
            "days": len(habit.days),
            "hours": sorted(habit.hours),
            "networks": sorted(habit.networks),
        }
        for secret, principal, habit in known
    ]

    columns = (
        "secret",
        "principal",
        ("since", "first"),
        "last",
        "readings",
        "days",
        ("from", lambda row: row["networks"][:5]),
    )
    emit_list(rows, form, columns, nothing="no audit record was read yet", spare=("since", "days"))


@app.command(
    "check",
    epilog="Example: monitor access check --since 30d",
    help="Hold the stored readings against [[access]] as it is now, so that policies can be tried before they alert. "
    "Exit code 1 when there is a reading that they do not permit.",
)
def check(
    *,
    since: SinceOption = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.access.policy import breach

    settings, start = read_config(config, store_only="look", needs=("access",)), since_when("--since", since) or 0.0

    uses = with_store(settings, lambda store: store.access.uses(since=start, limit=MOST), missing=lambda: [])
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for use in uses:
        if use.outcome == "denied":
            continue
        wrong = breach(settings.access, _reading(use))
        said = wrong.reason if wrong else _permitted(settings.access, _reading(use))
        key = (use.secret, use.principal)
        if key not in rows or (wrong and not rows[key]["wrong"]):
            rows[key] = {"secret": use.secret, "principal": use.principal, "wrong": wrong is not None, "reason": said}

    emit_list(
        sorted(rows.values(), key=lambda row: (not row["wrong"], row["secret"], row["principal"])),
        form,
        (("", lambda row: "WRONG" if row["wrong"] else "ok"), "secret", "principal", ("why", "reason")),
        nothing=_NOBODY,
    )
    fail_if(any(row["wrong"] for row in rows.values()))


@app.command(
    "used",
    epilog="Example: monitor access used 3f2a --mark hmac-sha256:…",
    help="Who used the secret of an incident since it leaked. Which secret that is in audit records follows from the "
    "access key id beside it, from --mark, or from --secret; what is named is stored with the incident, and its "
    "timeline then shows the uses.",
)
def used(
    *,
    ref: IncidentArgument,
    secret: Annotated[
        list[str] | None, typer.Option(help="What audit records call it; may be repeated.", show_default=False)
    ] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(
            help="What stands for its value there: the answer of Vault's sys/audit-hash, or an access key id.",
            show_default=False,
        ),
    ] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    async def read(store: Store) -> list[Use]:
        incident: Incident = await store.incidents.get(ref)
        named = await store.access.names(incident, mark or ())
        fail_if(mark and not named, "no audit record that was read has this mark")
        if mark or secret:
            await store.access.link(incident, dict.fromkeys([*named, *(secret or ())]))
        names = await store.access.names(incident)
        fail_if(not names, "nothing says what audit records call this secret: name it with --secret or --mark")
        since = min(incident.first_logged or incident.first_seen, incident.first_seen)
        return await store.access.uses(secrets=names, since=since, limit=MOST)

    _show(with_store(read_config(config, store_only="look"), read), form)


def _show(uses: Sequence[Use], form: Format, limit: int = MOST) -> None:
    rows = [
        {
            "secret": record.secret,
            "names": list(record.names),
            "principal": record.principal,
            "address": record.address,
            "agent": record.agent,
            "outcome": record.outcome,
            "times": record.times,
            "first": stamp(record.first),
            "last": stamp(record.last),
            "source": record.source,
        }
        for record in uses
    ]

    columns = ("last", "times", "outcome", "principal", "address", "secret")
    emit_list(rows, form, columns, nothing=_NOBODY, limit=limit, spare=("address",))


def _reading(use: Use) -> Reading:
    return Reading("", use.last, use.secret, use.principal, use.outcome, use.names, use.address)


def _permitted(entries: Sequence[AccessConfig], reading: Reading) -> str:
    from monitor.access.policy import covers

    by = [one.name for one in entries if not one.never and any(covers(one, item) for item in reading.items)]
    return f'[[access]] "{by[0]}"' if by else "no [[access]] covers it"
