"""`python manual.py FOLDER`: a man page for `monitor` and one for each command, from what `--help` is made of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from monitor import __version__
from monitor.cli import COMMANDS, GROUPS, app

DAY = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).date().isoformat()


def main(folder: Path) -> None:
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="monitor")
    for name in COMMANDS:
        command = group.get_command(context, name)
        page = list(one(command, ("monitor", name)))
        (folder / f"monitor-{name}.1").write_text(roff(f"monitor-{name}", command.short_help, page), encoding="utf-8")
    (folder / "monitor.1").write_text(roff("monitor", str(group.help), list(overview(group))), encoding="utf-8")


def overview(group: Any) -> Iterator[str]:
    yield from (".SH SYNOPSIS", r".B monitor", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield from (".SH DESCRIPTION", text(group.help))
    for title, commands in GROUPS.items():
        yield f".SH {title.upper()}"
        for name, sentence in commands.items():
            yield from (".TP", rf"\fBmonitor\-{escaped(name)}\fR(1)", text(sentence))
    yield from options(group)
    yield from (".SH FILES", ".TP", r"\fI/etc/exposure\-monitor/config.toml\fR", "What is watched and who is alerted.")
    yield from (".TP", r"\fI/var/lib/exposure\-monitor\fR", "Incidents, positions and caches.")
    yield from (".SH EXIT STATUS", text(re.sub(r"(?s).*Exit codes: ", "", group.epilog)))


def one(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Of a command: how it is called, what it does, its options, an example; then of those below it."""
    inner = getattr(command, "commands", {})
    yield from ((".SH SYNOPSIS",) if len(words) == 2 else (f".SH {escaped(' '.join(words)).upper()}",))
    context = typer.Context(command, info_name=" ".join(words))
    yield from (rf".B {escaped(' '.join(words))}", escaped(" ".join(command.collect_usage_pieces(context))))
    yield from ((".SH DESCRIPTION",) if len(words) == 2 else (".PP",))
    yield text(command.help or command.short_help)
    yield from options(command, heading=len(words) == 2)
    if command.epilog:
        yield from (".PP", ".nf", text(command.epilog), ".fi")
    for name, below in inner.items():
        yield from one(below, (*words, name))


def options(command: Any, *, heading: bool = True) -> Iterator[str]:
    """Options and arguments that have help."""
    context = typer.Context(command, info_name="monitor")
    records = [record for record in (param.get_help_record(context) for param in command.params) if record]
    if records and heading:
        yield ".SH OPTIONS"
    for names, about in records:
        yield from (".TP", rf"\fB{escaped(names)}\fR", text(about))


def roff(name: str, sentence: str, body: list[str]) -> str:
    head = f'.TH "{escaped(name.upper())}" 1 "{DAY}" "exposure\\-monitor {__version__}" "User Commands"'
    about = escaped(plain(sentence)).split("\n")[0].rstrip(".")
    return "\n".join((head, ".SH NAME", rf"{escaped(name)} \- {about}", *body, ""))


def plain(words: str) -> str:
    return words.replace("\\[", "[").replace("\f", "")


def text(words: str) -> str:
    """Paragraphs, of which no line is taken for a request."""
    lines = [line.strip() for line in escaped(plain(words)).splitlines()]
    return "\n".join(".PP" if not line else rf"\&{line}" if line[0] in ".'" else line for line in lines)


def escaped(words: str) -> str:
    return words.replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
