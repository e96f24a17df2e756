"""`monitor fingerprint`: secrets in, fingerprints out."""

from __future__ import annotations

import sys

import typer

from monitor.cli.common import ConfigOption, command_app, read_config

app = command_app()


@app.command(
    epilog="Example: printf '%s\\n' \"$TOKEN\" | monitor fingerprint",
    help="Turn secrets on standard input, one a line, into fingerprints, one a line.\n\n"
    "The fingerprint is what an incident is known by, so this tells whether a secret you hold has been seen: "
    "`monitor incidents show FINGERPRINT`. Nothing is stored or sent. A key in PEM goes on one line, with \\n for "
    "its line breaks; an empty line gives an empty line.",
)
def fingerprint(config: ConfigOption = None) -> None:
    from detectors.fingerprint import fingerprint as digest
    from monitor.config import key

    secret_key = key(read_config(config))
    if sys.stdin.isatty():
        typer.echo("Reading secrets from the terminal, one a line; they will be visible. End with Ctrl-D.", err=True)
    for raw in sys.stdin.buffer:
        line = raw.rstrip(b"\r\n")
        typer.echo(digest(secret_key, line) if line.strip() else "")
        sys.stdout.flush()
