"""`monitor scan`: secrets in files, trees, archives and standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from monitor.cli import scan_options as opt
from monitor.cli.common import (
    ConfigOption,
    SeverityOption,
    at_least,
    command_app,
    fail,
    fail_if,
    known_rule,
    nothing,
    printable,
    read_config,
    run_key,
    scan_config,
    started,
    sure,
    usage,
    with_store,
)
from monitor.cli.scan_accept import books_at, books_in, wish
from monitor.cli.scan_options import ScanRequest
from monitor.cli.scan_session import ScanFormat, Session
from monitor.config.locate import default_state_dir, default_workers
from monitor.scan.baseline import BaselineError, read, write

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.cli.scan_actions import Asked
    from monitor.clients.git import Git
    from monitor.config.config import Config
    from monitor.domain.model import Finding
    from monitor.scan.accepted import Book
    from monitor.scan.cursor import Cursor
    from monitor.scan.own import Own
    from monitor.scan.search import ScanOptions

app = command_app()

EX_CONFIG = 78
_NO_INVENTORY = (
    "--inventory: there is no [[inventory]] in the configuration (name it with --config); "
    "docs/inventory.md says how to write one"
)
_EPILOG = """Examples:

monitor scan . --gitignore --baseline .secrets-baseline.json

journalctl -o cat | monitor scan --format jsonl -

monitor scan /srv/backup.tar.gz --severity high --format sarif > findings.sarif

monitor scan --actions acme/web --since 30d
"""


@app.command(
    epilog=_EPILOG,
    help="Find secrets in files, folders, archives and standard input (`-`).\n\n"
    "Secrets are shown masked. Folders are read whole, except for `.git` and symbolic links; zip, tar, gz, bz2, xz and "
    "zstd are opened, also inside each other. Comments that silence gitleaks, betterleaks, TruffleHog, Kingfisher, "
    "detect-secrets or secretlint are honoured. Exit code 1 with findings, 0 without.",
)
def scan(
    paths: opt.PathsArgument = None,
    form: opt.FormOption = ScanFormat.text,
    also: opt.AlsoOption = None,
    rule: opt.RuleOption = None,
    severity: SeverityOption = None,
    confidence: opt.ConfidenceOption = "low",
    gitignore: opt.GitignoreOption = False,
    git: opt.GitOption = False,
    history: opt.HistoryOption = False,
    staged: opt.StagedOption = False,
    folder: opt.FolderOption = Path(),
    since_last: opt.SinceLastOption = False,
    actions: opt.ActionsOption = None,
    since: opt.SinceOption = None,
    token: opt.TokenOption = None,
    base_url: opt.BaseUrlOption = "https://api.github.com",
    report: opt.ReportOption = False,
    everything: opt.EverythingOption = False,
    skip_binary: opt.SkipBinaryOption = False,
    archives: opt.ArchivesOption = True,
    max_size: opt.MaxSizeOption = None,
    max_unpacked: opt.MaxUnpackedOption = 4 << 30,
    baseline: opt.BaselineOption = None,
    write_baseline: opt.WriteBaselineOption = None,
    suppressions: opt.SuppressionsOption = True,
    accept: opt.AcceptOption = None,
    reason: opt.ReasonOption = "",
    duration: opt.DurationOption = None,
    inventory: opt.InventoryOption = False,
    reveal: opt.RevealOption = False,
    threads: opt.ThreadsOption = None,
    config: ConfigOption = None,
) -> None:
    run_scan(ScanRequest(**locals()))


def run_scan(asked: ScanRequest) -> NoReturn:
    """Ends the command with 1 where something was found, 2 where not everything could be read."""
    _refuse_together(asked)
    ended = _ended_jobs(asked)
    paths = [asked.actions] if asked.actions else _places(asked)
    unread = [] if asked.other else [path for path in paths if path != "-" and not os.access(path, os.R_OK)]
    _refuse_unwritable(written := [*(path for _, path in asked.documents), *filter(None, [asked.write_baseline])])
    repository = _repository(asked)
    wanted = wish(asked.accept, asked.reason, asked.duration, paths, repository)
    settings = _settings(asked)
    engine = engine_of(settings)
    lasting = asked.inventory or asked.report or asked.baseline is not None or asked.write_baseline is not None
    key = run_key(settings, lasting=lasting)
    session = _session(asked, paths, written, engine, key)
    own = _own(engine, settings, key) if asked.inventory and settings else None
    if own is not None:
        engine = own.engine
        for problem in own.problems:
            session.problem(own.source, problem)
    books: list[Book] = []
    if asked.suppressions and ended is None:
        books = books_at(paths) if repository is None else books_in(repository)
    options = _options(
        asked,
        key,
        owners=own.owners if own else {},
        books=books,
        accepting=None if wanted is None else wanted.accepting,
    )
    session.over = sum(book.over for book in options.books)
    started()
    try:
        cursor = _search(asked, session, engine, options, settings, ended, repository)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # and the processes that search with it
    _store(asked, session, settings, repository, cursor, key)
    if wanted is not None:
        wanted.write(session)
        raise typer.Exit(0)
    incomplete = unread or session.incomplete or (own and own.problems)
    raise typer.Exit(1 if session.shown and asked.write_baseline is None else 2 if incomplete else 0)


def _ended_jobs(asked: ScanRequest) -> Asked | None:
    """Of --actions: whose logs are scanned."""
    if not asked.actions:
        return None
    from monitor.cli.scan_actions import asked_for

    other = asked.history or asked.staged
    return asked_for(
        asked.actions, asked.paths or [], since=asked.since, token=asked.token, base_url=asked.base_url, other=other
    )


def _repository(asked: ScanRequest) -> Git | None:
    if not asked.history and not asked.staged:
        return None
    from monitor.cli.scan_git import repository_at

    return repository_at(asked.folder, hook=asked.folder == Path())


def _session(asked: ScanRequest, paths: list[str], written: list[Path], engine: Engine, key: bytes) -> Session:
    return Session(
        paths=paths,
        form=asked.form,
        rules=frozenset(_known_rules(engine, asked.rule or (), inventory=asked.inventory)),
        severities=frozenset(at_least(asked.severity)),
        confidences=sure(asked.confidence),
        known=_read_baseline(asked.baseline, key),
        own={os.path.abspath(path) for path in (asked.baseline, *written) if path is not None},
        keep=asked.write_baseline is not None or asked.report,
        also=asked.documents,
    )


def _options(asked: ScanRequest, key: bytes, **more: Any) -> ScanOptions:

    from monitor.scan.search import ScanOptions

    return ScanOptions(
        key=key,
        context=asked.form is ScanFormat.text or asked.report,
        suppressions=asked.suppressions,
        reveal=asked.reveal,
        skip_binary=asked.skip_binary,
        archives=asked.archives,
        max_unpacked=asked.max_unpacked,
        **more,
    )


def _search(
    asked: ScanRequest,
    session: Session,
    engine: Engine,
    options: ScanOptions,
    settings: Config | None,
    ended: Asked | None,
    repository: Git | None,
) -> Cursor | None:
    """Of a repository what its next --since-last goes by."""

    if ended is not None:
        from monitor.cli.scan_actions import scan_logs

        scan_logs(session, ended, engine, options)
        return None
    if repository is None:
        threads = asked.threads or (settings.workers if settings else default_workers())
        session.run(engine, options, threads, gitignore=asked.gitignore, git=asked.git, max_size=asked.max_size)
        return None
    from monitor.cli.scan_git import run

    state = settings.state_dir if settings else default_state_dir()
    return run(
        session,
        repository,
        engine,
        options,
        only_staged=asked.staged,
        everything=asked.everything,
        state=state if asked.since_last else None,
        storing=asked.report,
    )


def _store(
    asked: ScanRequest,
    session: Session,
    settings: Config | None,
    repository: Git | None,
    cursor: Cursor | None,
    key: bytes,
) -> None:
    """The findings, as far as that was asked for; then up to where commits were looked at."""
    if asked.write_baseline is not None:
        _write_baseline(asked.write_baseline, key, (hit.finding for hit in session.all))
    if repository is None:
        return
    from monitor.cli.scan_git import record, save

    if asked.report and settings:
        record(session, repository, settings)
    if cursor is not None:
        save(cursor, found=bool(session.shown) and not asked.accepts_all, stored=asked.report)


def _refuse_together(asked: ScanRequest) -> None:
    """Options that make no sense together end the command with exit code 2."""
    for_files = {
        "--gitignore": asked.gitignore,
        "--git-folders": asked.git,
        "--max-size": asked.max_size,
        "--threads": asked.threads,
    }
    for_logs = {"--since": asked.since, "--token": asked.token}
    usage(
        (asked.reveal and not sys.stdout.isatty(), "--reveal shows secrets, so it works on a terminal only"),
        (asked.reveal and asked.form is not ScanFormat.text, "--reveal is for --format text"),
        *((asked.other and value, f"{name} is for files, not for {asked.other}") for name, value in for_files.items()),
        (asked.actions and asked.accept is not None, "--accept is for files and commits, not for --actions"),
        *((value and not asked.actions, f"{name} goes with --actions") for name, value in for_logs.items()),
        (asked.report and asked.other != "--git", "--report goes with --git"),
    )


def _refuse_unwritable(paths: Iterable[Path]) -> None:
    for path in paths:
        fail_if(
            not os.access(path.parent, os.W_OK | os.X_OK),
            f"{printable(str(path))}: its folder is not one that this user may write to",
            2,
        )


def _settings(asked: ScanRequest) -> Config | None:
    """What the scan goes by. None: there is no configuration."""
    whole = asked.inventory or asked.report
    settings = read_config(asked.config, foreign=True) if whole else scan_config(asked.config)
    if asked.report and settings:
        with_store(settings, nothing)  # a state that is not there is reported before the scan begins
    fail_if(asked.inventory and not (settings and settings.inventory), _NO_INVENTORY, 2)
    return settings


def _places(asked: ScanRequest) -> list[str]:
    """What is to be scanned, once it is known to make sense; what does not ends the command with exit code 2."""
    paths = asked.paths or []
    usage(
        (asked.since_last and not asked.history, "--since-last goes with --git"),
        (asked.since_last and paths, "--since-last takes no range: it is about all that came since"),
        (asked.history and asked.staged, "--git and --staged: one of them"),
        (asked.staged and paths, "--staged takes no path: it is about the repository of the current folder"),
    )
    if asked.history or asked.staged:
        return paths
    usage(
        (not paths, "name what to scan: files, folders, or `-` for standard input"),
        ("-" in paths and len(paths) > 1, "`-` (standard input) goes alone"),
    )
    if not any(path == "-" or os.path.lexists(path) for path in paths):
        fail(f"{printable(paths[0])}: there is no such file or folder", 2)
    return paths


def engine_of(settings: Config | None) -> Engine:

    from detectors.match.engine import Engine

    if settings is None:
        from detectors.rules.load import load_rules

        cache = default_state_dir() / "cache"
        return Engine.build(load_rules(cache_dir=cache), cache)
    from monitor.site import read_rules, rule_errors

    with rule_errors(settings):
        return Engine.build(read_rules(settings), settings.state_dir / "cache")


def _own(engine: Engine, settings: Config, key: bytes) -> Own:
    import asyncio

    from monitor.scan.own import own

    assert settings.path is not None  # an inventory comes from a file
    return asyncio.run(own(engine, settings.path, settings.inventory, key))


def _known_rules(engine: Engine, wanted: Iterable[str], *, inventory: bool) -> Iterable[str]:
    from detectors.match.exact import OWN

    known = {rule.id for rule in engine.rules} | ({OWN.id} if inventory else set())
    return [known_rule(rule_id, known) for rule_id in wanted]


def _read_baseline(path: Path | None, key: bytes) -> frozenset[str]:

    if path is None:
        return frozenset()
    try:
        return read(path, key)
    except BaselineError as error:
        fail(str(error), EX_CONFIG)


def _write_baseline(path: Path, key: bytes, found: Iterable[Finding]) -> None:

    try:
        count = write(path, key, found)
    except BaselineError as error:
        fail(str(error), 2)
    typer.echo(f"{path}: {count} secret{'' if count == 1 else 's'} accepted", err=True)
