"""One run of `monitor scan`: what passes its filters is printed as it comes, the rest is counted."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.common import fail, json_text, printable
from monitor.cli.scan_lines import annotation, as_dict, print_annotation, print_json, print_text
from monitor.domain.model import Finding
from monitor.scan.walk import FileEntry, walk

if TYPE_CHECKING:
    from detectors.match.engine import Engine, Worker
    from monitor.scan.accepted import AcceptedEntry as Accepted
    from monitor.scan.run import ScanOutcome
    from monitor.scan.search import Hit, ScanOptions

__all__ = ["ScanFormat", "Session"]


class ScanFormat(StrEnum):
    """`text` for people, `json` for one document, `jsonl` for one object a line, `sarif` for code hosts and editors,
    `github` for annotations on GitHub Actions, `gitlab` for GitLab's report of secret detection."""

    text = "text"
    json = "json"
    jsonl = "jsonl"
    sarif = "sarif"
    github = "github"
    gitlab = "gitlab"

    @property
    def document(self) -> bool:
        """Whether it is written as a whole at the end."""
        return self in (ScanFormat.json, ScanFormat.sarif, ScanFormat.gitlab)


class Session:
    """One run of the command: what passes the filters is printed as it comes, the rest is counted."""

    def __init__(
        self,
        *,
        paths: list[str],
        form: ScanFormat,
        rules: frozenset[str],
        severities: frozenset[str],
        confidences: frozenset[str],
        known: frozenset[str],
        own: set[str],
        keep: bool,
        also: Sequence[tuple[ScanFormat, Path]] = (),
    ) -> None:
        """`own`: files that are ours and no part of the tree: baselines, full of digests. `also`: documents that are
        written beside what is printed."""
        self.paths, self.form, self.own, self.also = paths, form, own, also
        self.keep = keep or form.document or bool(also)
        self.began = time.time()
        self.rules, self.severities, self.confidences, self.known = rules, severities, confidences, known
        self.all: list[Hit] = []  # only for what is written at the end: a document, a baseline
        self.honour = True  # what a file of the repository accepts
        self.entries: list[Accepted] = []  # of what is to be accepted from now on
        self.by_file = self.over = 0  # `over`: entries of that file whose time is
        self.shown = self.suppressed = self.accepted = self.files = self.size = 0
        self.problems: list[tuple[str, str]] = []
        self.incomplete = False  # of a path that was named there is more than could be read
        self.skipped = 0
        self.unit = "file"
        self.quiet = False  # of nothing found nothing is said
        self.first: Finding | None = None  # that was shown
        self.notes: list[str] = []  # for the summary
        self.redact: Callable[[str], str] = str

    def run(
        self, engine: Engine, options: ScanOptions, threads: int, *, gitignore: bool, git: bool, max_size: int | None
    ) -> None:

        from monitor.scan.run import scan as scan_all
        from monitor.scan.run import scan_stream

        self.begin(engine.worker())
        if self.paths == ["-"]:
            if sys.stdin.isatty():
                typer.echo("Reading from the terminal; end with Ctrl-D.", err=True)
            _widen_pipe()
            for outcome in scan_stream("-", _Input(), engine, options):
                self.take(outcome)
        else:
            entries = walk(
                self.paths, self.problem, gitignore=gitignore, git=git, max_size=max_size, skipped=self._skip
            )
            if self.own:
                entries = (entry for entry in entries if os.path.abspath(entry.path) not in self.own)
            with _Progress() as progress:
                for outcome in scan_all(progress.listed(entries), engine, options, threads):
                    self.take(outcome, progress)
        self.finish()

    def begin(self, worker: Worker) -> None:
        """`worker`: of this thread, where problems are told."""
        from monitor.scanning.redact import Redactor

        self.redact = Redactor(worker)

    def problem(self, path: str, message: str) -> None:
        self.incomplete |= any(path == named or path.startswith(f"{named}!") for named in self.paths)
        path, message = self.redact(path), self.redact(message)
        self.problems.append((path, message))
        text = f"{path}: {message}"
        typer.echo(annotation("warning", text) if self.form is ScanFormat.github else printable(text), err=True)

    def _skip(self, _path: str) -> None:
        self.skipped += 1

    def take(self, outcome: ScanOutcome, progress: _Progress | None = None) -> None:
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
            if hit.entry is not None:
                self.entries.append(hit.entry)
                continue
            if hit.finding.fingerprint in self.known:
                self.accepted += 1
                continue
            self.shown += 1
            self.first = self.first or hit.finding
            if self.form is ScanFormat.text:
                print_text(hit)
            elif self.form is ScanFormat.jsonl:
                print_json(hit)
            elif self.form is ScanFormat.github:
                print_annotation(hit)
        if hits and not self.form.document:
            sys.stdout.flush()
        if progress is not None:
            progress.resume()

    def _wanted(self, hit: Hit) -> bool:
        finding = hit.finding
        if self.rules and finding.rule not in self.rules:
            return False
        if finding.severity not in self.severities or finding.confidence not in self.confidences:
            return False
        if self.honour and hit.accepted and hit.entry is None:
            self.by_file += 1
            return False
        self.suppressed += hit.suppressed
        return not hit.suppressed

    @property
    def new(self) -> list[Hit]:
        """Of those that are kept."""
        return [hit for hit in self.all if hit.entry is None and hit.finding.fingerprint not in self.known]

    def finish(self) -> None:
        if self.form.document:
            typer.echo(self._document(self.form))
        spoken = self.form in (ScanFormat.text, ScanFormat.github)
        if self.problems or self.notes or (spoken and (self.shown or not self.quiet)):
            typer.echo(self._summary(), err=True)
        for form, path in self.also:
            try:
                path.write_text(self._document(form) + "\n", encoding="utf-8")
            except OSError as error:
                fail(printable(f"{path}: {error.strerror or 'cannot be written'}, so nobody gets this report"), 2)

    def _document(self, form: ScanFormat) -> str:
        from monitor import __version__

        made: Any
        if form is ScanFormat.json:
            made = [as_dict(hit) for hit in self.new]
        elif form is ScanFormat.sarif:
            from monitor.scan import sarif

            made = sarif.document(self.new, self.problems, __version__)
        else:
            from monitor.scan import gitlab

            made = gitlab.document(self.new, self.problems, __version__, self.began, time.time())
        return json_text(made, indent=True)

    def _summary(self) -> str:
        def count(number: int, what: str) -> str:
            return f"{number:,} {what}{'' if number == 1 else 's'}"

        parts = (
            (True, f"{count(self.shown, 'finding')} in {count(self.files, self.unit)}"),
            (self.accepted, f"{self.accepted} in the baseline"),
            (self.by_file, f"{self.by_file} accepted in .exposure-suppressions"),
            (self.over and self.shown, f"{self.over} of .exposure-suppressions are over"),
            (self.suppressed, f"{self.suppressed} silenced by comments"),
            (self.skipped, f"{count(self.skipped, 'file')} left out"),
            *((True, note) for note in self.notes),
            (self.problems, f"{len(self.problems)} could not be read (in full)"),
        )
        return ", ".join(text for holds, text in parts if holds)


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

    def listed(self, entries: Iterator[FileEntry]) -> Iterable[FileEntry]:
        """The tree is listed first when there is a bar, as it needs a total."""
        if not self._wanted:
            return entries
        whole = list(entries)
        total = sum(entry.size or 0 for entry in whole)
        if total >= 64 << 20 or len(whole) > 2000:
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
        return whole

    def advance(self, outcome: ScanOutcome, *, talk: bool) -> None:
        """`talk`: something is about to be printed where the bar stands."""
        if self._bar is not None:
            self._bar.advance(self._task, outcome.size)
            if talk:
                self._bar.stop()

    def resume(self) -> None:
        if self._bar is not None:
            self._bar.start()
