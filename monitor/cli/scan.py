"""`monitor scan`: secrets in files, trees, archives and standard input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import (
    Confidence,
    ConfigOption,
    SeverityOption,
    at_least,
    command_app,
    complete_rules,
    fail,
    known_rule,
    printable,
    read_config,
    run_key,
    scan_config,
    started,
    sure,
    with_store,
)
from monitor.cli.scan_accept import books_at, books_in, wish
from monitor.cli.scan_session import ScanFormat, Session

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.clients.git import Git
    from monitor.config.config import Config
    from monitor.domain.model import Finding
    from monitor.scan.accepted import Book
    from monitor.scan.own import Own
    from monitor.store import Store

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
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…|-", help="Files and folders; `-` is standard input. With --git: ranges, such as main..topic."
        ),
    ] = None,
    form: Annotated[ScanFormat, typer.Option("--format", "-f", help="How to print the findings.")] = ScanFormat.text,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="FORM=FILE", help="Also write json, sarif or gitlab to a file; may be repeated."),
    ] = None,
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
    confidence: Annotated[Confidence, typer.Option(help="Only findings at least so certain.")] = "low",
    gitignore: Annotated[bool, typer.Option("--gitignore", help="Leave out what .gitignore names.")] = False,
    git: Annotated[bool, typer.Option("--git-folders", help="Also read .git folders.")] = False,
    history: Annotated[
        bool, typer.Option("--git", help="What the commits of this repository brought: all, or of ranges.")
    ] = False,
    staged: Annotated[
        bool, typer.Option("--staged", help="What the next commit would bring, and nothing else.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--repository", "-C", metavar="FOLDER", help="Of --git and --staged; default: this folder.")
    ] = Path(),
    since_last: Annotated[
        bool, typer.Option("--since-last", help="With --git: commits that came since this was last asked for.")
    ] = False,
    actions: Annotated[
        str | None,
        typer.Option(
            "--actions", metavar="OWNER/REPO", help="The logs of jobs of GitHub Actions there.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="DURATION", help="With --actions: of jobs that ended since.", show_default="30d"
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="REFERENCE",
            help="With --actions: env:NAME or file:PATH of the log-in.",
            show_default="env:GITHUB_TOKEN",
        ),
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="With --actions: GitHub Enterprise Server.")
    ] = "https://api.github.com",
    report: Annotated[
        bool, typer.Option("--report", help="With --git: record it as incidents, in the state of the configuration.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--generated", help="With --git: also lock files and minified ones.")
    ] = False,
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
        bool,
        typer.Option(
            "--suppressions/--no-suppressions",
            help="Honour comments that silence a finding, and .exposure-suppressions.",
        ),
    ] = True,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            metavar="PLACE",
            help="Accept what is found at PATH or PATH:LINE, or has this fingerprint, in .exposure-suppressions.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why it is accepted.", show_default=False)] = "",
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long, such as 90d.", show_default=False)
    ] = None,
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
    other = "--actions" if actions else "--git" if history else "--staged" if staged else ""
    _refuse_reveal(form, reveal=reveal)
    _refuse_together(
        other,
        {"--gitignore": gitignore, "--git-folders": git, "--max-size": max_size, "--threads": threads},
        {"--since": since, "--token": token},
        accept=accept is not None,
        report=report,
    )
    ended = None
    if actions:
        from monitor.cli.scan_actions import asked_for

        ended = asked_for(actions, paths or [], since=since, token=token, base_url=base_url, other=history or staged)
        paths = [actions]
    paths = paths or [] if ended else _places(paths or [], history=history, staged=staged, since_last=since_last)
    named = [] if other else paths
    unread = [path for path in named if path != "-" and not os.access(path, os.R_OK)]  # said when their turn comes
    documents = [_document(one) for one in also or ()]
    written = [path for _, path in documents] + ([write_baseline] if write_baseline is not None else [])
    _refuse_unwritable(written)
    repository = None
    if history or staged:
        from monitor.cli.scan_git import repository_at

        repository = repository_at(folder, hook=folder == Path())
    wanted = wish(accept, reason, duration, paths, repository)
    settings = _settings(config, inventory=inventory, report=report)
    engine = engine_of(settings)
    asked = frozenset(_known_rules(engine, rule or (), inventory=inventory))
    key = run_key(settings, lasting=inventory or report or baseline is not None or write_baseline is not None)
    session = Session(
        paths=paths,
        form=form,
        rules=asked,
        severities=frozenset(at_least(severity)),
        confidences=sure(confidence),
        known=_read_baseline(baseline, key),
        own={os.path.abspath(path) for path in (baseline, *written) if path is not None},
        keep=write_baseline is not None or report,
        also=documents,
    )
    from monitor.config.locate import default_state_dir, default_workers
    from monitor.scan.search import ScanOptions

    own = _own(engine, settings, key) if inventory and settings else None
    if own is not None:
        engine = own.engine
        for problem in own.problems:
            session.problem(own.source, problem)
    options = ScanOptions(
        key=key,
        context=form is ScanFormat.text or report,
        suppressions=suppressions,
        reveal=reveal,
        skip_binary=skip_binary,
        archives=archives,
        max_unpacked=max_unpacked,
        owners=own.owners if own else {},
        books=_books(paths, repository) if suppressions and ended is None else (),
        accepting=None if wanted is None else wanted.accepting,
    )
    session.over = sum(book.over for book in options.books)
    started()
    cursor = None
    try:
        if repository is not None:
            from monitor.cli.scan_git import run

            state = settings.state_dir if settings else default_state_dir()
            cursor = run(
                session,
                repository,
                engine,
                options,
                only_staged=staged,
                everything=everything,
                state=state if since_last else None,
                storing=report,
            )
        elif ended is not None:
            from monitor.cli.scan_actions import scan_logs

            scan_logs(session, ended, engine, options)
        else:
            threads = threads or (settings.workers if settings else default_workers())
            session.run(engine, options, threads, gitignore=gitignore, git=git, max_size=max_size)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # and the processes that search with it
    if write_baseline is not None:
        _write_baseline(write_baseline, key, (hit.finding for hit in session.all))
    if report and settings and repository is not None:
        from monitor.cli.scan_git import record

        record(session, repository, settings)
    if cursor is not None:
        from monitor.cli.scan_git import save

        accepted = write_baseline is not None or wanted is not None
        save(cursor, found=bool(session.shown) and not accepted, stored=report)
    if wanted is not None:
        wanted.write(session)
        raise typer.Exit(0)
    incomplete = unread or session.incomplete or (own and own.problems)
    raise typer.Exit(1 if session.shown and write_baseline is None else 2 if incomplete else 0)


def _refuse_reveal(form: ScanFormat, *, reveal: bool) -> None:
    if reveal and not sys.stdout.isatty():
        fail("--reveal shows secrets, so it works on a terminal only", 2)
    if reveal and form is not ScanFormat.text:
        fail("--reveal is for --format text", 2)


def _refuse_together(
    other: str, for_files: Mapping[str, object], for_logs: Mapping[str, object], *, accept: bool, report: bool
) -> None:
    """Options that make no sense together end the command with exit code 2. `other`: what else than files is looked
    at; of options for files and for logs what was given."""
    if other and (odd := [name for name, value in for_files.items() if value]):
        fail(f"{odd[0]} is for files, not for {other}", 2)
    if other == "--actions" and accept:
        fail("--accept is for files and commits, not for --actions", 2)
    if other != "--actions" and (odd := [name for name, value in for_logs.items() if value]):
        fail(f"{odd[0]} goes with --actions", 2)
    if report and other != "--git":
        fail("--report goes with --git", 2)


def _refuse_unwritable(paths: Iterable[Path]) -> None:
    for path in paths:
        if not os.access(path.parent, os.W_OK | os.X_OK):
            fail(f"{printable(str(path))}: its folder is not one that this user may write to", 2)


def _settings(config: Path | None, *, inventory: bool, report: bool) -> Config | None:
    """What the scan goes by. None: there is no configuration."""
    settings = read_config(config, foreign=True) if inventory or report else scan_config(config)
    if report and settings:
        with_store(settings, _nothing)  # a state that is not there is reported before the scan begins
    if inventory and not (settings and settings.inventory):
        fail(_NO_INVENTORY, 2)
    return settings


def _document(text: str) -> tuple[ScanFormat, Path]:
    name, _, path = text.partition("=")
    if name not in [form.value for form in ScanFormat if form.document] or not path:
        fail("--also: write FORM=FILE, with json, sarif or gitlab as FORM", 2)
    return ScanFormat(name), Path(path)


def _places(paths: list[str], *, history: bool, staged: bool, since_last: bool) -> list[str]:
    """What is to be scanned, once it is known to make sense; what does not ends the command with exit code 2."""
    if since_last and not history:
        fail("--since-last goes with --git", 2)
    if since_last and paths:
        fail("--since-last takes no range: it is about all that came since", 2)
    if history and staged:
        fail("--git and --staged: one of them", 2)
    if staged and paths:
        fail("--staged takes no path: it is about the repository of the current folder", 2)
    if history or staged:
        return paths
    if not paths:
        fail("name what to scan: files, folders, or `-` for standard input", 2)
    if "-" in paths and len(paths) > 1:
        fail("`-` (standard input) goes alone", 2)
    if not any(path == "-" or os.path.lexists(path) for path in paths):
        fail(f"{printable(paths[0])}: there is no such file or folder", 2)
    return paths


async def _nothing(_store: Store) -> None:
    pass


def _books(paths: list[str], repository: Git | None) -> list[Book]:
    return books_at(paths) if repository is None else books_in(repository)


def engine_of(settings: Config | None) -> Engine:
    from detectors.match.engine import Engine

    if settings is None:
        from detectors.rules.load import load_rules
        from monitor.config.locate import default_state_dir

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
