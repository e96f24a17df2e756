"""`monitor scan --git` and `--staged`: what commits brought, or the next one would bring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from monitor.cli.common import fail, printable, with_store
from monitor.clients.git import Git, GitError

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.cli.scan_session import Session
    from monitor.config.config import Config
    from monitor.scan.commits import CommitSearch
    from monitor.scan.cursor import Cursor
    from monitor.scan.history import Range
    from monitor.scan.search import Hit, ScanOptions
    from monitor.store import Store

__all__ = ["commits", "kinds", "record", "repository_at", "run", "save", "staged"]


_AT_ONCE = 1000  # findings in one transaction


def repository_at(folder: Path = Path(), *, hook: bool = False) -> Git:
    """That of the folder; ends the command with exit code 2 where git does not say."""

    try:
        git = Git(folder, hook=hook)
        git.check_version()
    except GitError as error:
        from monitor.common.text import veiled

        what = "; run this inside of one" if "not a git repository" in str(error) else ""
        fail(printable(veiled(f"{error}{what}")), 2)
    return git


def run(
    session: Session,
    git: Git,
    engine: Engine,
    options: ScanOptions,
    *,
    only_staged: bool,
    everything: bool,
    state: Path | None,
    storing: bool,
) -> Cursor | None:
    """What the options of the command ask for; `session.paths` are ranges. `state`: the folder that keeps what was
    looked at, where only what came since is asked for; `storing`: what is found will be recorded. Returns what is to be
    saved once it is."""

    from monitor.scan.history import Range, stashed

    if only_staged:
        staged(session, git, engine, options)
        return None
    session.begin(engine.worker())  # people paste what they have at hand
    if bad := next((name for name in session.paths if name.startswith("-")), None):
        fail(printable(session.redact(f"{bad}: no range of commits begins so")), 2)
    try:
        if session.paths:
            git.ask("rev-list", "--max-count=0", *session.paths, "--")
    except GitError as error:
        fail(printable(session.redact(f"{' '.join(session.paths)}: {error}")), 2)
    everywhere = ("--all", "HEAD") if _born(git) else ("--all",)  # HEAD may stand on no branch
    if session.paths:
        wanted = Range((), tuple(session.paths), _tags(git, session.paths))
    else:
        wanted = Range(everywhere, stashed(git), whole=True)
    cursor = None
    if state is not None:
        wanted, cursor = _since(session, git, engine, wanted, state, storing=storing)
    commits(session, git, wanted, engine, options, everything=everything, where=True)
    return None if session.incomplete else cursor


def _since(
    session: Session, git: Git, engine: Engine, whole: Range, state: Path, *, storing: bool
) -> tuple[Range, Cursor]:
    from monitor import __version__
    from monitor.scan.cursor import Cursor, rules_digest

    try:
        cursor = Cursor.of(git, state, rules_digest(engine.rules, __version__))
        wanted, why = cursor.since(git, whole, storing=storing)
    except (GitError, OSError) as error:
        fail(printable(session.redact(str(error))), 2)
    if why:
        typer.echo(printable(f"note: {why}"), err=True)
    return wanted, cursor


def save(cursor: Cursor, *, found: bool, stored: bool) -> None:
    """How far the history was looked at."""
    try:
        cursor.save(found=found, stored=stored)
    except OSError as error:
        fail(printable(f"{cursor.path}: {error.strerror}: the next --since-last looks at the same commits again"), 2)


def record(session: Session, git: Git, settings: Config) -> None:
    """What was shown, as incidents."""

    from monitor.scan.history import called, reported

    repository, now = session.redact(called(git)), time.time()
    found = [reported(hit, repository, now) for hit in session.new]

    async def commit(store: Store) -> None:
        for start in range(0, len(found), _AT_ONCE):
            await store.commit(found[start : start + _AT_ONCE], [])

    with_store(settings, commit)
    typer.echo(f"{len(found):,} recorded", err=True)


def kinds(git: Git, names: Sequence[str]) -> dict[str, str]:
    """Of objects by their names; what is not there is none of a known kind. Raises GitError."""
    rows = git.ask("cat-file", "--batch-check", stdin="".join(f"{name}\n" for name in names).encode())
    found = (line.decode().split(" ") for line in rows.splitlines())
    return {row[0]: row[1] for row in found}


def _tags(git: Git, ranges: Sequence[str]) -> tuple[str, ...]:
    """Annotated tags that these begin at, as their messages are brought, too."""
    tips = [name for name in git.line("rev-parse", "--revs-only", *ranges, "--").split() if not name.startswith("^")]
    return tuple(name for name, kind in kinds(git, tips).items() if kind == "tag")


def _born(git: Git) -> bool:
    return bool(git.line("rev-parse", "--verify", "--quiet", "HEAD"))


def staged(session: Session, git: Git, engine: Engine, options: ScanOptions) -> None:
    """The index against HEAD."""

    from monitor.scan.history import staged as changed

    def hits(search: CommitSearch) -> Iterator[Hit]:
        yield from (seen.hit for seen in changed(git, search))

    session.unit = "staged file"
    _search(session, git, engine, options, hits, everything=True)


def commits(
    session: Session,
    git: Git,
    wanted: Range,
    engine: Engine,
    options: ScanOptions,
    *,
    everything: bool,
    where: bool,
) -> None:
    """A range of commits; `where`: also in which branches each is, and whether still in HEAD."""

    from monitor.scan.history import GitHistory, gathered, placed

    def hits(search: CommitSearch) -> Iterator[Hit]:
        history = GitHistory(git, wanted)
        found = gathered(history.search(search))
        yield from placed(git, found, search, session.redact, where=where)
        for problem in history.problems:
            session.incomplete = True
            session.problem(_name(git), problem)

    session.unit = "commit"
    _search(session, git, engine, options, hits, everything=everything)


def _name(git: Git) -> str:
    return str(git.folder.absolute())


def _search(
    session: Session,
    git: Git,
    engine: Engine,
    options: ScanOptions,
    hits: Callable[[CommitSearch], Iterable[Hit]],
    *,
    everything: bool,
) -> None:
    from monitor.scan.commits import CommitSearch
    from monitor.scan.run import ScanOutcome

    with git.blobs() as blobs:
        search = CommitSearch(engine, options, blobs, session.problem, everything=everything)
        session.begin(search.worker)
        try:
            session.take(ScanOutcome(hits=list(hits(search))))
        except GitError as error:
            session.incomplete = True
            session.problem(_name(git), str(error))
    if gone := search.passed.gone():
        session.incomplete = True
        session.problem(_name(git), gone)
    session.files = search.prefilter.commits if session.unit == "commit" else search.prefilter.files
    for names, what in search.passed.words():
        session.notes.append(f"{len(names):,} {what}")
    session.finish()
