"""`monitor rules import` and `monitor rules new`: pack files of one's own, from other tools or from a scaffold."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import ConfigOption, command_app, fail, fail_if, printable
from monitor.cli.kit import tracked

__all__ = ["imports", "new"]

# `--config` is taken here as by every command, though nothing in it matters to a file that is only written.
imports = command_app(
    no_args_is_help=True,
    help="Turn rule files of other tools into a pack.",
    epilog="Example: monitor rules import gitleaks .gitleaks.toml -o rules.d/gitleaks.toml",
)
_NAMED = 4  # rules named for each reason

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the pack here.", show_default=False)
]


Replace = Annotated[
    bool,
    typer.Option("--replace", help="Keep ids that shipped rules have: such a rule takes the shipped one's place."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List each rule with each reason.")]


@imports.command(
    "gitleaks",
    epilog="Example: monitor rules import gitleaks .gitleaks.toml -o rules.d/gitleaks.toml",
    help="A configuration of gitleaks or betterleaks.\n\nWhat has no counterpart is listed on standard error with the "
    "reason. Examples are made from the patterns and tried, which takes some hundredths of a second a rule.",
)
def import_gitleaks(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gitleaks.toml.")],
    output: Output = None,
    replace: Replace = False,
    verbose: Verbose = False,
    _config: ConfigOption = None,
) -> None:
    _import("gitleaks", file, output, replace=replace, verbose=verbose)


@imports.command(
    "kingfisher",
    epilog="Example: monitor rules import kingfisher ./rules -o rules.d/kingfisher.toml",
    help="Rule files of Kingfisher: a folder, or one .yml.\n\nWhat has no counterpart, such as live validation, is "
    "listed on standard error with the reason.",
)
def import_kingfisher(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of rule files.")],
    output: Output = None,
    replace: Replace = False,
    verbose: Verbose = False,
    _config: ConfigOption = None,
) -> None:
    _import("kingfisher", folder, output, replace=replace, verbose=verbose)


def _import(tool: str, path: Path, output: Path | None, *, replace: bool, verbose: bool) -> None:
    from detectors.author import convert

    _free(output)
    read = convert.gitleaks if tool == "gitleaks" else convert.kingfisher
    try:
        done = read(path, replace_shipped=replace, tracked=lambda items: tracked(items, "converting"))
    except convert.ReadError as error:
        fail(printable(str(error)), 2)

    for line in _report(done.problems, verbose):
        typer.echo(printable(line), err=True)
    fail_if(not done.rules, "no rule could be converted")
    _write(convert.to_toml(done.rules, f"Imported from {printable(path.name)} of {tool}."), output)
    refused = sum(why.startswith("not converted: ") for _, why in done.problems)
    typer.echo(f"{len(done.rules)} rules converted, {refused} not", err=True)


def _report(problems: Sequence[tuple[str, str]], verbose: bool) -> Iterator[str]:
    """A line for each reason, most frequent first, so that it fits a screen; `verbose`: a line for each rule."""
    if verbose:
        yield from (f"{name}: {why}" for name, why in problems)
        return
    reasons: dict[str, list[str]] = {}
    for name, why in problems:
        # What differs from rule to rule stands behind the second colon or in brackets.
        reason = re.sub(r" to \S+:", ":", why) if why.startswith("renamed") else why
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(names[:_NAMED]) + (
            f" and {len(names) - _NAMED} more (-v lists them)" if len(names) > _NAMED else ""
        )
        yield f"{reason}: {shown}"


def new(
    vendor: Annotated[str, typer.Argument(help="Who issues the secret, such as acme.")],
    kind: Annotated[str, typer.Argument(help="What it is, such as api-key.")],
    keyword: Annotated[
        bool, typer.Option("--keyword", help="For a secret without a format of its own, found by a name near it.")
    ] = False,
    output: Output = None,
    _config: ConfigOption = None,
) -> None:
    from detectors.author.convert import rule_id

    prefix = re.sub(r"[^a-z0-9]+", "_", vendor.lower()).strip("_")
    fail_if(
        not prefix or not re.search(r"[a-z0-9]", kind.lower()),
        "VENDOR and KIND need letters or digits: monitor rules new acme api-key",
        2,
    )
    _free(output)
    fields = {
        "<ID>": rule_id(f"{vendor}-{kind}"),
        "<NAME>": re.sub(r"[^\w.&+() /]+", " ", f"{vendor[:1].upper()}{vendor[1:]} {kind.replace('_', ' ')}").strip(),
        "<PREFIX>": prefix,
        "<VARIABLE>": re.sub(r"[^A-Z0-9]+", "_", f"{vendor}_{kind}".upper()).strip("_"),
    }
    text = _KEYWORD if keyword else _PATTERN
    for field, value in fields.items():
        text = text.replace(field, value)
    _write(text, output)
    if output is not None:
        typer.echo(
            f"{output} is made; change it to the real format, name it in rules.paths, and run "
            f"`monitor rules test {fields['<ID>']}`",
            err=True,
        )


def _free(output: Path | None) -> None:
    fail_if(
        output is not None and output.exists(),
        f"{printable(str(output))}: is there already; remove it first, or name another file",
        2,
    )


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:  # never over a file that somebody has worked on
            file.write(text)
    except OSError as error:
        fail(f"{printable(str(output))}: {error.strerror}", 2)


_TEMPLATES = """\
# Templates, so that no token-shaped text lies in a repository: {alnum:32}, {hex:40}, {base64:43}, {uuid}, …"""
_PATTERN = f"""[[rule]]
id = "<ID>"
name = "<NAME>"
# One format, in the syntax of RE2. Let it start with fixed characters; the value is the group `secret`.
pattern = '\\b(?P<secret><PREFIX>_[A-Za-z0-9]{{32}})\\b'
severity = "high"  # critical, high, medium, low, info
{_TEMPLATES}
examples = [
    "<VARIABLE>=<PREFIX>_{{alnum:32}}",
    '{{"authorization": "Bearer <PREFIX>_{{alnum:32}}"}}',
]
negative_examples = [
    "<PREFIX>_{{alnum:8}}",
    "x<PREFIX>_{{alnum:32}}",
]
references = []  # where the vendor documents the format
"""
_KEYWORD = f"""[[rule]]
id = "<ID>"
name = "<NAME>"
# The value has no format of its own, so a name must stand near it. Name the issuer, not just `api_key`.
keywords = ["<PREFIX>"]
value = '[A-Za-z0-9]{{32}}'
near = "assignment"  # or "near": anything between, at most `gap` bytes
severity = "high"  # critical, high, medium, low, info
entropy = 3.5  # least bits a character
{_TEMPLATES}
examples = [
    "<VARIABLE>={{alnum:32}}",
    '{{"<PREFIX>_key": "{{alnum:32}}"}}',
]
negative_examples = [
    "<VARIABLE>={{alnum:8}}",
    "key={{alnum:32}}",
]
references = []  # where the vendor documents the format
"""
