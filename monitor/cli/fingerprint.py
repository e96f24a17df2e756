"""`monitor fingerprint`: secrets in, fingerprints out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import typer

from monitor.cli.common import ConfigOption, command_app, private, read_config
from monitor.cli.kit import FormatOption, emit
from monitor.config.locate import find
from monitor.config.state import key

app = command_app()


@app.command(
    epilog="Example: printf '%s\\n' \"$TOKEN\" | monitor fingerprint",
    help="Turn secrets on standard input, one a line, into fingerprints, one a line.\n\n"
    "The fingerprint is what an incident is known by, so this tells whether a secret you hold has been seen: "
    "`monitor incidents show FINGERPRINT`. Nothing is stored or sent. A key in PEM goes on one line, with \\n for "
    "its line breaks; an empty line gives an empty line.",
)
def fingerprint(form: FormatOption = "text", config: ConfigOption = None) -> None:
    from detectors.fingerprint import fingerprint as digest

    settings = read_config(config, rules_only=True)
    if settings.path is None:
        find(here=False)  # says what was looked for: a key made now would match nothing
    secret_key = key(settings)
    asked = sys.stdin.isatty()
    if asked:
        typer.echo("Secrets, one a line; they are not shown. End with Ctrl-D or an empty line.", err=True)

    def lines() -> Iterator[bytes]:
        if not asked:
            yield from sys.stdin.buffer
            return
        with contextlib.suppress(EOFError):
            while line := private("secret"):
                yield line.encode("utf-8", "surrogateescape")

    def rows() -> Iterator[dict[str, str | None]]:
        for raw in lines():
            line = raw.rstrip(b"\r\n")
            yield {"fingerprint": digest(secret_key, line) if line.strip() else None}

    if form != "text":
        emit(rows(), form, lambda _: ())
        return
    for row in rows():  # each at once, for who types them or asks line by line
        typer.echo(row["fingerprint"] or "")
        sys.stdout.flush()
