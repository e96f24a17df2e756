"""`monitor init`: a configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import command_app, fail, printable

app = command_app()

_NAME = "config.example.toml"


@app.command(
    epilog="Example: monitor init /etc/exposure-monitor/config.toml",
    help="Write a configuration that shows every key with a comment, ready to run. Never over a file that is there.",
)
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to; its folder is made.")] = Path("config.toml"),
) -> None:
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
