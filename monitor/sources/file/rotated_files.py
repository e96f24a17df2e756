"""Lives that no followed path leads to: where their files lie now, what becomes of them, and who else lies there.

Everything happens within the changes of a Tracker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from monitor.common.files import open_same, shut
from monitor.common.rotation_names import original_names
from monitor.sources.file.carry import follow, insert
from monitor.sources.file.changes import PositionChanges, TrackingOptions
from monitor.sources.file.discovery import Meeting, Parent, meeting
from monitor.sources.file.globs import Globs
from monitor.sources.file.identity import Hasher
from monitor.sources.file.open_handles import OpenHandles
from monitor.sources.file.registry import Registry
from monitor.sources.file.rotation import Folders, Rest, Shortage, compare_wherever, find_rest, look_for
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.tracked_file import FileStatus, StoredState, TrackedFile, WorkState, text
from monitor.sources.file.transitions import SearchOutcome, Transition, outcome, transition

__all__ = ["RotatedFiles"]

_log = structlog.get_logger(__name__)


class RotatedFiles:
    """Use on the event loop only, while changes are gathered; `thread` runs a function where it may block."""

    def __init__(
        self,
        options: TrackingOptions,
        changes: PositionChanges,
        *,
        hasher: Hasher,
        globs: Globs,
        registry: Registry,
        schedule: Schedule,
        thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._options, self._changes, self._hasher, self._globs = options, changes, hasher, globs
        self._registry, self._schedule, self._thread = registry, schedule, thread
        self.once = False
        self.unmet: set[str] = set()  # followed paths: files written after a tracked file that was searched for
        self._listings = Folders()  # in the thread
        self._handles = OpenHandles(hasher)  # in the thread
        self._unsure: dict[TrackedFile, tuple[int, float]] = {}  # perhaps copies in the making: their size, since when
        self._owed: set[TrackedFile] = set()  # what was written after them has still to be searched for
        self._known_once: set[tuple[int, int]] = set()  # files that had a tracked file of which nothing was read

    async def find(self, tracked: TrackedFile) -> tuple[Rest | None, list[Rest]]:
        """See `find_rest`. Those that are followed are not among the files written later, but noted if none was met."""
        rest: Rest | None
        later: list[Rest]
        rest, later = await self._thread(find_rest, replace(tracked), self._hasher, self._globs.matches, self._listings)

        unseen: list[Rest] = []
        for one in later:
            if not self._globs.matches(one.path):
                unseen.append(one)
            elif self._registry.inside(one.inode) is None:
                self.unmet.add(one.path)
        return rest, unseen

    async def after(self, tracked: TrackedFile) -> list[Rest]:
        """Rotated files written after one that is followed: under another name than before, or another file by now."""
        try:
            _, unseen = await self.find(tracked)
        except Shortage:
            self._owed.add(tracked)
            return []
        self._owed.discard(tracked)
        return unseen

    async def locate(self, tracked: TrackedFile, current: bool = False) -> list[Rest]:
        """Find where a tracked file goes on whose path shows another file now, or none.

        `current`: it was the one at a followed path until now. Then returns the rotated files written after it.
        """
        if tracked.ended:
            return []
        current |= tracked in self._owed
        try:
            rest, unseen = await self.find(tracked)
        except Shortage:
            if current:
                self._owed.add(tracked)
            return []
        self._owed.discard(tracked)
        if not tracked.loose:
            return []
        # Of one that was never read nothing tells it from those written after it, one of which may have its inode.
        untouched = rest is not None and (rest.inode, rest.size, rest.mtime) == (
            tracked.inode,
            tracked.there,
            tracked.mtime,
        )
        unknown = not tracked.known_by_content and tracked.fd < 0 and not untouched
        if rest is not None and rest.archive and unknown and self._registry.inside(rest.inode) in (None, tracked):
            await self._wait_for(tracked, rest)
            return unseen
        if rest is None and tracked.fd < 0 and not tracked.busy:
            await self._open_deleted(tracked)
        inode = tracked.inode
        said, owner = await self._outcome(tracked, rest)
        self._carry_out(said, tracked, rest, owner)
        later = unseen if current or unknown else []
        if said is SearchOutcome.ANEW:
            assert rest is not None
            return [*later, rest]
        # An archive may be its own, as long as nothing was read of it.
        after = [other for other in later if tracked.known_by_content or not other.archive]
        if said is SearchOutcome.OPEN and rest is None and after and not os.fstat(tracked.fd).st_nlink:
            self._changes.outrun(tracked)
            if tracked.after is not None:
                tracked.after.before = None  # others came in between
        if rest is not None and rest.inode != inode and tracked.fd < 0 and not rest.archive:
            later = [*later, *await self._successor(tracked, inode)]
        return later

    async def _open_deleted(self, tracked: TrackedFile) -> None:
        """Its file was deleted while it was shut, or while we were down."""
        fd = await self._thread(self._handles.open, replace(tracked), unclaimed=shut)
        if fd >= 0 and (tracked.busy or tracked.fd >= 0 or not tracked.loose):
            os.close(fd)
        elif fd >= 0:
            tracked.fd = fd
            self._schedule.keep_open(tracked)

    async def _outcome(self, tracked: TrackedFile, rest: Rest | None) -> tuple[SearchOutcome, TrackedFile | None]:
        """What it comes to that a search found `rest`, and the tracked file that is known to lie there."""
        asked = tracked
        copied = rest is not None and rest.inode != tracked.inode and tracked.fd >= 0
        if copied and not await self._thread(self._still_own, replace(tracked)):
            # Cut after it was copied, and renamed at once? Then its file is another one, which nobody knows yet.
            asked = replace(tracked, fd=-1)
            self._schedule.shut(tracked)
            self._registry.renounce(tracked)
        owner = await self.owner(rest) if rest is not None else None
        return outcome(asked, (rest.path, rest.inode) if rest else None, owner, last=self.once), owner

    def _carry_out(
        self, said: SearchOutcome, tracked: TrackedFile, rest: Rest | None, owner: TrackedFile | None
    ) -> None:
        if said is SearchOutcome.LOST:
            # Another file in its place may be what an editor or a job made of it.
            unknown = tracked.unopened or (tracked.away and self._registry.shown(tracked.path) is None)
            self._changes.lost("vanished", tracked, unknown)
        elif said is SearchOutcome.AGAIN:
            tracked.searches += 1
        elif said is SearchOutcome.ANEW:
            assert rest is not None
            if tracked.after is not None:
                follow(tracked.after, tracked.before)  # what lies there is put in between again
            self._known_once.add(rest.inode)
        elif said is SearchOutcome.JOINS:
            assert owner is not None
            self.inherit(owner, tracked)
        elif said is SearchOutcome.MOVES:
            assert rest is not None
            self._registry.move(tracked, rest)
            self._changes.note[tracked] = None
        if said in (SearchOutcome.LOST, SearchOutcome.ANEW, SearchOutcome.JOINS):
            self._changes.end(tracked)
        if said in (SearchOutcome.MOVES, SearchOutcome.OPEN):
            self._changes.turns[tracked] = None

    async def _successor(self, tracked: TrackedFile, inode: tuple[int, int]) -> list[Rest]:
        """The file in which a tracked file lay that goes on in a copy: cut and written anew, it holds another one."""
        try:
            found: Rest | None = await self._thread(look_for, Rest(tracked.path, inode, 0, 0, archive=False))
        except Shortage:
            return []
        if found is None or found.archive or self._globs.matches(found.path):
            return []
        return [found] if _may_be(found, tracked) else []

    def _still_own(self, tracked: TrackedFile) -> bool:
        try:
            return self._hasher.continues(tracked.fd, os.fstat(tracked.fd).st_size, tracked)
        except OSError:
            return True

    def inherit(self, heir: TrackedFile, former: TrackedFile) -> None:
        """`heir`, already followed, is a copy of `former` and goes on from there."""
        if heir.generation == former.generation or not former.offset:
            return
        heir.unsure = False
        if heir.busy:
            heir.legacy = former
        else:
            heir.inherit(former)
            self._changes.turns[heir] = None
        self._changes.note[heir] = None

    def doubt(self, tracked: TrackedFile) -> None:
        """It is perhaps a copy in the making, or there is a shortage: nothing is read of it before that is known."""
        tracked.unsure = True
        if tracked.work is not WorkState.HELD:
            self._schedule.hold(tracked)
        self._unsure[tracked] = (tracked.there, time.monotonic())

    async def _wait_for(self, tracked: TrackedFile, rest: Rest) -> None:
        """An archive of a file of which nothing was read: it is not as it was seen, being written or in the inode of
        another, or it is what the file was compressed to."""
        if tracked.unsure and rest.inode == tracked.inode:
            return
        if tracked.work is not (WorkState.HELD if tracked.unsure else WorkState.RESTING):
            return  # the turn that it has or awaits finds nothing, and comes here again
        self._registry.move(tracked, rest)
        tracked.mtime = rest.mtime
        self.doubt(tracked)
        self._changes.note[tracked] = None
        if self.once:
            await self._decide(tracked)

    async def settle_unsure(self) -> None:
        """Look again at what was perhaps a copy in the making, and for what a shortage kept from being searched for."""
        self._owed = {tracked for tracked in self._owed if not tracked.ended}
        for tracked in list(self._owed):
            await self.add_unseen(await (self.locate(tracked) if tracked.loose else self.after(tracked)))
        for tracked in list(self._unsure):
            await self._decide(tracked)

    async def _decide(self, tracked: TrackedFile) -> None:
        if not tracked.unsure or tracked.ended:
            del self._unsure[tracked]
            return
        try:
            rest = await self._thread(
                look_for, Rest(tracked.path, tracked.inode, tracked.there, tracked.mtime, tracked.archive)
            )
            if rest is None and tracked.fd < 0:
                return  # who searches for it says what becomes of it
            size, since = self._unsure[tracked]
            rested = rest is None or (rest.size == size and time.monotonic() - since >= self._options.quiet)
            said, copied = await self._compare(rest, rested) if rest is not None else (Meeting.NEW, None)
        except Shortage:
            return
        if said is Meeting.UNDECIDED:
            assert rest is not None
            if rest.size != size:
                self._unsure[tracked] = (rest.size, time.monotonic())
            return
        del self._unsure[tracked]
        if tracked.unsure and not tracked.ended:
            tracked.unsure = False
            if rest is not None and rest.archive:
                tracked.there, tracked.mtime = rest.size, rest.mtime
            if copied is not None:
                tracked.adopt(copied)
            self._changes.note[tracked] = self._changes.turns[tracked] = None

    async def _compare(self, rest: Rest, rested: bool) -> tuple[Meeting, TrackedFile | None]:
        """What a file is that no tracked file claims, and the tracked file of which it is a copy. Raises Shortage."""
        if rest.archive and self._registry.awaited(rest.path, rest.inode):
            return Meeting.UNDECIDED, None
        tracked_files = [(tracked, replace(tracked)) for tracked in self._registry.parents(rest.path, rest.inode)]
        verdicts = [await self._thread(compare_wherever, rest, copy, self._hasher) for _, copy in tracked_files]
        parents = [
            Parent(verdict, tracked.loose or tracked.ended, False, copy.size <= copy.offset)
            for (tracked, copy), verdict in zip(tracked_files, verdicts, strict=True)
        ]
        said, _ = meeting(parents, rested=rested or self.once)
        copied = [copy for (_, copy), verdict in zip(tracked_files, verdicts, strict=True) if verdict == "continues"]
        return said, max(copied, key=lambda copy: (copy.offset, copy.head[0]), default=None)

    async def add_unseen(self, unseen: Iterable[Rest]) -> None:
        """Rotated files that no tracked file claims: nobody has read them, unless they are copies."""
        for rest in unseen:
            if await self.owner(rest) is not None:
                continue
            try:
                said, copied = await self._compare(rest, rest.inode in self._known_once)
            except Shortage:
                said, copied = Meeting.UNDECIDED, None
            tracked = TrackedFile(rest.path, rest.inode, there=rest.size, mtime=rest.mtime, archive=rest.archive)
            if copied is not None:
                tracked.adopt(copied)
            else:
                for name in original_names(rest.path)[1:]:
                    insert(tracked, self._registry.shown(name))
                _log.info("rotated file found that nobody read", source=self._options.name, path=text(rest.path))
            if not rest.archive and self._schedule.room:  # it may be deleted before its turn comes
                tracked.fd = await self._thread(open_same, rest.path, rest.inode, unclaimed=shut)
                self._schedule.keep_open(tracked)
            if said is Meeting.UNDECIDED:
                self.doubt(tracked)
            else:
                self._schedule.hold(tracked)
            self._registry.found(rest, tracked)
            self._changes.note[tracked] = self._changes.turns[tracked] = None
            # Together with those beside it: after a restart only what is younger than the youngest file saved counts
            # as unseen.
            folder = os.path.dirname(rest.path)
            self._changes.note |= {
                other: None
                for other in self._registry
                if other.record is not StoredState.SAVED and os.path.dirname(other.path) == folder
            }

    async def owner(self, rest: Rest) -> TrackedFile | None:
        """Which one the file belongs to. One that only claims its inode, from before a restart, loses that."""
        owner = self._registry.inside(rest.inode)
        if owner is None or owner.fd >= 0:
            return owner
        try:
            same = owner.known_by_content or (_may_be(rest, owner) and not await self._known(rest))
            if same and await self._thread(compare_wherever, rest, replace(owner), self._hasher) == "continues":
                return owner
        except Shortage:
            return owner
        if owner.loose:
            self._registry.renounce(owner)
        return None

    async def _known(self, rest: Rest) -> bool:
        """Whether the file is one of which something was read, in a place that was another's. Raises Shortage."""
        for tracked in self._registry.parents(rest.path, rest.inode):
            if await self._thread(compare_wherever, rest, replace(tracked), self._hasher) == "continues":
                return True
        return False

    def crowd(self) -> set[TrackedFile]:
        """Lives of deleted files to be let go as soon as they are read, as they take more than half of the room.

        What was rotated takes none: it can be shut, and opened again.
        """
        open_ = [tracked for tracked in self._registry.loose() if tracked.fd >= 0]
        room = self._schedule.open_max // 2
        if len(open_) <= room:
            return set()
        deleted = [tracked for tracked in open_ if not os.fstat(tracked.fd).st_nlink]
        return set(sorted(deleted, key=lambda tracked: tracked.changed)[: max(0, len(deleted) - room)])

    async def tend(self, tracked: TrackedFile, status: FileStatus | None, crowded: bool) -> None:
        """Let go of a rotated or deleted file once it is read and at rest."""
        said = transition(tracked, status, now=time.monotonic(), quiet=self._options.quiet, crowded=crowded)
        if said is Transition.SEARCH:
            self._schedule.shut(tracked)
            await self.add_unseen(await self.locate(tracked))
        elif said is Transition.TURN:
            assert status is not None
            self._schedule.grown(tracked, status.stat.st_size, status.stat.st_mtime_ns)
        elif said is Transition.FLUSH:
            self._schedule.want(tracked, -1, whole=True)
        elif said is Transition.END:
            if crowded and status is not None and status.writers is not False:
                self._changes.lost("crowded", tracked, written_on=True)
            self._changes.end(tracked)


def _may_be(rest: Rest, tracked: TrackedFile) -> bool:
    """Whether a file may be that of a tracked file that is known by its inode alone, under this name."""
    related = set(original_names(rest.path)) & set(original_names(tracked.path))
    return rest.archive == tracked.archive and bool(related)
