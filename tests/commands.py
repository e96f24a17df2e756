"""`make docs`: docs/commands.md, made from what `--help` says: the one list of commands."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from monitor.cli import GROUPS, app

__all__ = ["LIST", "page", "walk"]

LIST = Path(__file__).parent.parent / "docs" / "commands.md"
_HEAD = """# Commands

This page is made from `--help` by `make docs`. `--help` of a command says what else there is: options, exit codes, and
what it does in full.

All take `--config` (default: `$MONITOR_CONFIG`, `./config.toml`, then `/etc/exposure-monitor/config.toml`; commands
that look at what others made never take `./config.toml` by themselves). All that print data take
`--format text|json|jsonl`; on a terminal a list has the columns that fit, elsewhere all of them whole. Exit codes: 0
fine; 1 findings or a failed check; 2 wrong usage; 78 bad configuration. `monitor --install-completion` adds completion
to the shell.
"""


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and all below it, each with the words it is called by."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*words, name))


def page() -> str:
    """The page as it should be."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    out = [_HEAD]
    for title, names in GROUPS.items():
        out.append(f"## {title}\n")
        for name in names:
            (_, top), *below = walk(group.get_command(context, name), (name,))
            examples = [line for _, one in below or [((name,), top)] for line in _examples(one)]
            out += [f"### monitor {name}\n", _wrapped(_said(top)), "", *(f"    {line}" for line in examples), ""]
            out += [_wrapped(f"- `{_called(words, one)}`: {_said(one)}", "  ") for words, one in below]
            out += [""] * bool(below)
    return "\n".join(out).rstrip() + "\n"


def _called(words: tuple[str, ...], command: Any) -> str:
    """As it is typed, without options."""
    given = [one for one in command.params if one.param_type_name == "argument"]
    names = [(one, one.metavar or one.name.upper()) for one in given]
    shown = [name if one.required or name.startswith("[") else f"[{name}]" for one, name in names]
    return " ".join(["monitor", *words, *shown])


def _said(command: Any) -> str:
    """Its help in a sentence, without the marks that keep the terminal from taking brackets for markup."""
    return str(command.short_help).replace("\\[", "[").replace("\n", " ")


def _examples(command: Any) -> list[str]:
    lines = re.sub(r"^Examples?:\s*", "", command.epilog or "").splitlines()
    return [line.strip().replace("\\[", "[") for line in lines if line.strip()]


def _wrapped(text: str, indent: str = "") -> str:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.wrap(text, 120, subsequent_indent=indent, **options))


if __name__ == "__main__":
    LIST.write_text(page(), encoding="utf-8")
