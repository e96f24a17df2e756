"""Where the rest of a rotated file lies: by inode, by content in a sibling, also compressed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from monitor.common.files import ARCHIVES, open_archive, opened
from monitor.common.rotation_names import base_names, dated
from monitor.sources.file.discovery import Verdict
from monitor.sources.file.identity import Hasher
from monitor.sources.file.tracked_file import TrackedFile

__all__ = [
    "Folders",
    "Rest",
    "Shortage",
    "compare",
    "compare_wherever",
    "find_rest",
    "look_for",
]

_TRIED = 64  # siblings
_AROUND = 64  # folders
_TELLING = 64  # bytes
_LISTINGS = 8
_KEPT = 32  # listings
_KEPT_TO = (1, 10**3, 10**9)  # nanoseconds to which compressors keep the time of a file
_TICK = 10_000_000  # nanoseconds; two changes within one tick of the file system's clock cannot be told apart


class Shortage(Exception):  # noqa: N818 - a state of affairs
    """The system is short of descriptors or memory: what cannot be looked at is not gone for that."""


class Moved(Shortage):
    """Another file lies at a path than the one listed there a moment ago, or none: look again."""


def _short(error: OSError) -> bool:
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Rest:
    """A file in which a tracked file goes on, or one that nobody has read."""

    path: str
    inode: tuple[int, int]
    size: int
    mtime: int
    archive: bool


def look_at(path: str) -> Rest | None:
    """The file at `path`; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    archive = os.path.splitext(path)[1] in ARCHIVES
    return Rest(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns, archive)


def look_for(rest: Rest) -> Rest | None:
    """The same file as it is now, also under another name in its folder."""
    again = look_at(rest.path)
    if again is not None and again.inode == rest.inode:
        return again
    try:
        with os.scandir(os.path.dirname(rest.path)) as entries:
            paths = [entry.path for entry in entries if entry.inode() == rest.inode[1]]
    except OSError as error:
        if _short(error):
            raise Shortage from error
        return None
    return next((found for path in paths if (found := look_at(path)) and found.inode == rest.inode), None)


class _Listing:
    """The names in a folder, by what a search asks for."""

    def __init__(self, folder: str, mtime: int) -> None:
        self.mtime = mtime
        self._inodes: dict[int, list[str]] = {}
        self._bases: dict[str, list[str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                self._inodes.setdefault(entry.inode(), []).append(entry.name)
                for base in (entry.name, *base_names(entry.name)):
                    self._bases.setdefault(base, []).append(entry.name)

    def names(self, inode: int, bases: Iterable[str]) -> Iterable[str]:
        """Those of the inode, and those that a file of one of these names may have after a rotation."""
        found = list(self._inodes.get(inode, ()))
        for base in bases:
            found += self._bases.get(base, ())
        return dict.fromkeys(found)


class Folders:
    """Looks into folders. Listings are kept: when a thousand files of one folder are rotated at once, each asks for its
    own. Blocking, and for one thread at a time."""

    def __init__(self) -> None:
        self._kept: dict[str, _Listing] = {}

    def settled(self, folder: str, inode: int, bases: Collection[str]) -> list[Rest]:
        """Files in a folder as they lay there at one moment: in the midst of a rotation a listing may miss those that
        change their names, and give the names of others to them."""
        files: list[Rest] = []
        for _ in range(_LISTINGS):
            try:
                before = os.stat(folder).st_mtime_ns
                listing = self._kept.pop(folder, None)
                if listing is None or listing.mtime != before:
                    listing = _Listing(folder, before)
                if time.time_ns() - before > _TICK:  # later changes within the same tick would not show
                    self._kept[folder] = listing
                    if len(self._kept) > _KEPT:
                        del self._kept[next(iter(self._kept))]
                names = listing.names(inode, bases)
                files = [rest for name in names if (rest := look_at(os.path.join(folder, name)))]
                after = os.stat(folder).st_mtime_ns
            except OSError as error:
                if _short(error):
                    raise Shortage from error
                return []
            if before == after and time.time_ns() - after > _TICK:
                break
            time.sleep(_TICK / 1e9)
        return files


def find_rest(
    former: TrackedFile, hasher: Hasher, followed: Callable[[str], bool], folders: Folders
) -> tuple[Rest | None, list[Rest]]:
    """Where `former` continues (None: nowhere to be found), and the files of its log written later, oldest first.

    Looks in the folder of the file; for a link, of its target. When it is not there and not open either, also in the
    folders around, where old logs are often put, but for paths that are `followed`. Raises Shortage.
    """
    folder, name = os.path.split(former.target or former.path)
    rest, after = _find_in(folder or ".", name, former, hasher=hasher, folders=folders)
    if rest is None and former.fd < 0:
        for other in _around(folder):
            elsewhere, later = _find_in(other, name, former, hasher=hasher, folders=folders)
            if elsewhere is not None and _far(elsewhere, name, former, followed):
                return elsewhere, [*after, *later]
        # A folder that gets another name changes no inode: nothing else is looked at. Where nothing was read that tells
        # too little, as another service's log of this name may have it by now.
        for other in _above(folder) if former.head[0] else ():
            there = look_for(Rest(os.path.join(other, name), former.inode, 0, 0, archive=False))
            if there is not None and _far(there, name, former, followed):
                elsewhere, later = _find_in(other, name, former, hasher=hasher, folders=folders)
                if elsewhere is not None and elsewhere.inode == former.inode:
                    return elsewhere, [*after, *later]
    return rest, after


def _far(rest: Rest, name: str, former: TrackedFile, followed: Callable[[str], bool]) -> bool:
    """Whether it is the one, so far away: a few bytes in common say nothing, nor do files that are followed anyway; one
    of which nothing was read is known by its inode and its name alone."""
    if rest.inode != former.inode:
        return former.head[0] >= _TELLING and not followed(rest.path)
    other = os.path.basename(rest.path)
    alike = other == name or bool(base_names(other) & ({name} | base_names(name)))
    return former.head[0] > 0 or (alike and rest.mtime >= former.mtime)


def _around(folder: str) -> Iterator[str]:
    """Folders in which logs of `folder` may be put when they are rotated: below it, and beside it."""
    count = 0
    for top, depth in ((folder, 2), (os.path.dirname(folder), 1)):
        level = [top]
        for _ in range(depth):
            below = [path for place in level for path in sorted(_folders_in(place))]
            for place in below:
                if place != folder and count < _AROUND:
                    count += 1
                    yield place
            level = below[:_AROUND]


def _above(folder: str) -> Iterator[str]:
    """What `folder` may be called by now, where one above it was renamed."""
    top, rest = os.path.split(folder)
    while os.path.basename(top):
        yield from _renamed(top, rest)
        rest = os.path.join(os.path.basename(top), rest)
        top = os.path.dirname(top)


def _renamed(top: str, rest: str) -> Iterator[str]:
    """Where `rest` below `top` lies if that has another name, those first that begin alike."""
    own = os.path.basename(top)
    others = [path for path in _folders_in(os.path.dirname(top)) if path != top]
    others.sort(key=lambda path: (-len(os.path.commonprefix([os.path.basename(path), own])), path))  # noqa: RUF071 - characters
    yield from filter(os.path.isdir, (os.path.join(path, rest) for path in others[:_AROUND]))


def _folders_in(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if _short(error):
            raise Shortage from error
        return []


def _find_in(
    folder: str, name: str, former: TrackedFile, *, hasher: Hasher, folders: Folders
) -> tuple[Rest | None, list[Rest]]:
    wanted = {name} | base_names(name)
    choose = partial(_choose, name=name, former=former, hasher=hasher)
    for _ in range(_LISTINGS):
        with contextlib.suppress(Moved):
            return choose(folders.settled(folder, former.inode[1], wanted), compared=compare)
    return choose(folders.settled(folder, former.inode[1], wanted), compared=compare_wherever)


def _choose(
    present: Iterable[Rest],
    *,
    name: str,
    former: TrackedFile,
    hasher: Hasher,
    compared: Callable[[Rest, TrackedFile, Hasher], Verdict],
) -> tuple[Rest | None, list[Rest]]:
    """Of the files present, the one in which `former` continues, and those written later."""
    wanted = {name} | base_names(name)

    def related(name_: str) -> bool:
        return name_ == name or bool(base_names(name_) & wanted)

    same: Rest | None = None
    siblings: list[Rest] = []
    for rest in present:
        if (
            rest.inode == former.inode
            and rest.archive == former.archive
            and compared(rest, former, hasher) == "continues"
        ):
            same = rest
        elif related(os.path.basename(rest.path)):
            siblings.append(rest)
    siblings.sort(key=lambda rest: (rest.mtime, not rest.archive), reverse=True)
    plain = {rest.path for rest in siblings if not rest.archive}
    packing = [rest for rest in siblings if rest.archive and os.path.splitext(rest.path)[0] in plain]

    chosen = same
    if chosen is None and former.known_by_content:
        chosen = next((rest for rest in siblings[:_TRIED] if compared(rest, former, hasher) == "continues"), None)
    elif chosen is None:
        chosen = _packed(former, siblings, packing)

    # Written after what was read of `former` (in the same tick of the clock, maybe): when no other one claims them,
    # nobody has read them. When it was written last itself says less: a service may come back to the next log late, and
    # a logger gives an archive the time at which it was made.
    after = [
        rest
        for rest in reversed(siblings)
        if rest is not chosen and rest.mtime >= former.mtime >= 0 and rest not in packing
    ]
    return chosen, after


def _packed(former: TrackedFile, siblings: Sequence[Rest], packing: Collection[Rest]) -> Rest | None:
    """What the file of a tracked file of which nothing was read was compressed to. `siblings`: the youngest first.

    Compressors keep its time, bzip2 the whole seconds of it. Loggers do not: then only a name tells it that no
    other file has ever had. One that was still written to when it was last seen is the oldest of those written since,
    unless that may have been deleted: who deletes old logs leaves none that is older.
    """
    if former.archive or former.mtime < 0:
        return None
    path = former.target or former.path
    archives = [rest for rest in siblings if rest.archive and rest not in packing]
    own = [rest for rest in archives if os.path.splitext(rest.path)[0] == path]
    times = [former.mtime // unit * unit for unit in _KEPT_TO]
    found = [rest for mtime in times for rest in (*own, *archives) if rest.mtime == mtime]
    later = [rest for rest in reversed(siblings) if rest.mtime > former.mtime]
    if dated(path):
        found += [rest for rest in own if rest in later]
    elif (former.unsure or not base_names(os.path.basename(path))) and siblings[-1:] != later[:1]:
        found += [rest for rest in later[:1] if rest in archives]
    return next(iter(found), None)


def compare(rest: Rest, tracked: TrackedFile, hasher: Hasher) -> Verdict:
    """Whether a file holds all that was read of `tracked`, only a beginning of it (a copy in the making?), or neither.

    Raises Shortage; Moved when its path leads to another file by now, which must not be taken for it.
    """
    try:
        if rest.archive:
            stream = open_archive(rest.path)
            if stream is None:
                return "differs"
            with stream:
                _check_still_there(rest, os.stat(rest.path))
                return "continues" if hasher.archive_continues(stream, tracked) else "differs"
        with opened(rest.path) as fd:
            status = os.fstat(fd)
            _check_still_there(rest, status)
            if hasher.continues(fd, status.st_size, tracked) and hasher.body_matches(fd, tracked):
                return "continues"
            if status.st_size < tracked.offset and (
                status.st_size < tracked.head[0] or hasher.head_matches(fd, tracked)
            ):
                return "begins"
    except FileNotFoundError as error:
        raise Moved from error
    except OSError as error:
        if _short(error):
            raise Shortage from error
        return "differs"
    except Shortage:
        raise
    except Exception:  # noqa: BLE001 - each compression library raises its own for a damaged or half-written file
        return "differs"
    return "differs"


def compare_wherever(rest: Rest, tracked: TrackedFile, hasher: Hasher) -> Verdict:
    """`compare` for a file that may have got another name in its folder since; one that is gone differs."""
    for _ in range(_LISTINGS):
        try:
            return compare(rest, tracked, hasher)
        except Moved:
            again = look_for(rest)
            if again is None:
                return "differs"
            rest = again
    raise Shortage


def _check_still_there(rest: Rest, status: os.stat_result) -> None:
    if (status.st_dev, status.st_ino) != rest.inode:
        raise Moved
