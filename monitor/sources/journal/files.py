"""The journal files that are there, by their headers: who numbers their records, and how far the numbers go.

The header has been as it is since systemd began to write journals; whoever may call journalctl may read it.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["Catalogue", "JournalFile", "SequenceListing"]

_ROOTS = (Path("/var/log/journal"), Path("/run/log/journal"))
_HEADER = struct.Struct("<8sIIB7x16s16s16s16sQQQQQQQQQQQ")
_SIGNATURE = b"LPKSHHRH"
_ARCHIVED = 2
_TRIES = 5
_TICK = 20_000_000  # nanoseconds: two things that change a folder within one leave the same time on it
_MACHINE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class JournalFile:
    """`head`, `tail`: numbers of its first and last record; `entries`: how many it has. `id` outlives its name."""

    path: str
    id: str
    sequence: str  # machine and id of the sequence: within one, records are numbered in the order they were written
    head: int
    tail: int
    entries: int
    archived: bool  # nothing more is written to it


@dataclass(frozen=True, slots=True)
class SequenceListing:
    """`refused`: paths that may not be read. `complete`: what is not in `sequences` is not there."""

    sequences: Mapping[str, tuple[JournalFile, ...]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    complete: bool = False


class Catalogue:
    """The files that `journalctl --directory --namespace --merge` would read."""

    def __init__(self, directory: str | None, namespace: str | None) -> None:
        self._roots = (Path(directory),) if directory else _ROOTS
        self._namespace = namespace
        self._archived: dict[tuple[str, int], JournalFile] = {}  # path and inode: they do not change

    def look(self) -> SequenceListing:
        """Blocking; a millisecond for a hundred files. Files are renamed and made while it looks: what may have missed
        one of them for that is no look."""
        listing = SequenceListing()
        for _ in range(_TRIES):
            before = self._stamps()
            listing, torn = self._once()
            if not torn and before == self._stamps() and not any(abs(time.time_ns() - at) < _TICK for at in before):
                return listing
            time.sleep(_TICK / 1e9)
        return replace(listing, complete=False)

    def _stamps(self) -> list[int]:
        """When something was last made or renamed in the roots and their folders."""
        found = []
        for root in self._roots:
            with contextlib.suppress(OSError):
                folders = [str(root), *(entry.path for entry in os.scandir(root) if self._wanted(entry.name))]
                found += [os.stat(folder).st_mtime_ns for folder in folders]
        return found

    def _once(self) -> tuple[SequenceListing, bool]:
        """A look, and whether a file went while it was taken."""
        sequences: dict[str, list[JournalFile]] = {}
        refused: list[str] = []
        archived: dict[tuple[str, int], JournalFile] = {}
        roots, torn = 0, False
        for root in self._roots:
            try:
                found = list(self._paths(root, refused))
            except FileNotFoundError:
                continue
            except OSError:
                refused.append(str(root))
                continue
            roots += 1
            for path, inode in found:
                try:
                    file = self._archived.get((path, inode)) or _read(path)
                except FileNotFoundError:
                    torn = True
                    continue
                except OSError:
                    refused.append(path)
                    continue
                if file is None:
                    continue
                if file.archived:
                    archived[path, inode] = file
                sequences.setdefault(file.sequence, []).append(file)
        self._archived = archived
        listed = {name: tuple(sorted(files, key=lambda file: file.path)) for name, files in sequences.items()}
        return SequenceListing(listed, tuple(refused), complete=bool(roots) and not refused), torn

    def _paths(self, root: Path, refused: list[str]) -> Iterator[tuple[str, int]]:
        """Paths and inodes of journal files in `root` and in its folders of machines."""
        for entry in os.scandir(root):
            if _journal(entry.name):
                yield entry.path, entry.inode()
            elif self._wanted(entry.name) and entry.is_dir():
                try:
                    yield from ((one.path, one.inode()) for one in os.scandir(entry.path) if _journal(one.name))
                except FileNotFoundError:
                    continue
                except OSError:
                    refused.append(entry.path)

    def _wanted(self, folder: str) -> bool:
        """Whether it is one of a machine, and of a namespace that is asked for."""
        machine, _, namespace = folder.partition(".")
        if not _MACHINE.fullmatch(machine):
            return False
        asked = self._namespace or ""
        return asked == "*" or namespace == asked.removeprefix("+") or (not namespace and asked.startswith("+"))


def _journal(name: str) -> bool:
    return name.endswith((".journal", ".journal~"))


def _read(path: str) -> JournalFile | None:
    """None: it is no journal, or none yet. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        data = os.pread(descriptor, _HEADER.size, 0)
    finally:
        os.close(descriptor)
    if len(data) < _HEADER.size or not data.startswith(_SIGNATURE):
        return None
    _, _, _, state, file, machine, _, sequence, *sizes = _HEADER.unpack(data)
    entries, tail, head = sizes[8:11]
    name = f"{machine.hex()}:{sequence.hex()}"
    return JournalFile(path, file.hex(), name, head, tail, entries, state == _ARCHIVED)
