"""What commands share: options, reading the configuration, and output that scripts and terminals can rely on."""

from __future__ import annotations

import gc
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_args

import typer

from monitor.common.severity import SEVERITIES, Severity
from monitor.common.text import printable
from monitor.config.locate import LOCAL_PATH, ConfigError, default_state_dir, find

if TYPE_CHECKING:
    from detectors.rules.rule import Rule
    from monitor.config.config import Config
    from monitor.store import Store

_T = TypeVar("_T")

__all__ = [
    "Confidence",
    "ConfigOption",
    "IncidentArgument",
    "NoteOption",
    "SeverityOption",
    "at_least",
    "command_app",
    "complete_rules",
    "complete_sinks",
    "fail",
    "fail_if",
    "find_rule",
    "json_text",
    "known_rule",
    "lasting",
    "nothing",
    "paint",
    "person",
    "printable",
    "private",
    "read_config",
    "run_key",
    "scan_config",
    "severity_colour",
    "since_when",
    "started",
    "sure",
    "typed",
    "usage",
    "with_store",
]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file. Default: $MONITOR_CONFIG, /etc/exposure-monitor/config.toml; of commands that need "
        "more than rules first ./config.toml.",
        show_default=False,
    ),
]


IncidentArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id or fingerprint of an incident, or a unique start.")
]
NoteOption = Annotated[str, typer.Option("--note", "-m", help="Why; stored in the history.", show_default=False)]
SeverityOption = Annotated[
    Severity | None, typer.Option("--severity", help="Only this severity and worse.", show_default=False)
]
Confidence = Literal["low", "medium", "high"]
_CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)
_SEVERITY_COLOUR = {"critical": "red", "high": "bright_red", "medium": "yellow", "low": "cyan", "info": "blue"}


_went_by: Config | None = None  # the configuration that was read last


def command_app(**settings: Any) -> typer.Typer:
    """What a command module calls `app`."""
    return typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}, **settings)


def read_config(
    path: Path | None,
    *,
    rules_only: bool = False,
    foreign: bool = False,
    enter: bool = False,
    quiet: bool = False,
    store_only: Literal["look", "act"] | None = None,
    needs: Collection[str] | None = None,
) -> Config:
    """The configuration; `person` goes by it. Raises ConfigError, which ends the command with exit code 78.

    `foreign`: of a command that looks at files of others: not from the current folder unless it is named there, and
    the defaults when no file was named and none is found. `rules_only`: that, and without sources, sinks and routes,
    whose mistakes do not matter then.
    `enter`: change to its folder, from where relative paths in it count. `quiet`: do not say which file was taken.
    `store_only`: of a command that needs the database only, to look at it or to change something: somebody may have to
    take an incident while a mistake in the file waits to be mended. Where that is in what it goes by, or the file is no
    TOML at all, it goes by what was last in force.
    `needs`: the tables that the command goes by (beside `store_only`); mistakes in others do not matter.
    """
    global _went_by
    _went_by = _config(
        path, rules_only=rules_only, foreign=foreign, enter=enter, quiet=quiet, store_only=store_only, needs=needs
    )
    return _went_by


def _config(
    path: Path | None,
    *,
    rules_only: bool,
    foreign: bool,
    enter: bool,
    quiet: bool,
    store_only: Literal["look", "act"] | None,
    needs: Collection[str] | None,
) -> Config:
    """As `read_config`."""
    from monitor.common.problems import Problem
    from monitor.config.config import Config, load

    named = path is not None or bool(os.environ.get("MONITOR_CONFIG"))
    try:
        path = find(path, here=not (rules_only or foreign))
    except ConfigError as error:
        if (rules_only or foreign) and error.path is None:
            return Config()
        raise
    if path == LOCAL_PATH and not named and not quiet:
        typer.echo(f"configuration: {printable(str(path.absolute()))}", err=True)
    path = path.absolute()
    # Where an installation keeps them for systemd, which gives them to the service alone: root finds them all the same.
    if (folder := path.parent / "credentials").is_dir():
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(folder))
    if enter and path.parent.is_dir():
        os.chdir(path.parent)  # before it is read, as sources make their paths absolute then
    try:
        return load(path, rules_only=rules_only)
    except ConfigError as error:
        if (rest := _in_spite_of(error, path, store_only, needs)) is not None:
            by, settings = rest
            if not quiet:
                more = f"; and {len(error.problems) - 1:,} more" if len(error.problems) > 1 else ""
                first = printable(str(error).partition("\n")[0])
                typer.echo(f"note: this goes by {by}; {first}{more}", err=True)
            return settings
        if named or not all(problem.message.startswith("unknown table") for problem in error.problems):
            raise
        hint = "this looks like another program's; name ours with --config, or none with --config /dev/null"
        lines = {problem.key: error.line(problem.key) or 0 for problem in error.problems}
        raise ConfigError(path, [*error.problems, Problem("", hint)], lines) from None


def _in_spite_of(
    error: ConfigError, path: Path, store_only: Literal["look", "act"] | None, needs: Collection[str] | None
) -> tuple[str, Config] | None:
    """What a command can go by though the file is wrong, and what that is."""
    if store_only is None and needs is None:
        return None
    from monitor.config.config import FaultyConfigError

    if isinstance(error, FaultyConfigError) and (rest := error.usable(act=store_only == "act", needs=needs or ())):
        return "what is right in the configuration", rest
    if store_only is None or needs:  # it is about the file, or about what is not kept
        return None
    from monitor.config import in_force

    if (kept := in_force.last(path)) is not None:
        return "the configuration that was last in force", kept
    if (
        store_only == "look"
        and not isinstance(error, FaultyConfigError)
        and (there := in_force.where_it_was(path)) is not None
    ):
        return f"the database in {printable(str(there.state_dir))}", there
    return None


def scan_config(path: Path | None) -> Config | None:
    """What commands go by that look at files of others: the rules' part of it. None: there is no configuration, so the
    defaults hold, and nothing is imported that reads one. Raises ConfigError."""

    try:
        find(path, here=False)
    except ConfigError:
        return None
    return read_config(path, rules_only=True)


def run_key(settings: Config | None, *, lasting: bool = False) -> bytes:
    """The configured key, made on first use. Where it cannot be made, fingerprints hold for this run only, unless they
    must be `lasting`. Raises ConfigError."""
    from monitor.config.state import KEY_FILE, key, key_in

    try:
        return key_in(default_state_dir()) if settings is None else key(settings)
    except ConfigError as error:
        folder = default_state_dir() if settings is None else settings.state_dir
        made = (settings is None or settings.monitor.fingerprint_key is None) and not (folder / KEY_FILE).exists()
        if lasting or not made:
            raise
        import secrets

        typer.echo(f"note: fingerprints hold for this run only: {error}", err=True)
        return secrets.token_bytes(32)


def started() -> None:
    """For commands that go on for long: look for garbage as often as usual from now on, but not in what is there."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def find_rule(config: Config, rule_id: str) -> Rule:
    """One rule by its id; ends the command with exit code 2 when there is none."""
    from monitor.site import read_rules

    rules = {rule.id: rule for rule in read_rules(config)}
    return rules[known_rule(rule_id, rules)]


def known_rule(rule_id: str, known: Collection[str]) -> str:
    """The id as it is now, with a note where it was another; ends the command with exit code 2 when there is none."""
    from detectors.rules.known import known_id

    try:
        now = known_id(rule_id, known)
    except LookupError as error:
        fail(f"{error}\n`monitor rules list` shows all of them", 2)
    if now != rule_id:
        typer.echo(f"note: the rule {rule_id} is named {now} now", err=True)
    return now


def sure(least: Confidence) -> frozenset[str]:
    """What a least confidence lets through."""
    return frozenset(_CONFIDENCES[_CONFIDENCES.index(least) :])


def at_least(severity: Severity | None) -> tuple[Severity, ...]:
    """What `--severity` lets through."""
    return SEVERITIES[SEVERITIES.index(severity) :] if severity is not None else SEVERITIES


def fail(message: str, code: int = 1) -> NoReturn:
    """End with one line on standard error."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def fail_if(wrong: object, message: str = "", code: int = 1) -> None:
    """End with this exit code where something is wrong; without a message what it is was said."""
    if wrong and message:
        fail(message, code)
    if wrong:
        raise typer.Exit(code)


def usage(*checks: tuple[object, str]) -> None:
    """End with exit code 2 and the first message whose check holds: what was typed makes no sense."""
    for wrong, message in checks:
        fail_if(wrong, message, 2)


def lasting(option: str, text: str) -> float:
    """The seconds of a length of time as it was typed, such as `4h`. What is none ends the command with exit code 2."""
    from monitor.common.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"{option} {error}", 2)


def since_when(option: str, text: str | None) -> float | None:
    """The moment so long ago; None: not asked for."""
    return None if text is None else time.time() - lasting(option, text)


def person() -> str:
    """Who types, for the history and for approvals: by the account, as anybody can set $USER; behind sudo who called
    it, where root or the service's own user runs: both can be anybody anyway, as the state is theirs. Under the name
    that [console.people] of the configuration gives them, as all ways are to agree on who did what."""
    import pwd

    from monitor.accounts.settings import SignInConfig

    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    trusted = number == 0 or name == "exposure-monitor"  # whom packages and the unit make
    name = os.environ.get("SUDO_USER", name) if trusted else name
    try:
        known = (_went_by.console if _went_by is not None else SignInConfig()).person(name, "viewer")
    except ValueError as error:
        fail(f"your account cannot act: {error}", 78)
    return known.name if known is not None else name


def private(what: str) -> str:
    """One line of standard input; on a terminal asked for and not shown. A value in the arguments others can see."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{what}: ")
    return sys.stdin.readline().rstrip("\r\n")


def typed(config: Config, note: str) -> str:
    """What somebody typed, as it may be kept: a secret in it is masked, and they are told."""
    kept = redacted(config, note)
    if kept != note:
        typer.echo("the note holds a secret, which is masked in it", err=True)
    return kept


def noted(config: Config, note: str) -> str:
    """As `typed`, of what is kept with incidents: the secrets that they are about are masked, too, standing alone."""
    if not note:
        return note
    from monitor.config import state
    from monitor.scanning.quoted_secret import unquoted

    kept = redacted(config, note)
    key = state.key(config)
    kept = with_store(config, lambda store: unquoted(kept, key, store.incidents.previews))
    if kept != note:
        typer.echo("the note holds a secret, which is masked in it", err=True)
    return kept


def redacted(config: Config, text: str) -> str:
    """The text with the secrets in it masked, by the rules of the configuration."""
    if not text:
        return text
    from monitor.site import make_redactor

    return make_redactor(config)(text)


# DEL, C1 controls, and what turns the direction of text around or hides it: a terminal or an editor obeys them.
_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def json_text(value: Any, *, indent: bool = False) -> str:
    """JSON that is safe to look at: control and direction characters are escaped, all else is as it is."""
    import orjson

    def escaped(found: re.Match[str]) -> str:
        units = found[0].encode("utf-16-be").hex()
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    return text if text.isprintable() else _UNSEEN.sub(escaped, text)


def coloured() -> bool:
    """Whether standard output is a terminal that wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text` in colour on a terminal, as it is elsewhere."""
    return typer.style(text, fg=colour, bold=bold or None, dim=dim or None) if coloured() else text


def severity_colour(severity: str) -> str | None:
    return _SEVERITY_COLOUR.get(severity)


def with_store(
    config: Config,
    work: Callable[[Store], Awaitable[_T]],
    missing: Callable[[], _T] | None = None,
    *,
    make: bool = False,
    refused: tuple[type[Exception], ...] = (),
) -> _T:
    """Run `work` on the configured database. One that does not exist yet is not made, unless by who has something to
    put into it (`make`); `missing` makes the answer then. An error of `refused` ends the command with what it says."""
    from monitor.common.process import log_apart
    from monitor.config.state import database, make_database
    from monitor.site import open_store
    from monitor.store import StoreError

    url = database(config)
    if make:
        make_database(config)
    log_apart()

    async def run() -> _T:
        async with await open_store(config, repairs=False) as store:
            return await work(store)

    if isinstance(url, Path) and not url.exists():
        nothing = f"there is no database at {url} yet; `monitor run` makes it"
        if missing is None:
            fail(nothing)
        typer.echo(f"note: {nothing}", err=True)  # or an empty list of the wrong folder looks like good news
        return missing()
    import asyncio  # here, as commands that open no database need none

    try:
        return asyncio.run(run())
    except StoreError as error:
        fail(str(error))
    except refused as error:
        fail(printable(str(error)))
    except LookupError as error:
        # It quotes what was asked for, and people paste what they have at hand.
        fail(printable(redacted(config, str(error.args[0] if error.args else error))))


async def nothing(_store: Store) -> None:
    """With `with_store`: only whether there is a database is asked."""


def complete_rules(incomplete: str) -> list[tuple[str, str]]:
    """Shell completion of rule ids with their names."""
    from monitor.site import read_rules

    rules = _quietly(lambda: read_rules(read_config(None, rules_only=True, quiet=True)))
    return [(rule.id, rule.name) for rule in rules if rule.id.startswith(incomplete)]


def complete_sinks(incomplete: str) -> list[str]:
    """Shell completion of sink names."""
    sinks = _quietly(lambda: read_config(None, quiet=True, store_only="look").sinks)
    return [sink.name for sink in sinks if sink.name.startswith(incomplete)]


def _quietly(read: Callable[[], Iterable[Any]]) -> list[Any]:
    # Completion has nowhere to report a broken configuration to: it offers nothing then.
    try:
        return list(read())
    except ConfigError:
        return []
