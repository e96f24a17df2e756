"""The options of `monitor scan`, and what was asked for by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import Confidence, complete_rules, fail_if
from monitor.cli.scan_session import ScanFormat
from monitor.common.severity import Severity

__all__ = [
    "AcceptOption",
    "ActionsOption",
    "AlsoOption",
    "ArchivesOption",
    "BaseUrlOption",
    "BaselineOption",
    "ConfidenceOption",
    "DurationOption",
    "EverythingOption",
    "FolderOption",
    "FormOption",
    "GitOption",
    "GitignoreOption",
    "HistoryOption",
    "InventoryOption",
    "MaxSizeOption",
    "MaxUnpackedOption",
    "PathsArgument",
    "ReasonOption",
    "ReportOption",
    "RevealOption",
    "RuleOption",
    "ScanRequest",
    "SinceLastOption",
    "SinceOption",
    "SkipBinaryOption",
    "StagedOption",
    "SuppressionsOption",
    "ThreadsOption",
    "TokenOption",
    "WriteBaselineOption",
    "size",
]


def size(text: str | int) -> int:
    """`10M`, `512 KiB`, `1GB` → bytes (powers of 1024). Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d{1,12})\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter("write a size such as 512K, 10M or 2G")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH…|-", help="Files and folders; `-` is standard input. With --git: ranges, such as main..topic."
    ),
]
FormOption = Annotated[ScanFormat, typer.Option("--format", "-f", help="How to print the findings.")]
AlsoOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FORM=FILE", help="Also write json, sarif or gitlab to a file; may be repeated."),
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        help="Only findings of this rule; may be repeated.",
        autocompletion=complete_rules,
        show_default=False,
    ),
]
ConfidenceOption = Annotated[Confidence, typer.Option(help="Only findings at least so certain.")]
GitignoreOption = Annotated[bool, typer.Option("--gitignore", help="Leave out what .gitignore names.")]
GitOption = Annotated[bool, typer.Option("--git-folders", help="Also read .git folders.")]
HistoryOption = Annotated[
    bool, typer.Option("--git", help="What the commits of this repository brought: all, or of ranges.")
]
StagedOption = Annotated[bool, typer.Option("--staged", help="What the next commit would bring, and nothing else.")]
FolderOption = Annotated[
    Path, typer.Option("--repository", "-C", metavar="FOLDER", help="Of --git and --staged; default: this folder.")
]
SinceLastOption = Annotated[
    bool, typer.Option("--since-last", help="With --git: commits that came since this was last asked for.")
]
ActionsOption = Annotated[
    str | None,
    typer.Option(
        "--actions", metavar="OWNER/REPO", help="The logs of jobs of GitHub Actions there.", show_default=False
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="DURATION", help="With --actions: of jobs that ended since.", show_default="30d"),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="REFERENCE",
        help="With --actions: env:NAME or file:PATH of the log-in.",
        show_default="env:GITHUB_TOKEN",
    ),
]
BaseUrlOption = Annotated[
    str, typer.Option("--base-url", metavar="URL", help="With --actions: GitHub Enterprise Server.")
]
ReportOption = Annotated[
    bool, typer.Option("--report", help="With --git: record it as incidents, in the state of the configuration.")
]
EverythingOption = Annotated[bool, typer.Option("--generated", help="With --git: also lock files and minified ones.")]
SkipBinaryOption = Annotated[bool, typer.Option("--skip-binary", help="Leave out binary files.")]
ArchivesOption = Annotated[bool, typer.Option("--archives/--no-archives", help="Look into archives.")]
MaxSizeOption = Annotated[
    int | None,
    typer.Option(parser=size, metavar="SIZE", help="Leave out larger files, such as 10M.", show_default=False),
]
MaxUnpackedOption = Annotated[
    int,
    typer.Option(parser=size, metavar="SIZE", help="Unpack no more than this of one archive.", show_default="4G"),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Leave out secrets that this baseline knows.", show_default=False),
]
WriteBaselineOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Accept all that is found: write it to this baseline.", show_default=False),
]
SuppressionsOption = Annotated[
    bool,
    typer.Option(
        "--suppressions/--no-suppressions",
        help="Honour comments that silence a finding, and .exposure-suppressions.",
    ),
]
AcceptOption = Annotated[
    str | None,
    typer.Option(
        "--accept",
        metavar="PLACE",
        help="Accept what is found at PATH or PATH:LINE, or has this fingerprint, in .exposure-suppressions.",
        show_default=False,
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why it is accepted.", show_default=False)]
DurationOption = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long, such as 90d.", show_default=False)
]
InventoryOption = Annotated[
    bool,
    typer.Option("--inventory", help="Also find the exact values that the managers of [[inventory]] give now."),
]
RevealOption = Annotated[bool, typer.Option("--reveal", help="Show secrets unmasked; only on a terminal.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, max=256, help="Default: one a processor, at most four.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What was asked for, by the names of the command's options."""

    paths: list[str] | None
    form: ScanFormat
    also: list[str] | None
    rule: list[str] | None
    severity: Severity | None
    confidence: Confidence
    gitignore: bool
    git: bool
    history: bool
    staged: bool
    folder: Path
    since_last: bool
    actions: str | None
    since: str | None
    token: str | None
    base_url: str
    report: bool
    everything: bool
    skip_binary: bool
    archives: bool
    max_size: int | None
    max_unpacked: int
    baseline: Path | None
    write_baseline: Path | None
    suppressions: bool
    accept: str | None
    reason: str
    duration: str | None
    inventory: bool
    reveal: bool
    threads: int | None
    config: Path | None

    @property
    def other(self) -> str:
        """What is looked at in place of files."""
        return "--actions" if self.actions else "--git" if self.history else "--staged" if self.staged else ""

    @property
    def documents(self) -> list[tuple[ScanFormat, Path]]:
        return [_document(text) for text in self.also or ()]

    @property
    def accepts_all(self) -> bool:
        return self.write_baseline is not None or self.accept is not None


def _document(text: str) -> tuple[ScanFormat, Path]:
    name, _, path = text.partition("=")
    fail_if(
        name not in [form.value for form in ScanFormat if form.document] or not path,
        "--also: write FORM=FILE, with json, sarif or gitlab as FORM",
        2,
    )
    return ScanFormat(name), Path(path)
