"""`monitor hooks`: git's hooks that stop a secret before it is committed, pushed or taken."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from monitor.cli.common import (
    Confidence,
    ConfigOption,
    SeverityOption,
    at_least,
    command_app,
    fail,
    fail_if,
    printable,
    scan_config,
    sure,
)
from monitor.cli.kit import FormatOption, emit
from monitor.cli.scan_accept import books_in
from monitor.cli.scan_git import commits, kinds, repository_at, staged
from monitor.cli.scan_session import ScanFormat, Session
from monitor.clients.git import Git, GitError
from monitor.scan.githooks import NAMES, Folder, HookError, folder_of, install, standing, uninstall

if TYPE_CHECKING:
    from monitor.scan.history import Range

app = command_app(
    no_args_is_help=True,
    help="Git's hooks that stop a secret before it is committed, pushed, or taken by a server. They are pre-commit, "
    "pre-push and pre-receive. Hooks that are there already run as before, behind ours.",
    epilog="Example: monitor hooks install",
)


class Hook(StrEnum):
    pre_commit = "pre-commit"
    pre_push = "pre-push"
    pre_receive = "pre-receive"


HooksArgument = Annotated[
    list[Hook] | None,
    typer.Argument(metavar="[HOOK]...", help="Default: pre-commit and pre-push; in a bare repository pre-receive."),
]
RepositoryOption = Annotated[Path, typer.Option("--repository", "-C", metavar="FOLDER", help="Whose hooks.")]
SharedOption = Annotated[
    bool, typer.Option("--shared", help="Also where git looks for hooks of other repositories (core.hooksPath).")
]
ConfidenceOption = Annotated[Confidence, typer.Option(help="What stops: findings at least so certain.")]
_ZERO = re.compile(r"0+")
_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WHAT = {"pre-commit": "commit", "pre-push": "push", "pre-receive": "push"}
_AGAIN = "Take it out of the commits above (git rebase -i, git commit --amend), push again; revoke it if others saw it."
_UNDO = {
    "pre-commit": "Take it out, `git add` again; have the program read it from its environment or a secret manager.",
    "pre-push": _AGAIN,
    "pre-receive": _AGAIN,
}
_ACCEPT = "No secret? monitor scan {where} --accept {place} --for 90d --reason WHY; then {then}"
_THEN = {
    "pre-commit": ("--staged", "git add .exposure-suppressions (once: git commit --no-verify)."),
    "pre-push": ("--git", "commit .exposure-suppressions (once: git push --no-verify)."),
    "pre-receive": ("--git", "commit .exposure-suppressions and push."),
}


@app.command(
    "install",
    epilog="Example: monitor hooks install",
    help="Put our lines at the top of a repository's hooks; again where they are there. Exit code 1 where one of them "
    "could not be installed.",
)
def install_hooks(
    hooks: HooksArgument = None,
    folder: RepositoryOption = Path(),
    shared: SharedOption = False,
    severity: SeverityOption = None,
    confidence: ConfidenceOption = "medium",
) -> None:
    git = repository_at(folder)
    place = _place(git, shared=shared)
    options = [f"--confidence={confidence}"] + ([f"--severity={severity}"] if severity else [])
    failed = False
    for name in _wanted(git, hooks):
        try:
            path = install(place, name, _program(), options)
        except (HookError, OSError) as error:
            failed = True
            why = str(error) if isinstance(error, HookError) else _why(error, place, name)
            typer.echo(printable(f"{name}: {why}"), err=True)
            continue
        typer.echo(printable(f"{name}: {path}"))
        _notes(place, name)
    raise typer.Exit(1 if failed else 0)


@app.command(
    "status",
    epilog="Example: monitor hooks status --format jsonl",
    help="Which hooks git runs, what runs behind ours, and what keeps ours from being run. Exit code 1 where one that "
    "is wanted is not in force.",
)
def status(
    hooks: HooksArgument = None,
    folder: RepositoryOption = Path(),
    form: FormatOption = "text",
) -> None:
    git = repository_at(folder)
    place = _place(git)
    states = [standing(place, name) for name in _wanted(git, hooks)]

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for row in rows:
            behind = ", then what was there before" if row["chained"] else ""
            yield printable(f"{row['hook']}: {row['state']}{behind}: {row['path']}")
            if row["note"]:
                yield printable(f"    {row['note']}")

    emit((asdict(one) for one in states), form, text)
    raise typer.Exit(0 if all(one.state == "installed" for one in states) else 1)


@app.command(
    "uninstall",
    epilog="Example: monitor hooks uninstall",
    help="Take our lines out of a repository's hooks, and put back what was there before.",
)
def uninstall_hooks(
    hooks: HooksArgument = None, folder: RepositoryOption = Path(), shared: SharedOption = False
) -> None:
    place = _place(repository_at(folder), shared=shared)
    done = 0
    for name in [hook.value for hook in hooks or ()] or NAMES:
        try:
            path = uninstall(place, name)
        except OSError as error:
            fail(printable(f"{name}: {_why(error, place, name)}"))
        if path is not None:
            done += 1
            typer.echo(printable(f"{name}: taken out of {path}"))
    if not done:
        typer.echo("none of ours is there", err=True)


@app.command(
    "run",
    epilog="Example: monitor hooks run pre-commit",
    help="What a hook runs: exit code 1 with findings, 2 where not everything could be read. pre-push and pre-receive "
    "read from standard input what git tells them.",
)
def run(
    hook: Annotated[Hook, typer.Argument(help="Which one.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- ARG...]", help="Those git gives it.")] = None,
    severity: SeverityOption = None,
    confidence: ConfidenceOption = "medium",
    config: ConfigOption = None,
) -> None:
    git = repository_at(hook=True)
    wanted: Range | None = None
    if hook is not Hook.pre_commit:
        wanted = _brought(git, hook, arguments or [], sys.stdin.buffer.read() if not sys.stdin.isatty() else b"")
        if wanted is None:  # nothing but deletions
            raise typer.Exit(0)
    from monitor.cli.scan import engine_of
    from monitor.scan.search import ScanOptions

    settings = scan_config(config)
    session = Session(
        paths=[],
        form=ScanFormat.text,
        rules=frozenset(),
        severities=frozenset(at_least(severity)),
        confidences=sure(confidence),
        known=frozenset(),
        own=set(),
        keep=False,
    )
    session.quiet = True
    tips = [name for name in wanted.names if not name.startswith("^")] if wanted is not None else []
    # Nobody is shown a fingerprint, and whose hooks these are need not be who may read the host's key.
    options = ScanOptions(key=secrets.token_bytes(32), context=True, books=books_in(git, tips))
    session.over = sum(book.over for book in options.books)
    try:
        if wanted is None:
            staged(session, git, engine_of(settings), options)
        else:
            commits(session, git, wanted, engine_of(settings), options, everything=True, where=False)
    except KeyboardInterrupt:
        os._exit(130)
    _end(session, hook)


def _end(session: Session, hook: Hook) -> NoReturn:
    """Says what to do, in three lines."""
    what = _WHAT[hook.value]
    if session.shown:
        held = "a secret" if session.shown == 1 else f"{session.shown:,} secrets"
        assert session.first is not None
        place = shlex.quote(printable(f"{session.first.path}:{session.first.line}"))
        where, then = _THEN[hook.value]
        accept = _ACCEPT.format(where=where, place=place, then=then)
        fail("\n".join((f"exposure-monitor stopped this {what}: it holds {held}.", _UNDO[hook.value], accept)))
    unread = f"exposure-monitor stopped this {what}: not all of it could be read, as said above."
    fail_if(session.incomplete, unread, 2)
    raise typer.Exit(0)


def _brought(git: Git, hook: Hook, arguments: Sequence[str], said: bytes) -> Range | None:
    """The commits that a push brings, by what git says of it."""

    from monitor.scan.history import Range

    remote = arguments[0] if arguments else os.environ.get("PRE_COMMIT_REMOTE_NAME", "")
    known = (f"--remotes={remote}",) if remote and not re.search(r"[*?\[\\]", remote) else ()
    if hook is Hook.pre_receive:
        pairs = [(row[1], "") for row in _rows(said, 3)]
        known = ("--all",)
    else:
        pairs = [(row[1], row[3]) for row in _rows(said, 4)]
        if not said.strip():  # what called us has read it
            pairs = [_named(git)]
    new = [name for name, _ in pairs if name and not _ZERO.fullmatch(name)]
    if not new:
        return None
    old = [name for _, name in pairs if name and not _ZERO.fullmatch(name)]
    try:
        there = kinds(git, [*new, *old])
    except GitError as error:
        fail(printable(str(error)), 2)
    if odd := next((name for name in new if there.get(name) not in ("commit", "tag")), None):
        fail(f"{odd}: neither a commit nor a tag, so it was not checked for secrets", 2)
    return Range(
        ("--not", *known) if known else (),
        tuple(dict.fromkeys([*new, *(f"^{name}" for name in old if there.get(name) in ("commit", "tag"))])),
        tuple(dict.fromkeys(name for name in new if there[name] == "tag")),
    )


def _named(git: Git) -> tuple[str, str]:
    """What is pushed and what was there before, as the tool pre-commit says; else HEAD."""
    wanted = os.environ.get("PRE_COMMIT_TO_REF", ""), os.environ.get("PRE_COMMIT_FROM_REF", "")
    if all(_NAME.fullmatch(name) for name in wanted):
        return wanted
    return git.line("rev-parse", "--verify", "--quiet", "HEAD"), ""


def _rows(said: bytes, count: int) -> Iterator[list[str]]:
    """Lines of `ref name ref name`, or `name name ref`. What is neither ends the command: it was not told all."""
    for line in said.decode("utf-8", "surrogateescape").splitlines():
        row = line.split(" ")
        names = row[1::2] if count == 4 else row[:2]
        fail_if(
            line and (len(row) < count or not all(_NAME.fullmatch(name) for name in names[:2])),
            "standard input is not what git tells this hook",
            2,
        )
        if line:
            yield row


def _place(git: Git, *, shared: bool = True) -> Folder:
    """Where git looks for hooks; what is of other repositories too ends the command unless that may be (`shared`)."""

    try:
        place = folder_of(git)
    except GitError as error:
        fail(printable(str(error)), 2)
    fail_if(
        place.shared and not shared,
        f"git looks for hooks in {printable(str(place.path))} ({place.shared}), for other repositories too: "
        "change them there with --shared, or set core.hooksPath here",
        2,
    )
    return place


def _wanted(git: Git, hooks: Sequence[Hook] | None) -> list[str]:
    if hooks:
        return [hook.value for hook in hooks]
    bare = git.line("rev-parse", "--is-bare-repository") == "true"
    return ["pre-receive"] if bare else ["pre-commit", "pre-push"]


def _notes(place: Folder, name: str) -> None:
    now = standing(place, name)
    if now.note:
        typer.echo(printable(f"    {now.note}"))
    if place.tracked:
        typer.echo("    this file is a part of the repository: commit it, and all who have `monitor` are covered")


def _program() -> str:
    """Ours, by its whole path."""
    beside = Path(sys.executable).parent / "monitor"
    return str(beside if os.access(beside, os.X_OK) else Path(sys.argv[0]).absolute())


def _why(error: OSError, place: Folder, name: str) -> str:
    return f"{error.filename or place.file(name)}: {error.strerror or 'cannot be written'}, so nothing was changed"
