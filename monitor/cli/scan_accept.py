"""`.exposure-suppressions`: what a repository accepts, read for a scan, and written by `monitor scan --accept`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from monitor.cli.common import fail, fail_if, lasting, person, printable
from monitor.cli.scan_session import Session
from monitor.clients.git import Git

if TYPE_CHECKING:
    from monitor.scan.accepted import Accepting, Book

__all__ = ["Wish", "books_at", "books_in", "wish"]

EX_CONFIG = 78
_REVISIONS = 50  # whose files are read: a push of more brings the same ones
_LONGEST = 400 * 86400.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be accepted from now on, and in which file that is written down."""

    what: str
    reason: str
    until: float
    path: Path
    author: str
    book: Book

    @property
    def accepting(self) -> Accepting:
        from monitor.scan.accepted import Accepting

        return Accepting(self.what, self.book)

    def write(self, session: Session) -> None:
        """Ends the command with exit code 2 where there was nothing to accept."""
        from monitor.common.wording import moment
        from monitor.scan.accepted import unique, write

        if not session.entries:
            fail(printable(session.redact(f"nothing was found at {self.what}: name PATH:LINE, or a fingerprint")), 2)
        reason, author = session.redact(self.reason), session.redact(self.author)
        entries = [
            replace(one, reason=reason, author=author, until=self.until, path=session.redact(one.path))
            for one in unique(session.entries)
        ]
        try:
            write(self.path, self.book.salt, entries)
        except OSError as error:
            fail(printable(f"{self.path}: {error.strerror or 'cannot be written'}"), 2)
        for one in entries:
            what = (
                f"this value of {one.rule}" if one.scrypt else f"{one.rule} in {one.path} (the value could be guessed)"
            )
            typer.echo(printable(f"{self.path}: accepts {what} until {moment(self.until)}"), err=True)


def wish(what: str | None, reason: str, duration: str | None, paths: Sequence[str], git: Git | None) -> Wish | None:
    """Of the options; what makes no sense ends the command with exit code 2."""
    from monitor.scan.accepted import fresh

    if what is None:
        fail_if(reason or duration, "--reason and --for go with --accept", 2)
        return None
    seconds = lasting("--for", duration or "0s")
    fail_if(
        not what.strip() or not reason.strip() or not 0 < seconds <= _LONGEST,
        "--accept needs --reason, which says why, and --for, how long: at most 400 days",
        2,
    )
    path, author = (_place(paths), person()) if git is None else _of(git)

    book = _read(path, str(path.parent) if git is None else None) or fresh()
    book.root = str(path.parent) if git is None else None
    return Wish(what.strip(), reason.strip(), time.time() + seconds, path, author, book)


def books_at(paths: Iterable[str]) -> list[Book]:
    """Those that hold for these paths."""

    from monitor.scan.accepted import above

    found = dict.fromkeys(place for path in paths if path != "-" and (place := above(path)) is not None)
    return [book for place in found if (book := _read(place, str(place.parent))) is not None]


def books_in(git: Git, revisions: Sequence[str] = ()) -> list[Book]:
    """Of these commits; of none: of the work tree, or of HEAD where there is no such."""

    from monitor.scan.accepted import FILE, LARGEST, AcceptedError, read

    if not revisions:
        top = _top(git)
        if top is not None:
            book = _read(top / FILE, None) if (top / FILE).is_file() else None
            return [] if book is None else [book]
    texts: dict[bytes, str] = {}
    with git.blobs() as blobs:
        for revision in list(revisions)[:_REVISIONS] or ["HEAD"]:
            blob = blobs.get(f"{revision}:{FILE}")
            if blob is not None and blob.size <= LARGEST:
                texts.setdefault(blob.whole(), revision)
    books = []
    for text, revision in texts.items():
        try:
            books.append(read(text, time.time()))
        except AcceptedError as error:
            fail(printable(f"{FILE} of {revision[:12]}: {error}"), EX_CONFIG)
    return books


def _read(path: Path, root: str | None) -> Book | None:
    from monitor.scan.accepted import LARGEST, AcceptedError, read

    try:
        with path.open("rb") as file:
            return read(file.read(LARGEST + 1), time.time(), root)
    except FileNotFoundError:
        return None
    except OSError as error:
        fail(printable(f"{path}: {error.strerror or 'cannot be read'}"), EX_CONFIG)
    except AcceptedError as error:
        fail(printable(f"{path}: {error}"), EX_CONFIG)


def _place(paths: Sequence[str]) -> Path:
    """The file for what is found there: one that there is, else at the top of the repository, here, or beside it."""

    from monitor.scan.accepted import FILE, above, folders

    fail_if(paths == ["-"], "--accept is for what lies in files", 2)
    return above(paths[0]) or folders(paths[0])[-1] / FILE


def _of(git: Git) -> tuple[Path, str]:
    from monitor.scan.accepted import FILE

    top = _top(git)
    if top is None:
        fail("--accept needs a work tree: run it in a clone, and commit what it writes", 2)
    name, email = (git.line("config", key) for key in ("user.name", "user.email"))
    return top / FILE, f"{name} <{email}>" if name and email else person()


def _top(git: Git) -> Path | None:
    if git.line("rev-parse", "--is-inside-work-tree") != "true":
        return None
    return Path(git.line("rev-parse", "--show-toplevel"))
