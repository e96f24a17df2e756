"""`monitor scan`: secrets in files, trees, archives and standard input."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    SeverityOption,
    at_least,
    command_app,
    complete_rules,
    fail,
    json_text,
    known_rule,
    paint,
    printable,
    read_config,
    run_key,
    severity_colour,
    started,
)

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.config import Config
    from monitor.model import Finding
    from monitor.scan.own import Own
    from monitor.scan.run import Options, Outcome
    from monitor.scan.search import Hit
    from monitor.scan.walk import Entry

app = command_app()

CONFIDENCES = ("low", "medium", "high")
EX_CONFIG = 78
_NO_INVENTORY = (
    "--inventory: there is no [[inventory]] in the configuration (name it with --config); "
    "docs/inventory.md says how to write one"
)
_EPILOG = """Examples:

monitor scan . --gitignore --baseline .secrets-baseline.json

journalctl -o cat | monitor scan --format jsonl -

monitor scan /srv/backup.tar.gz --severity high --format sarif > findings.sarif
"""


class Form(StrEnum):
    """`text` for people, `json` for one document, `jsonl` for one object a line, `sarif` for code hosts and editors."""

    text = "text"
    json = "json"
    jsonl = "jsonl"
    sarif = "sarif"


class Confidence(StrEnum):
    low = "low"
    medium = "medium"
    high = "high"


def size(text: str | int) -> int:
    """`10M`, `512 KiB`, `1GB` → bytes (powers of 1024). Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d{1,12})\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter("write a size such as 512K, 10M or 2G")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


@app.command(
    epilog=_EPILOG,
    help="Find secrets in files, folders, archives and standard input (`-`).\n\n"
    "Secrets are shown masked. Folders are read whole, except for `.git` and symbolic links; zip, tar, gz, bz2, xz and "
    "zstd are opened, also inside each other. Comments that silence gitleaks, betterleaks, TruffleHog, Kingfisher, "
    "detect-secrets or secretlint are honoured. Exit code 1 with findings, 0 without.",
)
def scan(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…|-", help="Files and folders; `-` is standard input.")],
    form: Annotated[Form, typer.Option("--format", "-f", help="How to print the findings.")] = Form.text,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            help="Only findings of this rule; may be repeated.",
            autocompletion=complete_rules,
            show_default=False,
        ),
    ] = None,
    severity: SeverityOption = None,
    confidence: Annotated[Confidence, typer.Option(help="Only findings at least so certain.")] = Confidence.low,
    gitignore: Annotated[bool, typer.Option("--gitignore", help="Leave out what .gitignore names.")] = False,
    git: Annotated[bool, typer.Option("--git-folders", help="Also read .git folders.")] = False,
    skip_binary: Annotated[bool, typer.Option("--skip-binary", help="Leave out binary files.")] = False,
    archives: Annotated[bool, typer.Option("--archives/--no-archives", help="Look into archives.")] = True,
    max_size: Annotated[
        int | None,
        typer.Option(parser=size, metavar="SIZE", help="Leave out larger files, such as 10M.", show_default=False),
    ] = None,
    max_unpacked: Annotated[
        int,
        typer.Option(parser=size, metavar="SIZE", help="Unpack no more than this of one archive.", show_default="4G"),
    ] = 4 << 30,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Leave out secrets that this baseline knows.", show_default=False),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accept all that is found: write it to this baseline.", show_default=False),
    ] = None,
    suppressions: Annotated[
        bool, typer.Option("--suppressions/--no-suppressions", help="Honour comments that silence a finding.")
    ] = True,
    inventory: Annotated[
        bool,
        typer.Option("--inventory", help="Also find the exact values that the managers of [[inventory]] give now."),
    ] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secrets unmasked; only on a terminal.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Default: one a processor, at most four.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    if reveal and not sys.stdout.isatty():
        fail("--reveal shows secrets, so it works on a terminal only", 2)
    if reveal and form is not Form.text:
        fail("--reveal is for --format text", 2)
    if "-" in paths and len(paths) > 1:
        fail("`-` (standard input) goes alone", 2)
    if not any(path == "-" or os.path.lexists(path) for path in paths):
        fail(f"{printable(paths[0])}: there is no such file or folder", 2)
    unread = [path for path in paths if path != "-" and not os.access(path, os.R_OK)]  # said when their turn comes
    if write_baseline is not None and not os.access(write_baseline.parent, os.W_OK | os.X_OK):
        fail(f"{printable(str(write_baseline))}: its folder is not one that this user may write to", 2)
    settings = read_config(config, rules_only=not inventory, foreign=inventory)
    if inventory and not settings.inventory:
        fail(_NO_INVENTORY, 2)
    engine = _engine(settings)
    asked = frozenset(_known_rules(engine, rule or (), inventory=inventory))
    key = run_key(settings, lasting=inventory or baseline is not None or write_baseline is not None)
    session = _Session(
        paths=paths,
        form=form,
        rules=asked,
        severities=frozenset(at_least(severity)),
        confidences=frozenset(CONFIDENCES[CONFIDENCES.index(confidence) :]),
        known=_read_baseline(baseline, key),
        own={os.path.abspath(path) for path in (baseline, write_baseline) if path is not None},
        keep=write_baseline is not None or form in (Form.json, Form.sarif),
    )
    from monitor.scan.run import Options

    own = _own(engine, settings, key) if inventory else None
    for problem in own.problems if own else ():
        session.problem(str(settings.path), problem)
    engine = own.engine if own else engine
    options = Options(
        key=key,
        context=form is Form.text,
        suppressions=suppressions,
        reveal=reveal,
        skip_binary=skip_binary,
        archives=archives,
        max_unpacked=max_unpacked,
        owners=own.owners if own else {},
    )
    started()
    try:
        session.run(engine, options, threads or settings.workers, gitignore=gitignore, git=git, max_size=max_size)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # and the processes that search with it
    if write_baseline is not None:
        _write_baseline(write_baseline, key, (hit.finding for hit in session.all))
    incomplete = unread or session.incomplete or (own and own.problems)
    raise typer.Exit(1 if session.shown and write_baseline is None else 2 if incomplete else 0)


def _engine(settings: Config) -> Engine:
    from detectors.match.engine import Engine
    from monitor.site import read_rules, rule_errors

    with rule_errors(settings):
        return Engine.build(read_rules(settings), settings.state_dir / "cache")


def _own(engine: Engine, settings: Config, key: bytes) -> Own:
    import asyncio

    from monitor.scan.own import own

    assert settings.path is not None  # an inventory comes from a file
    return asyncio.run(own(engine, settings.path.parent, settings.inventory, key))


def _known_rules(engine: Engine, wanted: Iterable[str], *, inventory: bool) -> Iterable[str]:
    from detectors.match.exact import OWN

    known = {rule.id for rule in engine.rules} | ({OWN.id} if inventory else set())
    return [known_rule(rule_id, known) for rule_id in wanted]


def _read_baseline(path: Path | None, key: bytes) -> frozenset[str]:
    from monitor.scan.baseline import BaselineError, read

    if path is None:
        return frozenset()
    try:
        return read(path, key)
    except BaselineError as error:
        fail(str(error), EX_CONFIG)


def _write_baseline(path: Path, key: bytes, found: Iterable[Finding]) -> None:
    from monitor.scan.baseline import BaselineError, write

    try:
        count = write(path, key, found)
    except BaselineError as error:
        fail(str(error), 2)
    typer.echo(f"{path}: {count} secret{'' if count == 1 else 's'} accepted", err=True)


class _Session:
    """One run of the command: what passes the filters is printed as it comes, the rest is counted."""

    def __init__(
        self,
        *,
        paths: list[str],
        form: Form,
        rules: frozenset[str],
        severities: frozenset[str],
        confidences: frozenset[str],
        known: frozenset[str],
        own: set[str],
        keep: bool,
    ) -> None:
        """`own`: files that are ours and no part of the tree: baselines, full of digests."""
        self.paths, self.form, self.keep, self.own = paths, form, keep, own
        self.rules, self.severities, self.confidences, self.known = rules, severities, confidences, known
        self.all: list[Hit] = []  # only for what is written at the end: a document, a baseline
        self.shown = self.suppressed = self.accepted = self.files = self.size = 0
        self.problems: list[tuple[str, str]] = []
        self.incomplete = False  # of a path that was named there is more than could be read
        self.skipped = 0
        self._scrub: Callable[[str], str] = str

    def run(
        self, engine: Engine, options: Options, threads: int, *, gitignore: bool, git: bool, max_size: int | None
    ) -> None:
        from monitor.scan.run import scan as scan_all
        from monitor.scan.run import scan_stream
        from monitor.scan.walk import walk
        from monitor.scrub import Scrubber

        self._scrub = Scrubber(engine.worker())  # of this thread, where problems are told
        if self.paths == ["-"]:
            if sys.stdin.isatty():
                typer.echo("Reading from the terminal; end with Ctrl-D.", err=True)
            _widen_pipe()
            for outcome in scan_stream("-", _Input(), engine, options):
                self._take(outcome)
        else:
            entries = walk(
                self.paths, self.problem, gitignore=gitignore, git=git, max_size=max_size, skipped=self._skip
            )
            if self.own:
                entries = (entry for entry in entries if os.path.abspath(entry.path) not in self.own)
            with _Progress() as progress:
                for outcome in scan_all(progress.listed(entries), engine, options, threads):
                    self._take(outcome, progress)
        self._finish()

    def problem(self, path: str, message: str) -> None:
        self.incomplete |= any(path == named or path.startswith(f"{named}!") for named in self.paths)
        path, message = self._scrub(path), self._scrub(message)
        self.problems.append((path, message))
        typer.echo(f"{printable(path)}: {message}", err=True)

    def _skip(self, _path: str) -> None:
        self.skipped += 1

    def _take(self, outcome: Outcome, progress: _Progress | None = None) -> None:
        hits = [hit for hit in outcome.hits if self._wanted(hit)]
        if progress is not None:
            progress.advance(outcome, talk=bool(hits or outcome.problems))
        for problem in outcome.problems:
            self.problem(*problem)
        self.files += outcome.files
        self.size += outcome.size
        self.skipped += len(outcome.skipped)
        for hit in hits:
            if self.keep:
                self.all.append(hit)
            if hit.finding.fingerprint in self.known:
                self.accepted += 1
                continue
            self.shown += 1
            if self.form is Form.text:
                _print_text(hit)
            elif self.form is Form.jsonl:
                _print_json(hit.finding)
        if hits and self.form in (Form.text, Form.jsonl):
            sys.stdout.flush()
        if progress is not None:
            progress.resume()

    def _wanted(self, hit: Hit) -> bool:
        finding = hit.finding
        if self.rules and finding.rule not in self.rules:
            return False
        if finding.severity not in self.severities or finding.confidence not in self.confidences:
            return False
        self.suppressed += hit.suppressed
        return not hit.suppressed

    def _finish(self) -> None:
        new = [hit for hit in self.all if hit.finding.fingerprint not in self.known]
        if self.form is Form.json:
            typer.echo(json_text([_as_dict(hit.finding) for hit in new], indent=True))
        elif self.form is Form.sarif:
            from monitor import __version__
            from monitor.scan.sarif import document

            typer.echo(json_text(document(new, self.problems, __version__), indent=True))
        if self.form is Form.text or self.problems:
            typer.echo(self._summary(), err=True)

    def _summary(self) -> str:
        def count(number: int, what: str) -> str:
            return f"{number:,} {what}{'' if number == 1 else 's'}"

        parts = [f"{count(self.shown, 'finding')} in {count(self.files, 'file')}"]
        if self.accepted:
            parts.append(f"{self.accepted} in the baseline")
        if self.suppressed:
            parts.append(f"{self.suppressed} silenced by comments")
        if self.skipped:
            parts.append(f"{count(self.skipped, 'file')} left out")
        if self.problems:
            parts.append(f"{len(self.problems)} could not be read (in full)")
        return ", ".join(parts)


def _as_dict(finding: Finding) -> dict[str, Any]:
    from monitor.common.text import clean

    return {
        "path": clean(finding.path),
        "line": finding.line,
        "column": finding.column,
        "rule": finding.rule,
        "severity": finding.severity,
        "fingerprint": finding.fingerprint,
        "masked": finding.masked,
        "name": finding.name,
        "confidence": finding.confidence,
        "decode": list(finding.decode),
        "labels": {key: clean(value) for key, value in finding.labels.items()},
    }


def _print_json(finding: Finding) -> None:
    sys.stdout.write(json_text(_as_dict(finding)) + "\n")


def _print_text(hit: Hit) -> None:
    finding = hit.finding
    colour = severity_colour(finding.severity)
    where = paint(f"{printable(finding.path)}:{finding.line}:{finding.column}", bold=True)
    shown = printable(finding.masked if hit.revealed is None else hit.revealed)
    facts = [f"{finding.confidence} confidence"] if finding.confidence != "high" else []
    facts += [f"inside {' in '.join(reversed(finding.decode))}"] if finding.decode else []
    facts += [f"{key}={value}" for key, value in finding.labels.items() if key != "hashed_token"]
    tail = paint(f" ({printable(', '.join(facts))})", dim=True) if facts else ""
    what = f"{printable(finding.name)} [{finding.rule}]"
    sys.stdout.write(f"{where}: {paint(finding.severity, colour, bold=True)}: {what} {shown}{tail}\n")
    if finding.context is not None:
        before, there, after = finding.context.partition(finding.masked)
        sys.stdout.write(f"    {before}{paint(shown, colour, bold=True) if there else ''}{after}\n")


class _Input(io.RawIOBase):
    """Standard input as it comes: a live pipe is searched line by line, a file in large blocks."""

    def read(self, size: int = -1) -> bytes:
        return os.read(0, size if size > 0 else 1 << 20)


def _widen_pipe() -> None:
    import contextlib
    import fcntl

    with contextlib.suppress(OSError, AttributeError):  # not a pipe, or not Linux
        fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, 1 << 20)


class _Progress:
    """A bar on standard error, on a terminal only, and only when there is something to wait for."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._wanted = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def listed(self, entries: Iterator[Entry]) -> Iterable[Entry]:
        """The tree is listed first when there is a bar, as it needs a total."""
        if not self._wanted:
            return entries
        found = list(entries)
        total = sum(entry.size or 0 for entry in found)
        if total >= 64 << 20 or len(found) > 2000:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            self._bar = Progress(
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("scan", total=total)
            self._bar.start()
        return found

    def advance(self, outcome: Outcome, *, talk: bool) -> None:
        """`talk`: something is about to be printed where the bar stands."""
        if self._bar is not None:
            self._bar.advance(self._task, outcome.size)
            if talk:
                self._bar.stop()

    def resume(self) -> None:
        if self._bar is not None:
            self._bar.start()
