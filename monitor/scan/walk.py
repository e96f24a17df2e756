"""Which files of a tree are read: ordinary ones only, in a fixed order, and never a symbolic link inside the tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.common.text import legible

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["FileEntry", "walk"]

Report = Callable[[str, str], None]  # path, what is wrong with it


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file to read. `size` is None for what has none: a pipe, a device, a file of /proc."""

    path: str
    size: int | None


def walk(
    paths: Iterable[str],
    report: Report,
    *,
    gitignore: bool = False,
    git: bool = False,
    max_size: int | None = None,
    skipped: Callable[[str], None] = lambda _: None,
    linked: Callable[[str], None] = lambda _: None,
) -> Iterator[FileEntry]:
    """Files below `paths`, sorted within each folder.

    A path that is itself a link is followed, as somebody asked for it. `git`: also what lies in `.git`. What cannot be
    read goes to `report`, what is larger than `max_size` bytes to `skipped`, links to `linked`.
    """
    for path in paths:
        try:
            info = os.stat(path)
        except OSError as error:
            report(path, error.strerror or "cannot be read")
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from _folder(
                path, report, gitignore=gitignore, git=git, max_size=max_size, skipped=skipped, linked=linked
            )
        elif not stat.S_ISREG(info.st_mode) or not info.st_size:
            yield FileEntry(path, None)
        elif max_size is not None and info.st_size > max_size:
            skipped(path)
        else:
            yield FileEntry(path, info.st_size)


def _folder(
    top: str,
    report: Report,
    *,
    gitignore: bool,
    git: bool,
    max_size: int | None,
    skipped: Callable[[str], None],
    linked: Callable[[str], None],
) -> Iterator[FileEntry]:
    ignore = _Ignore(top) if gitignore else None
    pending = [top]  # a stack of our own: a tree may be deeper than Python recurses
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda e: e.name)
        except OSError as error:
            report(folder, error.strerror or "cannot be read")
            continue
        if ignore is not None:
            ignore.enter(folder)
        below = []
        for entry in entries:
            try:
                if entry.is_symlink():
                    linked(entry.path)
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and entry.name == ".git" and not git:
                    continue
                if ignore is not None and ignore.matches(entry.path, is_folder):
                    continue
                if is_folder:
                    below.append(entry.path)
                    continue
                info = entry.stat(follow_symlinks=False)
            except OSError as error:
                report(entry.path, error.strerror or "cannot be read")
                continue
            # Pipes and devices would block; an empty size is an empty file, or /proc, which never ends.
            if not stat.S_ISREG(info.st_mode) or not info.st_size:
                continue
            if max_size is not None and info.st_size > max_size:
                skipped(entry.path)
                continue
            yield FileEntry(entry.path, info.st_size)
        pending += reversed(below)


class _Ignore:
    """`.gitignore` files as git reads them: the deepest that has a say decides; those above the start count too."""

    def __init__(self, top: str) -> None:
        self._specs: dict[Path, GitIgnoreSpec | None] = {}
        start = Path(top).absolute()
        chain = [start]
        for folder in start.parents if not (start / ".git").exists() else ():
            chain.append(folder)
            if (folder / ".git").exists():
                break
        else:
            chain = [start]  # no repository: what lies above has no say
        for folder in chain:
            self._read(folder, [folder / ".gitignore"])
        root = chain[-1]
        self._read(root, [root / ".git" / "info" / "exclude", root / ".gitignore"])

    def enter(self, folder: str) -> None:
        path = Path(folder).absolute()
        if path not in self._specs:
            self._read(path, [path / ".gitignore"])

    def matches(self, path: str, is_folder: bool) -> bool:
        place = Path(path).absolute()
        for folder in place.parents:
            spec = self._specs.get(folder)
            if spec is None:
                continue
            name = legible(place.relative_to(folder).as_posix())
            verdict = spec.check_file(name + "/" if is_folder else name).include
            if verdict is not None:
                return verdict
        return False

    def _read(self, folder: Path, files: Sequence[Path]) -> None:
        from pathspec import GitIgnoreSpec

        lines: list[str] = []
        for file in files:
            with suppress(OSError):
                lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
        self._specs[folder] = GitIgnoreSpec.from_lines(lines) if lines else None
