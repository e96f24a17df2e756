"""`monitor init`: a configuration to begin with, or the service with all it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import command_app, fail, printable, usage

app = command_app()

_NAME = "config.example.toml"


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
) -> None:
    usage(
        (install and (file or (dry_run and agreed)), "--install takes no FILE, and one of --dry-run and --yes"),
        (not install and (dry_run or agreed or root), "--dry-run, --yes and --root go with --install"),
    )
    if not install:
        _write(file or Path("config.toml"))
        return
    from monitor.cli.init_install import install as make

    make(root, agreed=agreed, ask=not dry_run)


def _write(file: Path) -> None:
    text = example()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        fail(f"{printable(str(file))}: is there already; remove it first, or name another file", 2)
    except OSError as error:
        fail(f"{printable(str(file))}: {error.strerror}", 2)
    typer.echo(f"{printable(str(file))} is made; say what to watch and whom to alert, then: monitor check", err=True)


def example() -> str:
    """The example: beside us in a wheel, one folder up in a checkout."""
    package = Path(__file__).parent.parent
    place = next(folder / _NAME for folder in (package, package.parent) if (folder / _NAME).is_file())
    return place.read_text(encoding="utf-8")
