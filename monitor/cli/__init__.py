"""The command line. One file a command, imported when it is used.

To add a command: one file with `app` (a Typer), a line in a group of `GROUPS`, one test, and `make docs`.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["COMMANDS", "GROUPS", "app"]

# In the order of `monitor --help`, with the first sentence of the help of each, so that a list imports none of them
GROUPS = {
    "Every day": {
        "incidents": "List, show, acknowledge and resolve incidents.",
        "silences": "Alert nobody to incidents that match, for a while.",
        "suppressions": "Accept known secrets for a while: sightings are counted, open no incident and alert nobody.",
        "runbook": "Follow the runbook of an incident: claim steps, finish or skip them; and read and check runbooks.",
        "action": "Plan, approve and run what takes a secret back: [[actions]] of the configuration.",
        "verify": "Ask who issued a secret whether it still works, by a request that changes nothing.",
        "scan": "Find secrets in files, folders, archives and standard input (`-`).",
        "mask": "Pass bytes through and replace each secret by [rule:fingerprint]; nothing else is touched.",
    },
    "Set up": {
        "init": "Write a configuration that shows every key with a comment, ready to run.",
        "check": "Check the configuration, the rules, and what they need of this machine; show all problems at once.",
        "run": "Watch the sources and deliver alerts until SIGTERM.",
        "drill": "Plant a synthetic secret in a source, and follow it hop by hop to the alert and to its end.",
        "sinks": "List the sinks and send test notifications.",
        "routes": "Show the routes, and where an incident would go.",
        "users": "People who sign in to the pages with a password (docs/console.md).",
        "hooks": "Git's hooks that stop a secret before it is committed, pushed, or taken by a server.",
        "github": "GitHub: check the log-in, list alerts, read all alerts.",
    },
    "Rules": {
        "rules": "List, show, compare, test, measure, import and start detection rules.",
        "test-pattern": "Try a detection pattern on a sample: hits, near misses, the stage that decided, the cost.",
        "sample": "Print synthetic secrets that satisfy a rule, checksum included.",
        "fingerprint": "Turn secrets on standard input, one a line, into fingerprints, one a line.",
    },
    "Our own secrets": {
        "inventory": "Our own secrets by name: what [[inventory]] of the configuration holds.",
        "rotation": "Which secrets of the inventory are due for another value, and how far that is (docs/rotation.md).",
        "access": "Who read which secret, by the audit records of what holds it (docs/access.md).",
        "audit": "The policy's checklist over folders, units, images, GitHub and the monitor's own records.",
    },
    "Look inside": {
        "top": "Show what the monitor does now: sources, sinks, queue, losses and the cost of rules.",
        "sources": "Show each source: how far it is, when it last stored something, and what was lost.",
        "outbox": "List, show, retry and discard notifications.",
    },
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

    _listing = False  # names and sentences are asked for, not the commands

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._listing = True
        return super().shell_complete(ctx, incomplete)

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            group = next(group for group, commands in GROUPS.items() if cmd_name in commands)
            sentence = _MARKUP.sub(r"\\[", GROUPS[group][cmd_name])
            return TyperCommand(cmd_name, short_help=sentence, rich_help_panel=group)
        command: Any = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
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
