"""`monitor fingerprint`: secrets in, fingerprints out."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer

from monitor.cli.common import ConfigOption, Format, FormatOption, command_app, emit, read_config

app = command_app()


@app.command(
    epilog="Example: printf '%s\\n' \"$TOKEN\" | monitor fingerprint",
    help="Turn secrets on standard input, one a line, into fingerprints, one a line.\n\n"
    "The fingerprint is what an incident is known by, so this tells whether a secret you hold has been seen: "
    "`monitor incidents show FINGERPRINT`. Nothing is stored or sent. A key in PEM goes on one line, with \\n for "
    "its line breaks; an empty line gives an empty line.",
)
def fingerprint(form: FormatOption = Format.text, config: ConfigOption = None) -> None:
    from detectors.fingerprint import fingerprint as digest
    from monitor.config import key

    secret_key = key(read_config(config))
    if sys.stdin.isatty():
        typer.echo("Reading secrets from the terminal, one a line; they will be visible. End with Ctrl-D.", err=True)

    def rows() -> Iterator[dict[str, str | None]]:
        for raw in sys.stdin.buffer:
            line = raw.rstrip(b"\r\n")
            yield {"fingerprint": digest(secret_key, line) if line.strip() else None}

    if form is not Format.text:
        emit(rows(), form, lambda _: ())
        return
    for row in rows():  # each at once, for who types them or asks line by line
        typer.echo(row["fingerprint"] or "")
        sys.stdout.flush()
