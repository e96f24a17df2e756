"""`monitor init`: a configuration to begin with, or the service with all it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import command_app, fail, fail_if, printable, usage

app = command_app()

_NAME = "config.example.toml"
_BASE = 'base_url = "https://monitor.example.org"'
_THERE = "is there already; remove it first, or name another file"


@app.command(
    epilog="Examples:\n\n  monitor init /etc/exposure-monitor/config.toml\n\n  monitor init --install",
    help="Write a configuration that shows every key with a comment, ready to run. Never over a file that is there.\n\n"
    "With --install: make this `monitor` a service of this host (user, folders, key, a configuration of the logs that "
    "are there, unit), and start it. What would be done is shown; it is done with --yes, or once you agree on a "
    "terminal. What is there already is kept.",
)
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; its folder is made.", show_default="config.toml")
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Install the service.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what --install would do, and ask nothing.")] = False,
    agreed: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="Install below this folder, as for an image; systemd is not asked.", show_default=False),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="How people reach its pages: alerts link there. Asked for on a terminal.",
            show_default=False,
        ),
    ] = None,
) -> None:  # fmt: skip
    usage(
        (install and (file or (dry_run and agreed)), "--install takes no FILE, and one of --dry-run and --yes"),
        (not install and (dry_run or agreed or root), "--dry-run, --yes and --root go with --install"),
        (
            install and base_url,
            "--base-url goes without --install, whose configuration says where to put it",
        ),
    )
    if not install:
        _write(file or Path("config.toml"), base_url)
        return
    from monitor.cli.init_install import install as make

    make(root, agreed=agreed, ask=not dry_run)


def _write(file: Path, base_url: str | None) -> None:
    fail_if(file.exists(), f"{printable(str(file))}: {_THERE}", 2)  # before anything is asked
    text = example()
    if base := _base(base_url):
        text = text.replace(f"#{_BASE}", f'base_url = "{base}"', 1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        fail(f"{printable(str(file))}: {_THERE}", 2)
    except OSError as error:
        fail(f"{printable(str(file))}: {error.strerror}", 2)
    typer.echo(f"{printable(str(file))} is made; say what to watch and whom to alert, then: monitor check", err=True)
    if not base:
        typer.echo("note: until http.base_url says how people reach its pages, no alert has a link for them", err=True)


def _base(given: str | None) -> str:
    """How people reach the pages; empty: nobody said. What is no address ends the command with exit code 2."""
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        question = (
            "How do people reach its pages, such as https://monitor.example.org? Alerts link there (empty: later)"
        )
        given = typer.prompt(question, default="", show_default=False, err=True)
    if not given:
        return ""
    from monitor.common.problems import check
    from monitor.config.tables import HttpConfig

    checked, problems = check(HttpConfig, {"base_url": given.strip()}, "http")
    fail_if(problems, f"--base-url {problems[0].message}" if problems else "", 2)
    return (checked and checked.base_url) or ""


def example() -> str:
    """The example: beside us in a wheel, one folder up in a checkout."""
    package = Path(__file__).parent.parent
    place = next(folder / _NAME for folder in (package, package.parent) if (folder / _NAME).is_file())
    return place.read_text(encoding="utf-8")
