"""`monitor users token`: tokens of programs that use the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.accounts.people import ROLES, Role
from monitor.accounts.tokens import Scope
from monitor.cli.common import ConfigOption, command_app, fail, fail_if, lasting, person, read_config, with_store
from monitor.cli.kit import FormatOption, emit_list, spoken
from monitor.common.user_name import user_name
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.store.tokens import ApiToken

tokens = command_app(
    no_args_is_help=True,
    help="Tokens of programs that use the API (docs/console.md).",
    epilog="Example: monitor users token add deploy --role responder --scope act",
)

__all__ = ["tokens"]

_LONGEST = 366 * 86_400.0  # seconds
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="In the history as api/NAME.")]


@tokens.command(
    "list", epilog="Example: monitor users token list", help="The tokens, what they may, and when they were last used."
)
def list_tokens(*, form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="look")
    made = with_store(settings, lambda store: store.tokens.list(), missing=lambda: [])
    columns = (
        *("name", "role", "scope", ("ends", lambda row: spoken(row["ends"], ""))),
        ("last used", lambda row: spoken(row["seen"], "never")),
    )
    nothing = "there are no tokens; `monitor users token add NAME` makes one"
    emit_list([_row(token) for token in made], form, columns, nothing=nothing)


@tokens.command(
    "add",
    epilog="Examples:\n\n  monitor users token add report\n\n"
    "  monitor users token add deploy --role responder --scope act --for 30d",
    help="Make a token and print it: this once, as nobody knows it afterwards.",
)
def add(
    *,
    name: _NameArgument,
    role: Annotated[
        Role, typer.Option("--role", help="With --scope act: responder acts on incidents; admin also runs actions.")
    ] = "viewer",
    scope: Annotated[Scope, typer.Option("--scope", help="read changes nothing.")] = "read",
    lasts: Annotated[str, typer.Option("--for", metavar="DURATION", help="When it ends; 366d at most.")] = "90d",
    config: ConfigOption = None,
) -> None:
    from monitor.accounts.tokens import fresh, stored
    from monitor.store.users import UserError

    settings = read_config(config, store_only="act")
    token = _name(name)
    seconds = lasting("--for", lasts)
    fail_if(not 0 < seconds <= _LONGEST, "--for must be longer than nothing and 366d at most", 2)
    fail_if(scope == "act" and role == ROLES[0], "a viewer changes nothing: --scope act takes --role responder", 2)
    value = fresh()
    made = with_store(
        settings,
        lambda store: store.tokens.add(stored(value), token, role=role, scope=scope, lasts=seconds, actor=person()),
        make=True,
        refused=(UserError,),
    )
    typer.echo(value)
    typer.echo(f"{token} ends {stamp(made.ends)}; it is shown this once", err=True)


@tokens.command(
    "revoke", epilog="Example: monitor users token revoke deploy", help="End a token at once. What it did stays."
)
def revoke(name: _NameArgument, config: ConfigOption = None) -> None:
    settings = read_config(config, store_only="act")
    token = _name(name)
    with_store(settings, lambda store: store.tokens.revoke(token, actor=person()))
    typer.echo(f"{token} is revoked")


def _name(name: str) -> str:
    try:
        return user_name(name)
    except ValueError as error:
        fail(str(error), 2)


def _row(token: ApiToken) -> Mapping[str, Any]:
    when = {"added": stamp(token.added), "ends": stamp(token.ends), "seen": stamp(token.seen)}
    return {"name": token.name, "role": token.role, "scope": token.scope, **when}
