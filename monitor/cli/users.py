"""`monitor users`: who signs in to the pages with a password."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.accounts.people import Role
from monitor.cli.common import (
    ConfigOption,
    command_app,
    fail,
    fail_if,
    person,
    printable,
    private,
    read_config,
    with_store,
)
from monitor.cli.kit import FormatOption, emit_list, spoken
from monitor.cli.user_tokens import tokens
from monitor.common.user_name import user_name
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.store import Store
    from monitor.store.records import AuditEntry
    from monitor.store.users import User

app = command_app(
    no_args_is_help=True,
    help="People who sign in to the pages with a password (docs/console.md).",
    epilog="Example: monitor users add ana --role responder",
)

app.add_typer(tokens, name="token")

_OFF = "note: nobody signs in with a password until [console] of the configuration has sign_in = true"
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name they sign in by.")]
_RoleOption = Annotated[
    Role,
    typer.Option("--role", help="viewer looks; responder acts on incidents; admin also takes secrets back."),
]


@app.command(
    "list",
    epilog="Examples:\n\n  monitor users list\n\n  monitor users list --history --format jsonl",
    help="The users, what they may, and when they last signed in. No password is shown: none is known.",
)
def list_users(
    *,
    history: Annotated[bool, typer.Option(help="Who changed what about users instead.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config, store_only="look")
    if history:
        entries = with_store(settings, lambda store: store.users.history(), missing=lambda: [])
        changes = [_change(entry) for entry in entries]
        emit_list(changes, form, ("at", "by", "change", "about"), nothing="nothing was changed about users")
        return
    users = with_store(settings, lambda store: store.users.list(), missing=lambda: [])
    columns = (
        "name",
        "role",
        ("stands", lambda row: "disabled" if row["disabled"] else "may sign in"),
        ("last signed in", lambda row: spoken(row["seen"], "never")),
        ("known as", "known_as"),
    )
    nothing = "there are no users; `monitor users add NAME` makes one"
    emit_list([_row(settings, user) for user in users], form, columns, nothing=nothing)
    if users and not settings.console.sign_in:
        typer.echo(
            "note: nobody signs in with a password unless the configuration has [console] sign_in = true", err=True
        )


@app.command(
    "add",
    epilog="Examples:\n\n  monitor users add ana --role responder\n\n  pass show monitor/ana | monitor users add ana",
    help="Make a user. The password is asked for, or is the first line of standard input: 12 characters or more.",
)
def add(
    *,
    name: _NameArgument,
    role: _RoleOption = "viewer",
    config: ConfigOption = None,
) -> None:
    from monitor.accounts.passwords import hashed
    from monitor.store.users import UserError

    settings, user = _begun(config, name)
    stored = hashed(_password(user))
    with_store(
        settings,
        lambda store: store.users.add(user, stored, role, actor=person()),
        make=True,
        refused=(UserError,),
    )
    typer.echo(f"{user} is added: {role}")
    if not settings.console.sign_in:
        typer.echo(_OFF, err=True)


@app.command(
    "password",
    epilog="Example: monitor users password ana",
    help="Give a user another password, asked for as by `add`. All their sessions end.",
)
def password(name: _NameArgument, config: ConfigOption = None) -> None:
    from monitor.accounts.passwords import hashed

    settings, user = _begun(config, name)
    with_store(settings, lambda store: _there(store, user))  # before anything is asked
    stored = hashed(_password(user))
    with_store(settings, lambda store: store.users.set_password(user, stored, actor=person()))
    typer.echo(f"{user} has another password; their sessions have ended")


@app.command(
    "role",
    epilog="Example: monitor users role ana admin",
    help="Say what a user may. Their sessions end, so that they sign in as that.",
)
def role(
    name: _NameArgument,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="viewer, responder or admin.")],
    config: ConfigOption = None,
) -> None:
    _changed(config, name, lambda store, user: store.users.set_role(user, role, actor=person()), role)


@app.command(
    "disable",
    epilog="Example: monitor users disable ana",
    help="End all sessions of a user, and let them sign in no more. What they did stays in the history.",
)
def disable(name: _NameArgument, config: ConfigOption = None) -> None:
    _changed(config, name, lambda store, user: store.users.disable(user, actor=person()), "disabled")


@app.command("enable", epilog="Example: monitor users enable ana", help="Let a disabled user sign in again.")
def enable(name: _NameArgument, config: ConfigOption = None) -> None:
    _changed(config, name, lambda store, user: store.users.enable(user, actor=person()), "enabled")


@app.command(
    "sign-out",
    epilog="Example: monitor users sign-out ana@example.org",
    help="End all sessions of somebody, however they signed in. They may sign in again.",
)
def sign_out(name: _NameArgument, config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="act")
    ended = with_store(settings, lambda store: store.sessions.sign_out(name.strip(), actor=person()))
    typer.echo(f"{ended} {'session has' if ended == 1 else 'sessions have'} ended")


async def _there(store: Store, user: str) -> None:
    """Raises LookupError."""
    if await store.users.find(user) is None:
        raise LookupError(f"there is no user {user!r}; `monitor users list` shows them")


def _begun(config: Any, name: str) -> tuple[Config, str]:
    """The configuration, and a name as it is stored; what is none ends the command with exit code 2."""
    settings = read_config(config, store_only="act")
    try:
        return settings, user_name(name)
    except ValueError as error:
        fail(str(error), 2)


def _changed(config: Any, name: str, work: Callable[[Store, str], Awaitable[bool]], state: str) -> None:
    settings, user = _begun(config, name)
    changed = with_store(settings, lambda store: work(store, user))
    typer.echo(f"{user} is {state if changed else f'{state} already'}")


def _password(user: str) -> str:
    """As it is asked for. One that is none ends the command with exit code 2."""
    from monitor.accounts.passwords import weak

    first = private(f"Password of {user}")
    if sys.stdin.isatty():
        fail_if(private("Again") != first, "the two are not the same", 2)
    fail_if(why := weak(first, user), f"{why}; nothing was changed", 2)
    return first


def _row(settings: Config, user: User) -> Mapping[str, Any]:
    known = settings.console.person(user.name, user.role)
    return {
        "name": user.name,
        "role": known.role if known else user.role,
        "disabled": user.disabled,
        "seen": stamp(user.seen),
        "added": stamp(user.added),
        "password_changed": stamp(user.changed),
        "known_as": known.name if known else user.name,
    }


def _change(entry: AuditEntry) -> Mapping[str, Any]:
    words = entry.action.removeprefix("user_").replace("_", " ")
    return {"at": stamp(entry.at), "by": entry.actor, "change": words, "about": printable(entry.note)}
