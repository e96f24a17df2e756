"""`monitor rotation`: which secrets are due for another value, and how far that is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import (
    ConfigOption,
    NoteOption,
    command_app,
    fail,
    fail_if,
    lasting,
    paint,
    person,
    printable,
    read_config,
    redacted,
    typed,
    with_store,
)
from monitor.cli.kit import Format, FormatOption, emit, emit_list, emit_one
from monitor.common.wording import stamp
from monitor.config import state
from monitor.rotation.reasons import RotationReason

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident
    from monitor.rotation.schedule import Due, Managed
    from monitor.rotation.work import Shown
    from monitor.runbook.progress import RunbookRun
    from monitor.store import Store

_NEEDS = ("rotation", "inventory")  # of the configuration

app = command_app(
    no_args_is_help=True,
    help="Which secrets of the inventory are due for another value, and how far that is (docs/rotation.md).",
    epilog="Example: monitor rotation due",
)

SecretArgument = Annotated[
    str, typer.Argument(metavar="SECRET", help="ENTRY/NAME, or a name that only one entry of the inventory has.")
]


@app.command(
    "due",
    epilog="Example: monitor rotation due --format json",
    help="What is overdue, or due soon. Exit code 1 when something is overdue.",
)
def due(form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="look", needs=_NEEDS)
    found = [one for one in _plan(settings) if one.standing != "later"]
    _show(settings, found, form, "nothing is due")
    fail_if(any(one.standing == "overdue" for one in found))


@app.command(
    "plan",
    epilog="Example: monitor rotation plan --within 180d --format ics > rotations.ics",
    help="When which secret is due, the first first; as text, JSON, or a calendar (iCalendar).",
)
def plan(
    *,
    within: Annotated[str, typer.Option(metavar="DURATION", help="Only what is due so soon.")] = "365d",
    form: Annotated[Literal[Format, "ics"], typer.Option("--format", "-f", help="How to print it.")] = "text",
    config: ConfigOption = None,
) -> None:
    until = time.time() + lasting("--within", within)
    settings = read_config(config, store_only="look", needs=_NEEDS)
    whole = _plan(settings)
    found = [one for one in whole if one.at <= until]
    if form == "ics":
        from monitor.rotation.ics import ics

        host = settings.monitor.node or socket.gethostname()
        typer.echo(ics(found, time.time(), settings.rotation.remind, host), nl=False)
        return
    never = "nothing is due by its age: no policy fits a secret of the inventory"
    _show(settings, found, form, f"nothing is due within {within}" if whole else never)


@app.command(
    "start",
    epilog="Examples:\n\n  monitor rotation start vault/secret/app.KEY --note 'new vendor'\n\n"
    "  monitor rotation start --tag vendor-x --note 'their incident of 3 March'\n\n"
    "  monitor rotation start NPM_TOKEN DEPLOY_KEY --reason dependency\n\n"
    "  monitor rotation start db/database/app --provider",
    help="Open the rotation of secrets, or of all with a tag: each an incident with a runbook of five steps. Exit code "
    "1 where one of them could not be opened.",
)
def start(
    *,
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[SECRET]...", help="ENTRY/NAME, or a name that only one entry has.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="All with this tag.", show_default=False)] = None,
    provider: Annotated[
        bool, typer.Option("--provider", help="Have its provider make the new value now, where its entry has `rotate`.")
    ] = False,
    reason: Annotated[
        RotationReason | None, typer.Option("--reason", help="Why, for routes and reports.", show_default=False)
    ] = None,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    fail_if((not refs) == (tag is None), "name secrets, or a tag with --tag", 2)
    settings = read_config(config, store_only="act", needs=_NEEDS)
    why = typed(settings, note) or (reason.words if reason else "somebody asked for it")
    chosen, unknown = with_store(settings, lambda store: _named(store, refs) if refs else _tagged(store, tag))
    unknown = {redacted(settings, ref): redacted(settings, problem) for ref, problem in unknown.items()}
    if not chosen:
        none = f"no secret of the inventory has the tag {redacted(settings, tag or '')!r}"
        fail(printable("; ".join(unknown.values()) or none))
    begun, refused = _begin(settings, [(one, why) for one in chosen], reason)
    refused |= unknown
    fail_if(not begun and refs, printable("; ".join(refused.values())))
    asked = _ask(settings, begun) if provider else {}
    _started(begun, refused, asked, form)
    fail_if(refused or any(came != "accepted" for came, _ in asked.values()))


@app.command(
    "done",
    epilog="Example: monitor rotation done vault/secret/app.KEY --old-from - --note 'no trouble'",
    help="Close the rotation of a secret. Its manager is read again, and must give another value; the old one must be "
    "refused by its issuer (--old-from -), or given no more by a manager that counts versions. What is shown is stored "
    "as evidence of the steps; what is not ends this with exit code 1.",
)
def done(
    *,
    ref: SecretArgument,
    old_from: Annotated[
        str | None,
        typer.Option(metavar="-", help="Ask the issuer about the old value, from standard input.", show_default=False),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Which rule's issuer to ask.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask, though `verify.providers` does not name it.")] = False,
    anyway: Annotated[bool, typer.Option(help="Close it without evidence; say why with --note.")] = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.cli.verify import value_of
    from monitor.rotation.work import close

    fail_if(anyway and not note, "say with --note why it is closed without evidence", 2)
    old = value_of("--old-from", old_from)
    settings = read_config(config, store_only="act", needs=("rotation", "inventory", "verify"), enter=True)
    reason, key = typed(settings, note), state.key(settings)
    _refresh(settings, ref)
    incident, seen = _open_rotation(settings, ref, key)
    refused = _refused(settings, seen, key, old, rule, yes=yes) if old else None
    proof = seen.proof(refused)
    lacks = []
    if not seen.changed:
        lacks.append(f"{seen.secret.entry} still gives the same value")
    if proof.by == "none":
        lacks.append("nothing shows that the old value is refused: --old-from - asks its issuer")

    run = with_store(
        settings,
        lambda store: close(store, incident, seen, proof, actor=person(), note=reason, whole=anyway or not lacks),
    )
    row = {
        "secret": f"{seen.secret.entry}/{seen.secret.name}",
        "incident": incident.id,
        "changed": seen.changed_note if seen.changed else None,
        "removed": proof.text if proof.by != "none" else None,
        "evidence": proof.by,
        "steps": {task.id: task.state for task in run.tasks},
        "lacks": lacks,
    }

    def text(_row: Mapping[str, Any]) -> Iterable[str]:
        for task in run.tasks:
            yield f"{task.state.ljust(8)}{task.title}" + (f": {printable(task.note)}" if task.note else "")
        for lack in lacks:
            yield paint(f"{'closed without evidence' if anyway else 'not closed'}: {printable(lack)}", "yellow")
        if proof.by == "manager":
            asks = "--old-from - asks it"
            yield paint(f"no evidence about the issuer, which was not asked about the old value: {asks}", "yellow")

    emit_one(row, form, text)
    fail_if(lacks and not anyway)


@app.command(
    "departed",
    epilog="Example: monitor rotation departed anna --note 'last day 31 March'",
    help="Open the rotation of each secret that somebody who leaves has read. Audit records say what that is, and "
    "[[access]] what they may read; what is not in the inventory is listed only.",
)
def departed(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As they log in: `anna` is also ldap-anna and anna@….")],
    look_only: Annotated[bool, typer.Option("--look", help="Only list.")] = False,
    note: NoteOption = "",
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.rotation.departure import reach, same

    settings = read_config(config, store_only="act", needs=("rotation", "inventory", "access"))
    shown = redacted(settings, name)
    why = typed(settings, note) or f"{shown} has left"

    async def work(store: Store) -> tuple[list[tuple[str, str]], list[Managed]]:
        from monitor.rotation.work import look

        return [(secret, principal) for secret, principal, _ in await store.access.known()], await look(store)

    reads, known = with_store(settings, work)
    reachable = reach(name, settings.access, reads, [managed_.name for managed_ in known])
    owned = {
        secret: [managed_ for managed_ in known if managed_.name == secret or same(secret, managed_.name)]
        for secret in reachable
    }
    begun: dict[str, str] = {}
    refused: dict[str, str] = {}
    if not look_only:
        chosen = {managed_.title: managed_ for managed in owned.values() for managed_ in managed}
        opened, refused = _begin(settings, [(managed_, why) for managed_ in chosen.values()], RotationReason.departure)
        begun = {managed_.title: id_ for managed_, id_, _ in opened}
    rows = [
        {
            "secret": secret,
            "why": reasons,
            "inventory": [managed_.title for managed_ in owned[secret]],
            "rotations": [begun[managed_.title] for managed_ in owned[secret] if managed_.title in begun],
            "refused": [refused[managed_.title] for managed_ in owned[secret] if managed_.title in refused],
        }
        for secret, reasons in reachable.items()
    ]

    emit_list(
        rows,
        form,
        (
            "secret",
            ("rotation", lambda row: " ".join(row["rotations"]) or _unopened(row, look_only=look_only)),
            ("why", lambda row: "; ".join(row["why"])),
        ),
        nothing=f"nothing: no record shows that {printable(shown)} read a secret, and no [[access]] permits it",
        notes=(paint(f"{printable(title)}: not opened: {printable(why)}", "yellow") for title, why in refused.items()),
    )
    fail_if(refused)


def _refresh(settings: Config, ref: str) -> None:
    """Read the manager of a secret again, so that what it shows is of now. Ends the command where it cannot be."""
    from monitor.inventory.reader import sync
    from monitor.site import make_redactor

    key, redact = state.key(settings), make_redactor(settings)

    async def work(store: Store) -> str:
        secret = await store.inventory.get(ref)
        entry = next((one for one in settings.inventory if one.name == secret.entry), None)
        if entry is None:
            return f"[[inventory]] has no entry {secret.entry} any more"
        _, error = await sync(store, entry, key, redact)
        return error

    if error := with_store(settings, work):
        fail(f"the inventory could not be read again: {printable(error)}")


def _plan(settings: Config) -> list[Due]:
    from monitor.rotation.schedule import calendar

    async def work(store: Store) -> list[Due]:
        from monitor.rotation.work import look

        return calendar(await look(store), settings.rotation, store.now())

    return with_store(settings, work, missing=lambda: [])


async def _tagged(store: Store, tag: str | None) -> tuple[list[Managed], dict[str, str]]:
    from monitor.rotation.work import look

    return [one for one in await look(store) if tag in one.tags], {}


async def _named(store: Store, refs: Sequence[str]) -> tuple[list[Managed], dict[str, str]]:
    from monitor.rotation.work import named

    return await named(store, refs)


def _begin(
    settings: Config, chosen: Sequence[tuple[Managed, str]], reason: RotationReason | None = None
) -> tuple[list[tuple[Managed, str, RunbookRun]], dict[str, str]]:
    """Their rotations, each with the id of its incident; and by the title of a secret why it has none."""

    from monitor.runbook.progress import RunError

    key = state.key(settings)

    async def work(store: Store) -> tuple[list[tuple[Managed, str, RunbookRun]], dict[str, str]]:
        from monitor.rotation.work import begin

        found, refused = [], {}
        for secret, why in chosen:
            try:
                incident, run = await begin(store, key, secret, why=why, actor=person(), reason=reason)
            except RunError as error:
                refused[secret.title] = str(error)
            else:
                found.append((secret, incident.id, run))
        return found, refused

    return with_store(settings, work)


def _ask(settings: Config, begun: Sequence[tuple[Managed, str, RunbookRun]]) -> dict[str, tuple[str, str]]:
    """By the title of a secret: the state that asking its provider has come to, `refused` where it was not asked, and
    what it said or why."""

    async def work(store: Store) -> dict[str, tuple[str, str]]:
        from monitor.rotation.automatic import ask_provider
        from monitor.store.actions import ActionError

        await store.actions.abandon()
        found = {}
        for secret, id_, _ in begun:
            try:
                run = await ask_provider(store, settings, secret, id_, actor=person())
            except (ActionError, LookupError) as error:
                found[secret.title] = ("refused", str(error))
            else:
                found[secret.title] = (run.state, run.outcome)
        return found

    return with_store(settings, work)


def _started(
    opened: Sequence[tuple[Managed, str, RunbookRun]],
    refused: Mapping[str, str],
    asked: Mapping[str, tuple[str, str]],
    form: Format,
) -> None:
    rows: list[dict[str, str | None]] = []
    for secret, id_, run in opened:
        came, outcome = asked.get(secret.title, (None, None))
        step = run.next.id if run.next else None
        rows.append({"secret": secret.title, "incident": id_, "next": step, "provider": came, "outcome": outcome})
    for title, problem in refused.items():
        rows.append({"secret": title, "incident": None, "next": None, "provider": None, "outcome": problem})

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for row in rows:
            if row["incident"] is None:
                yield paint(f"{printable(row['secret'])}: not opened: {printable(row['outcome'])}", "yellow")
                continue
            yield f"{row['incident']} {printable(row['secret'])}: next {row['next'] or '-'}"
            if row["provider"] is not None:
                yield f"  its provider: {row['provider']}: {printable(row['outcome'])}"
        if opened:
            yield "`monitor runbook show ID` says what is to be done; `monitor rotation done SECRET` closes it"

    emit(rows, form, text)


def _open_rotation(settings: Config, ref: str, key: bytes) -> tuple[Incident, Shown]:
    async def work(store: Store) -> tuple[Incident, Shown]:
        from monitor.rotation.work import under_way

        secret = await store.inventory.get(ref)
        found = await under_way(store, key, [secret])
        if not found:
            raise LookupError(
                f"no rotation of {secret.entry}/{secret.name} is open; `monitor rotation start` opens one"
            )
        return max(found, key=lambda one: one[0].first_seen)

    return with_store(settings, work)


def _refused(settings: Config, seen: Shown, key: bytes, value: str, rule: str | None, *, yes: bool) -> str | None:
    """What the issuer says of the old value, if it refuses it. Ends the command for another value."""
    from detectors.fingerprint import fingerprint
    from monitor.cli.verify import ask_once

    known = {print_.fingerprint for print_ in seen.old.prints}
    fail_if(
        fingerprint(key, value.encode()) not in known,
        "this is not the value that is to go: its fingerprint is another one",
        2,
    )
    # Whoever closes the rotation says that it was taken back, and the manager gives another one.
    verdict, _ = ask_once(settings, value, rule, {}, yes=yes, taken=True)
    if verdict.status != "refused":
        typer.echo(f"the issuer says: {verdict.status}: {printable(verdict.reason)}", err=True)
        return None
    return f"the issuer refuses the old value: {verdict.reason}"


def _show(settings: Config, listed: Sequence[Due], form: Format, nothing: str) -> None:
    from monitor.rotation.automatic import by_provider

    rows = [
        {
            "secret": due.secret.title,
            "due": stamp(due.at),
            "standing": due.standing,
            "severity": due.severity,
            "why": due.why,
            "environment": due.secret.environment,
            "owner": due.secret.owner,
            "consumers": list(due.secret.consumers),
            "tags": list(due.secret.tags),
            "automatic": by_provider(settings, due.secret),
        }
        for due in listed
    ]

    columns = (
        ("due", lambda row: row["due"][:10]),
        ("", "standing"),
        "severity",
        "secret",
        "owner",
        ("by itself", lambda row: "provider" if row["automatic"] else "-"),
        "why",
    )
    emit_list(rows, form, columns, nothing=nothing, spare=("by itself", "owner"))


def _unopened(row: Mapping[str, Any], *, look_only: bool) -> str:
    asked = "-" if look_only else "not opened"
    return asked if row["inventory"] else "by hand: not in the inventory"
