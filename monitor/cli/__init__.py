"""The command line. One file a command, imported when it is used.

To add a command: one file with `app` (a Typer), its name in a group of `GROUPS`, one test, and `make docs`. Command
modules import at their top only what is quick to import, since `monitor --help` reads all of them.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

__all__ = ["COMMANDS", "GROUPS", "app"]

# In the order of `monitor --help`
GROUPS = {
    "Every day": ("incidents", "silences", "suppressions", "runbook", "action", "verify", "scan", "mask"),
    "Set up": ("init", "check", "run", "drill", "sinks", "routes", "hooks", "github"),
    "Rules": ("rules", "test-pattern", "sample", "fingerprint"),
    "Our own secrets": ("inventory", "rotation", "access", "audit"),
    "Look inside": ("top", "sources", "outbox"),
}
# Name → module with the `app`
COMMANDS = {name: f"monitor.cli.{name.replace('-', '_')}" for names in GROUPS.values() for name in names}


class Commands(TyperGroup):
    """Finds a command in the table and imports its module only then."""

    def get_params(self, ctx: Any) -> list[Any]:
        found = super().get_params(ctx)
        for option in found:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return found

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command: Any = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        command.rich_help_panel = next(group for group, names in GROUPS.items() if cmd_name in names)
        _plain_help(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and (close := get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _plain_error(error.message)
            raise


def _plain_error(message: str) -> str:
    """What is wrong with an option, and what may have been meant."""
    if choice := _CHOICE.fullmatch(message):
        value, choices = choice.groups()
        if close := get_close_matches(value, re.findall("'([^']*)'", choices), n=1):
            return f"{message.removesuffix('.')}. Did you mean {close[0]!r}?"
    return message


def _plain_help(command: Any) -> None:
    """Help as it is written: no `<bool>` behind flags, and `[a-z0-9]` in an example is no markup. A list has the
    first sentence of each command."""
    for name in ("help", "epilog"):
        text = getattr(command, name)
        setattr(command, name, text and _MARKUP.sub(r"\\[", text))
    if sentence := _SENTENCE.match(command.help or ""):
        command.short_help = sentence[0]
    helped = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        option = helped(ctx)
        option.metavar = ""
        return option

    command.get_help_option = get_help_option
    for option in command.params:
        if getattr(option, "is_flag", False):
            option.metavar = ""
        if getattr(option, "help", None):
            option.help = _MARKUP.sub(r"\\[", option.help)
    for inner in getattr(command, "commands", {}).values():
        _plain_help(inner)


_CHOICE = re.compile(r"'([^']*)' is not one of (.+)")
_SENTENCE = re.compile(r".+?\.(?=\s|$)", re.DOTALL)
_MARKUP = re.compile(r"(?<!\\)\[(?=[a-zA-Z/@#])")

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # Typer's own tracebacks show local variables, and those may hold a secret.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: monitor scan . --gitignore\n\n"
    "Exit codes: 0 fine; 1 findings or a failed check; 2 wrong usage; 78 bad configuration.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from monitor import __version__

        typer.echo(f"exposure-monitor {__version__}")
        raise typer.Exit


@app.callback()
def main(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="As --config of each command.", show_default=False),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Watches service logs and GitHub for leaked secrets, keeps one incident per secret, and drives the response."""
    from monitor.common import hardening

    hardening.harden()  # whichever command it is: most hold secrets, or the key
    if config is not None:
        os.environ["MONITOR_CONFIG"] = str(config)
