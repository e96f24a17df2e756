"""Keeps the registry true to what lies on disk: does what discoveries and transitions decide, and records it in one go.

Whatever a look brings, files that end and those that begin, is committed in one transaction before any of them gets
a turn: a crash in between must not leave a file of which nobody knows any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from monitor.common.files import open_same, opened
from monitor.common.rotation_names import base_names
from monitor.domain.model import Position
from monitor.intake.protocol import Intake
from monitor.sources.file.blanks import last_written
from monitor.sources.file.carry import follow
from monitor.sources.file.changes import PositionChanges, TrackingOptions
from monitor.sources.file.discovery import Discovery, Meeting, Parent, discovery, meeting
from monitor.sources.file.globs import Globs
from monitor.sources.file.identity import Hasher
from monitor.sources.file.logs import Logs, youngest
from monitor.sources.file.reader import FileReader
from monitor.sources.file.registry import Registry
from monitor.sources.file.rights import refusal
from monitor.sources.file.rotated_files import RotatedFiles
from monitor.sources.file.rotation import Rest, Shortage, compare_wherever, look_for
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.survey import FileStamp, Observation, Survey
from monitor.sources.file.tracked_file import FileStatus, StoredState, TrackedFile, text

__all__ = ["WATERMARK", "Tracker"]

WATERMARK = "@first-run"  # key of the position that says that this source has been started before

_log = structlog.get_logger(__name__)


class _Candidate(NamedTuple):
    """A path not seen before, and tracked files of which it may be a copy, each with a snapshot."""

    path: str
    now: FileStamp
    parents: list[tuple[TrackedFile, TrackedFile]]


class Tracker:
    """Use on the event loop only; `thread` runs a function where it may block. All changes happen under one lock.

    See `RotatedFiles` for the tracked files that no followed path leads to.
    """

    def __init__(
        self,
        options: TrackingOptions,
        intake: Intake,
        *,
        hasher: Hasher,
        globs: Globs,
        survey: Survey,
        registry: Registry,
        schedule: Schedule,
        thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._options, self._intake, self._hasher = options, intake, hasher
        self._globs, self._survey = globs, survey
        self._registry, self._schedule, self._thread = registry, schedule, thread
        self.changes = PositionChanges(options.name, intake, registry, schedule)
        self._rotated = RotatedFiles(
            options,
            self.changes,
            hasher=hasher,
            globs=globs,
            registry=registry,
            schedule=schedule,
            thread=thread,
        )
        self._logs = Logs(globs, registry)
        self._once = False
        self._first = False
        self.begun = False  # the tracked files from before a restart have been placed
        self._unread: dict[str, list[int]] = {}  # present at first start but unreadable: path → inode, size
        self.blocked: dict[str, str] = {}  # those of them that still are
        self._replaceable: set[TrackedFile] = set()  # got another name, or may be another file, while we were down
        self._look: set[str] = set()  # paths to look at again

    # Start

    def restore(self, saved: Mapping[str, Mapping[str, Any]], once: bool) -> None:
        """Take over what was known before a restart. `once`: nobody looks a second time."""
        self._once = self._rotated.once = once
        self._first = WATERMARK not in saved
        self._unread = dict(saved.get(WATERMARK, {}).get("unread", {}))
        tracked_files: list[TrackedFile] = []
        past: list[TrackedFile] = []
        for key, state in saved.items():
            if key == WATERMARK:
                continue
            try:
                tracked = TrackedFile.restore(key, state)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                _log.warning("position ignored", source=self._options.name, key=key, error=type(error).__name__)
                continue
            if tracked.ended:
                past.append(tracked)
            # One no longer included waits in case it comes back.
            elif self._globs.matches(tracked.path) or state.get("loose"):
                tracked_files.append(tracked)
        self._registry.remember(tracked_files)
        known = {tracked.key: tracked for tracked in (*tracked_files, *past)}
        for tracked in tracked_files:
            follow(tracked, known.get(str(saved[tracked.key].get("before"))))
        for tracked in tracked_files:
            if tracked.unsure:
                self._rotated.doubt(tracked)
        for tracked in sorted(past, key=lambda tracked: tracked.mtime):
            self.changes.over |= {one.key: None for one in self._registry.recall(tracked)}

    async def begin(self) -> Observation:
        """The first look: follow what is there, and find those known from before whose path leads elsewhere now."""
        extra: list[Position] = []
        async with self.changes.gathered(extra):
            former = [tracked for tracked in self._registry if tracked.record is not StoredState.NONE]
            observation: Observation = await self._thread(self._survey.look)
            await self._doubt(observation, youngest((tracked, self._logs.of(tracked.path)) for tracked in former))
            await self._apply(observation)
            await self._place(former)
            await self._meet_later()
            if self._once:
                await self._rotated.settle_unsure()
            if self._first:
                extra.append(Position(self._options.name, WATERMARK, {"time": time.time(), "unread": self._unread}))
        self.begun, self._first = True, False
        return observation

    async def _doubt(self, found: Observation, trusted: Collection[TrackedFile] = ()) -> None:
        """One that was rotated away or deleted and is shut may be seen again by its inode alone, which another file has
        by now. It is not to be taken for the log that is followed: what was written after it was found after others."""
        for path, now in found.changes:
            owner = self._registry.inside((now.dev, now.ino)) if now is not None else None
            if now is None or owner is None or not owner.loose or owner.fd >= 0:
                continue
            renamed = not self.begun and path != owner.path  # or restored: on another disk inodes are others
            if renamed or (owner not in trusted and (now.size, now.mtime) != owner.known[:2]):
                await self._rotated.owner(Rest(path, owner.inode, now.size, now.mtime, archive=False))

    async def _place(self, former: Iterable[TrackedFile]) -> None:
        tracked_files = sorted((tracked for tracked in former if not tracked.ended), key=lambda tracked: tracked.mtime)
        # After a log that lies where it lay nobody is searched for.
        shown = {file for file in tracked_files if not file.loose and self._logs.shown_at(file.path)}
        still = shown - self._replaceable
        latest = youngest((file, [file.path] if file in still else self._logs.of(file.path)) for file in tracked_files)
        unseen: dict[tuple[int, int], Rest] = {}
        for tracked in tracked_files:
            if tracked.loose:
                unseen |= {rest.inode: rest for rest in await self._rotated.locate(tracked, tracked in latest)}
            elif tracked in latest - still - self._replaceable:  # rotated, and the log after it was not known yet
                unseen |= {rest.inode: rest for rest in await self._rotated.after(tracked)}
        for tracked in self._replaceable:
            if tracked.known_by_content and tracked not in latest:
                continue
            unseen |= {rest.inode: rest for rest in await self._rotated.after(tracked)}
        self._replaceable.clear()
        # Only now is it known which files belong to nobody.
        await self._rotated.add_unseen(unseen.values())

    # What a look brings

    async def look(self, paths: Iterable[str] | None, tended: Iterable[TrackedFile]) -> tuple[Observation, set[str]]:
        """Look at the disk and follow what it says. Returns what was found, and paths to look at once more."""
        async with self.changes.gathered():
            loose = list(tended)
            reserved = [file for file in self._registry if file.reserved and not file.busy] if paths is None else []
            self._look = set()

            def work() -> tuple[Observation, list[tuple[TrackedFile, FileStatus | None]], list[TrackedFile]]:
                statuses = [(tracked, self._survey.status(tracked)) for tracked in loose]
                return self._survey.look(paths), statuses, [file for file in reserved if self._survey.filled(file)]

            observation, statuses, filled = await self._thread(work)
            self.changes.turns |= dict.fromkeys(tracked for tracked in filled if not tracked.ended)
            await self._doubt(observation)
            await self._apply(observation)
            crowd = self._rotated.crowd()
            for tracked, status in statuses:
                await self._rotated.tend(tracked, status, tracked in crowd)
            if observation.whole:
                await self._rotated.settle_unsure()
            await self._meet_later()
            return observation, self._look

    async def _meet_later(self) -> None:
        """Look at followed files that a search came upon before any look did, within the same changes: after a restart
        they would be taken for older than what it was that they were written before."""
        asked: set[str] = set()
        while unmet := self._rotated.unmet - asked:
            asked |= unmet
            await self._apply(await self._thread(self._survey.look, unmet))
        self._rotated.unmet.clear()

    async def _apply(self, observation: Observation) -> None:
        rotated_files: list[tuple[TrackedFile, bool]] = []
        fresh: list[_Candidate] = []
        back: dict[str, TrackedFile] = {}  # logs that were missing until now, and what was known there
        for path, now in observation.changes:
            shown = self._registry.shown(path)
            owner = self._registry.inside((now.dev, now.ino)) if now else None
            said = discovery(shown, owner, path, now)
            if said.leaves:
                tracked = self._leave(path)
                if tracked.loose:
                    rotated_files.append((tracked, self._logs.shown_at(path)))
            # An empty file that loses its name in this same look may have lost its inode to another one.
            doubtful = owner is not None and owner is not shown and not owner.known_by_content and owner.fd < 0
            if now is not None and (said.fresh or doubtful):
                # Of whom they may be copies is asked before paths change hands.
                # At a start it may have got another inode and another name.
                parents = self._registry.parents(path, None if self.begun else (now.dev, now.ino))
                fresh.append(_Candidate(path, now, [(tracked, replace(tracked)) for tracked in parents]))
                if self.begun and shown is None and (last := self._registry.last(path)) and self._logs.shown_at(path):
                    back[path] = last
        for path, now in observation.changes:
            if now is None:
                continue
            owner = self._registry.shown(path) or self._registry.inside((now.dev, now.ino))
            said = discovery(self._registry.shown(path), owner, path, now)
            if owner is not None and said is Discovery.RENAMED:
                self._take(owner, path, now)
            if owner is not None and not said.fresh and self._needs_turn(owner, now):
                self._schedule.grown(owner, now.size, now.mtime)
        fresh = [new for new in fresh if self._registry.shown(new.path) is None]
        before = [tracked for tracked in await self._meet(fresh) if self._logs.shown_at(tracked.path)]
        # Since it was seen that there is none, another may have come and gone.
        before += [tracked for path, tracked in back.items() if self._registry.shown(path) is not tracked]
        for tracked in before:
            await self._rotated.add_unseen(await self._rotated.after(tracked))
        for tracked, current in rotated_files:
            if tracked.loose:
                await self._rotated.add_unseen(await self._rotated.locate(tracked, current))
            elif current and not tracked.ended:
                await self._rotated.add_unseen(await self._rotated.after(tracked))

    def _leave(self, path: str) -> TrackedFile:
        tracked = self._registry.detach(path)
        self.changes.recovered(tracked)
        if not tracked.loose and path not in tracked.paths:
            self.changes.turns[tracked] = None  # perhaps it could not be opened under its old name
        return tracked

    def _take(self, tracked: TrackedFile, path: str, now: FileStamp) -> None:
        if not self.begun and ((not tracked.head[0] and tracked.mtime != now.mtime) or tracked.path != path):
            self._replaceable.add(tracked)
        self._registry.attach(tracked, path)
        if (now.size, now.mtime) == tracked.known[:2]:
            tracked.known = (now.size, now.mtime, now.ctime)
        if tracked.record is not StoredState.SAVED:
            self.changes.note[tracked] = None

    def _needs_turn(self, tracked: TrackedFile, now: FileStamp) -> bool:
        # One that is shut gets a turn that opens it, as long as there is room: deleted files cannot be opened any more.
        same = (now.size, now.mtime) == tracked.known[:2] and tracked.known[2] in (-1, now.ctime)
        return not same or (tracked.fd < 0 and self._schedule.room)

    # Files not seen before

    async def _meet(self, fresh: list[_Candidate]) -> list[TrackedFile]:
        """Decide for each new path: a known file under a new inode, a copy of one, or a new one. Returns those that
        could not be opened any more: after them others may have come and gone, one of which has their inode."""
        gone: list[TrackedFile] = []
        if not fresh:
            return gone
        recognised = await self._thread(self._recognise, fresh, self._schedule.spare, unclaimed=_close)
        for new, (new_file, parent) in zip(fresh, recognised, strict=True):
            if new_file is None:
                continue
            tracked = new_file
            owner = self._registry.inside(tracked.inode)
            if parent is not None and parent.loose and not parent.busy:
                # Written anew by an editor or by a job, restored, a new device id: the ends are the same, the rest may
                # not be. Read again under the same generation, which gives what is the same the same ids.
                self._schedule.shut(parent)
                self._registry.settle_in(parent, tracked.inode)
                parent.fd, tracked.fd = tracked.fd, -1
                if tracked.generation != parent.generation:
                    parent.start = tracked.start
                    parent.rewind()
                tracked = parent
            elif owner is not None and discovery(None, owner, new.path, new.now) is Discovery.RENAMED:
                tracked = owner  # two new paths lead to one file
            elif tracked.unsure:
                self._rotated.doubt(tracked)
            else:
                if parent is not None:  # it has its turn just now: another tracked file then, of the same generation
                    tracked.generation = parent.generation
                self._schedule.hold(tracked)
            if tracked is not new_file or self._registry.shown(new.path) is not None:
                new_file.close()
            self._schedule.keep_open(tracked)
            if self._registry.shown(new.path) is not None:
                continue
            before = self._registry.last(new.path)
            self._registry.attach(tracked, new.path)
            if parent is None and tracked is new_file:
                self._succeeds(tracked, before)
            tracked.there = new.now.size
            self.changes.note[tracked] = None
            if tracked.fd < 0 and not tracked.start and self._schedule.room:
                gone.append(tracked)
            if tracked.unsure:
                continue
            if not (self._first and tracked.offset) or self._schedule.room:
                self.changes.turns[tracked] = None
            else:
                self._schedule.release(tracked)
                tracked.unopened = True
        return gone

    def _succeeds(self, tracked: TrackedFile, before: TrackedFile | None) -> None:
        """A new content at a path: what its log was until now goes on there, unless a link was turned to another."""
        if tracked.offset or tracked.start or before is None or before.target != tracked.target:
            return
        if self._logs.shown_at(tracked.path):
            follow(tracked, before)

    def _recognise(
        self, candidates: Iterable[_Candidate], spare: int
    ) -> list[tuple[TrackedFile | None, TrackedFile | None]]:
        """In the thread: a new Life, and the one that goes on in its place; None: it cannot be read yet.

        So many of the files as `spare` stay open, since they may be deleted before their turn comes.
        """
        recognised = []
        for new in candidates:
            start = self._beginning(new.path, new.now)
            inode, size = self._unread.get(text(new.path), (0, 0))
            if inode == new.now.ino and new.now.size >= size:
                start = size
            tracked: TrackedFile | None
            try:
                tracked, parent = self._examine(new, start)
                self.blocked.pop(new.path, None)
            except Shortage:
                parent = None
                tracked = TrackedFile(new.path, (new.now.dev, new.now.ino), mtime=new.now.mtime, unsure=True)
            except OSError as error:
                parent = None
                tracked = TrackedFile(new.path, (new.now.dev, new.now.ino), mtime=new.now.mtime)
                if start:  # where to begin is known, but only this file itself can be asked for its hashes
                    self._unread[text(new.path)] = [new.now.ino, start]
                    self.blocked[new.path] = refusal(new.path, error)
                    tracked = None
            if tracked is None:
                self._survey.forget(new.path)  # ask again at the next survey
            elif spare > 0 and not tracked.start:
                tracked.fd = open_same(new.path, tracked.inode)
                spare -= tracked.fd >= 0
            recognised.append((tracked, parent))
        return recognised

    def _beginning(self, path: str, now: FileStamp) -> int:
        """How much of a file is left unread at the very first start: what was there when the monitor was started."""
        if not self._first or self._options.start_at != "end":
            return 0
        if (present := self._intake.present) is None:
            return now.size
        inode, size = present.get(path, (0, 0))
        return min(size, now.size) if inode == now.ino else 0

    def _examine(self, new: _Candidate, start: int) -> tuple[TrackedFile | None, TrackedFile | None]:
        tracked = TrackedFile(new.path, (new.now.dev, new.now.ino), mtime=new.now.mtime)
        if start:
            with opened(new.path) as fd:
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) != tracked.inode:
                    return None, None
                self._hasher.settle(fd, tracked, last_written(fd, 0, min(start, status.st_size)))
            tracked.start = tracked.offset
            return tracked, None
        rest = Rest(new.path, tracked.inode, new.now.size, new.now.mtime, archive=False)
        parents = [
            Parent(
                compare_wherever(rest, copy, self._hasher),
                tracked_.loose,
                tracked_.path == new.path or self._registry.last(new.path) is tracked_,
                copy.size <= copy.offset,
            )
            for tracked_, copy in new.parents
        ]
        said, index = meeting(parents, rested=self._once)
        if said in (Meeting.NEW, Meeting.UNDECIDED):
            tracked.unsure = said is Meeting.UNDECIDED
            return tracked, None
        parent, copy = new.parents[index]
        if said is Meeting.REWRITTEN:
            with opened(new.path) as fd:
                same = self._hasher.body_matches(fd, copy)
            if same and copy.body[0] >= copy.offset:
                tracked.adopt(copy)  # every byte was compared
            elif same:
                tracked.start = copy.start
            return tracked, parent
        tracked.adopt(copy)
        return tracked, None

    # What a turn brings

    async def read_whole(self, tracked: TrackedFile) -> None:
        """A compressed file was read to its end."""
        async with self.changes.gathered():
            if not tracked.ended:
                self.changes.end(tracked)

    async def moved(self, tracked: TrackedFile) -> None:
        """The path of a loose tracked file leads to another file."""
        async with self.changes.gathered():
            if tracked.loose:
                await self._rotated.add_unseen(await self._rotated.locate(tracked))
            await self._meet_later()

    async def replaced(self, old: TrackedFile, file_reader: FileReader) -> set[str]:
        """The file holds another content than the one known: truncated, or its inode given to a new file.

        A new tracked file takes its place; the old one goes on in a copy, if there is one. Returns paths to look at.
        """
        async with self.changes.gathered():
            self._look = set()
            if old.ended or old.inode != file_reader.inode:  # a look was faster
                return set()
            if old.archive:
                self.changes.end(old)
                return set()
            try:
                unseen = await self._succeed(old, file_reader)
            except Shortage:
                self._schedule.later(old, 1.0)
                return set()
            await self._rotated.add_unseen(unseen)
            await self._meet_later()
            return self._look

    async def _succeed(self, old: TrackedFile, file_reader: FileReader) -> list[Rest]:
        current = not old.loose
        rest, unseen = await self._rotated.find(old)
        if rest is not None and rest.inode == old.inode:
            rest = None
        heir = await self._rotated.owner(rest) if rest is not None else None
        place = Rest(old.path, old.inode, 0, 0, archive=False)
        legacy, old.legacy = old.legacy, None
        again = await self._thread(look_for, place) if not current and legacy is None else None

        new = TrackedFile(old.path, old.inode, mtime=file_reader.mtime, target=old.target, there=file_reader.size)
        new.rewrites = old.rewrites + 1 if file_reader.rewritten else 0
        self._schedule.hold(new)
        self._registry.succeed(old, new)
        if old.grown == (file_reader.size, file_reader.mtime):
            old.grown = (0, -1)  # a look during the last turn saw this content already
        if rest is None:
            self.changes.lost("truncated", old)
        elif not rest.archive:
            self.changes.lost("truncated", replace(old, offset=max(old.offset, rest.size)))
        if rest is not None and heir is None:
            self._registry.move(old, rest)
            self.changes.note[old] = self.changes.turns[old] = None
            follow(new, old)
        else:
            if heir is not None:
                self._rotated.inherit(heir, old)
                follow(new, heir)
            self.changes.end(old)

        if again is not None:
            # Truncated and rotated at once, or overwritten with a copy of another one: it has to be looked at.
            self.changes.end(new)
            return [again]
        if legacy is None and current and base_names(os.path.basename(new.path)):
            self._look |= new.paths
            for path in new.paths:
                self._survey.forget(path)
            self.changes.end(new)
        else:
            if legacy is not None:
                new.inherit(legacy)
            self.changes.note[new] = self.changes.turns[new] = None
        return unseen if current and self._logs.shown_at(new.path) else []


def _close(recognised: Iterable[tuple[TrackedFile | None, TrackedFile | None]]) -> None:
    for tracked, _ in recognised:
        if tracked is not None:
            tracked.close()
