"""Follow files: found by globs, told apart from their rotated selves, read in blocks, none of it lost.

Three things run at once. A watch on the folders gives hints within milliseconds. A survey every second or two compares
what is there with what is known and is the truth. Workers give each file with news its turn.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import structlog
import watchfiles
from pydantic import Field, ValidationInfo, field_validator

from monitor.common.backoff import backoff
from monitor.common.duration import Duration
from monitor.intake import Intake, ScanError
from monitor.model import Position
from monitor.sources.base import SourceConfig
from monitor.sources.globs import Globs
from monitor.sources.rotation import Folders, Rest, base_names, compare, find_rest, look_for, original_names
from monitor.sources.survey import Found, Seen, Survey
from monitor.sources.tail import Hasher, Tail, Turn, open_file, text
from monitor.sources.watch import Changes, watch_folders

__all__ = ["FileConfig", "FileSource"]

WATERMARK = "@first-run"  # key of the position that says that this source has been started before
ROTATED = 3600.0  # seconds a rotated file must rest before it is let go: writers that never reopen still write to it
DELETED = 5.0  # the same for a deleted one, which holds its disk space as long as we hold it
LIVELY, TENDED = 60.0, 10.0  # seconds: a rotated file that did not grow for so long is looked at only so often
BURST = 1 << 20  # bytes up to which a file counts as live and goes before those that catch up
SWEEP = 2.0  # seconds between surveys at most, however many files
UNSCANNABLE = 4  # attempts at a block on which the engine fails
SHARE = 0.0015  # of a core that surveys may take while they can

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class FileConfig(SourceConfig):
    """`type = "file"`. `start_at` holds for files present at the very first start; later ones are read from 0."""

    type: Literal["file"] = "file"
    include: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()
    start_at: Literal["end", "beginning"] = "end"
    reconcile: Duration = Field(default=1.0, gt=0)  # between surveys, the safety net below the watch
    quiet: Duration = Field(default=1.0, gt=0)  # a last line without newline is scanned after so long

    @field_validator("include", "exclude")
    @classmethod
    def _absolute(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        folder = (info.context or {}).get("folder") or os.getcwd()
        found = []
        for given in value:
            pattern = given
            if not pattern or "\0" in pattern:
                raise ValueError("must be a path or a glob such as /var/log/app/*.log")
            if info.field_name == "include" or "/" in pattern:
                pattern = os.path.normpath(os.path.join(folder, os.path.expanduser(pattern)))
            if any("**" in part and part != "**" for part in pattern.split("/")):
                raise ValueError("** must stand alone between slashes, as in /var/log/**/*.log")
            found.append(pattern)
        return tuple(found)


# What a Tail knows of the content, as against the file it lies in.
_LIFE = "key generation offset size mtime head mark line flushed known until grown failures suspect rewrites".split()


class _Candidate(NamedTuple):
    """A path not seen before, and lives of which it may be a copy, each with a snapshot."""

    path: str
    now: Seen
    parents: list[tuple[Tail, Tail]]


def _status(tail: Tail) -> os.stat_result | None:
    try:
        return os.fstat(tail.fd) if tail.fd >= 0 else os.stat(tail.path)
    except OSError:
        return None


def _unreadable(error: OSError | None) -> str:
    reason = (error.strerror or str(error)) if error else "unknown error"
    hint = "; give the user of the monitor the right to read it" if isinstance(error, PermissionError) else ""
    return f"cannot be read: {reason}{hint}"


class FileSource:
    """See `FileConfig`. Positions: one a life of a file, and WATERMARK."""

    Config: ClassVar[type[SourceConfig]] = FileConfig

    def __init__(self, config: FileConfig, intake: Intake, key: bytes) -> None:
        self.config = config
        self._intake = intake
        self._hasher = Hasher.derived(key)
        self._globs = Globs(config.include, config.exclude)
        self._once = False
        self._first = False
        self._begun = False
        self._unread: dict[str, list[int]] = {}  # present at first start but unreadable: path → inode, size
        self._blocked: dict[str, str] = {}  # those of them that still are
        self._survey = Survey(self._globs, config.include, self._descriptor)  # in the thread
        self._listings = Folders()  # in the thread
        self._paths: dict[str, Tail] = {}  # followed path → the life it shows
        self._inodes: dict[tuple[int, int], Tail] = {}
        self._lives: dict[str, Tail] = {}  # path → the life last seen there
        self._aliases: dict[str, Tail] = {}  # further names that events come under: link targets, rotated names
        self._loose: dict[Tail, int] = {}  # lives without a followed path → searches that failed
        self._replaceable: set[Tail] = set()  # lives that got another name, or may be another file, while we were down
        self._unsure: dict[str, tuple[Rest, float]] = {}  # the same among rotated files
        self._tended = float("-inf")
        self._undecided: dict[str, tuple[int, float]] = {}  # perhaps a copy in the making: size, since when
        self._reported: dict[str, str] = {}
        self._open: OrderedDict[Tail, None] = OrderedDict()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._open_max = max(16, min(2048, soft // 4))
        self._live: deque[tuple[Tail, int | None]] = deque()
        self._bulk: deque[tuple[Tail, int | None]] = deque()
        self._picked = 0
        self._ready = asyncio.Semaphore(0)
        self._pending = 0
        self._idle = asyncio.Event()
        self._structure = asyncio.Lock()  # held while lives are matched with files
        self._look: set[str] = set()
        self._look_all = False
        self._wake = asyncio.Event()
        self._timers: dict[Tail, asyncio.TimerHandle] = {}

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, read to the present end and return."""
        self._once = once
        # Its own thread, so that a hanging network mount stops this source only.
        self._io = ThreadPoolExecutor(1, thread_name_prefix=f"files-{self.config.name}")
        try:
            await self._restore(await self._intake.positions())
            await self._reconcile(None)
            await self._place()
            if self._first:
                await self._mark_first_run()
            self._begun = True
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work()) for _ in range(len(os.sched_getaffinity(0)) + 2)]
                if once:
                    await self._to_end()
                    for worker in workers:
                        worker.cancel()
                else:
                    group.create_task(self._survey_forever())
                    group.create_task(self._watch_forever(deep=False))
                    group.create_task(self._watch_forever(deep=True))
        finally:
            for timer in self._timers.values():
                timer.cancel()
            for tail in {*self._inodes.values(), *self._loose}:
                tail.close()
            self._io.shutdown(wait=False)

    async def _thread(self, work: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._io, work, *args)

    # Start

    async def _restore(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        self._first = WATERMARK not in saved
        self._unread = dict(saved.get(WATERMARK, {}).get("unread", {}))
        lives: list[Tail] = []
        for key, state in saved.items():
            if key == WATERMARK:
                continue
            try:
                lives.append(Tail.restore(key, state))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                _log.warning("position ignored", source=self.config.name, key=key, error=type(error).__name__)
        # Two lives may claim one inode, when it was reused or the file truncated just before the end: the younger one.
        lives.sort(key=lambda tail: (tail.mtime, -tail.offset))
        claimed = {tail.inode: tail for tail in lives}
        for tail in lives:
            if claimed[tail.inode] is not tail:
                tail.inode = (0, 0)
        for tail in lives:
            if self._globs.matches(tail.path) or tail.loose:
                if tail.inode != (0, 0):
                    self._inodes[tail.inode] = tail
                self._lives[tail.path] = tail
                self._loose[tail] = 0
            # else: no longer included; its position waits in case it comes back

    async def _place(self) -> None:
        """Find the lives known from before whose path leads elsewhere now."""
        async with self._structure:
            known = [tail for tail in {*self._loose, *self._inodes.values()} if tail.saved]
            lives = sorted(known, key=lambda tail: tail.mtime)
            youngest = {name: tail for tail in lives for name in original_names(tail.path)[1:] or [tail.path]}
            unseen: dict[tuple[int, int], Rest] = {}
            for tail in list(self._loose):
                if not tail.ended:
                    current = tail in youngest.values()
                    unseen |= {rest.inode: rest for rest in await self._locate(tail, current)}
            for tail in self._replaceable & set(youngest.values()):
                _, later = await self._find(replace(tail))
                unseen |= {rest.inode: rest for rest in later}
            self._replaceable.clear()
            # Only now is it known which files belong to nobody.
            await self._add_unseen(unseen.values())

    async def _mark_first_run(self) -> None:
        positions = [tail.position(self.config.name) for tail in self._inodes.values() if tail.offset]
        state = {"time": time.time(), "unread": self._unread}
        await self._intake.record((), [*positions, Position(self.config.name, WATERMARK, state)])
        for tail in self._inodes.values():
            tail.saved = bool(tail.offset)
        self._first = False

    # Survey: the truth

    async def _survey_forever(self) -> None:
        pause = self.config.reconcile
        due = time.monotonic() + pause
        while True:
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    await self._wake.wait()
            except TimeoutError:
                self._look_all = True
            self._wake.clear()
            looked, self._look = self._look, set()
            whole, self._look_all = self._look_all, False
            cost = await self._reconcile(None if whole else looked)
            if whole:
                # Cheap enough to be forgotten, but never so rare that it is no safety net.
                pause = min(max(self.config.reconcile, cost / SHARE), max(self.config.reconcile, SWEEP))
                due = time.monotonic() + pause

    async def _reconcile(self, looked: set[str] | None) -> float:
        async with self._structure:
            loose = self._to_tend() if looked is None and self._begun else []
            found, statuses = await self._thread(lambda: (self._survey.look(looked), [(t, _status(t)) for t in loose]))
            await self._apply(found, statuses)
            return found.cost

    def _to_tend(self) -> list[Tail]:
        """Lives without a followed path to look after now: most are rotated files at rest, which can wait a little."""
        now = time.monotonic()
        thorough = now >= self._tended + TENDED
        if thorough:
            self._tended = now
        return [
            tail
            for tail in self._loose
            if not tail.busy and not tail.queued and (thorough or now - tail.changed < LIVELY)
        ]

    def _descriptor(self, path: str) -> int:
        tail = self._paths.get(path)
        return tail.fd if tail is not None and not tail.target else -1

    async def _apply(self, found: Found, statuses: Iterable[tuple[Tail, os.stat_result | None]]) -> None:
        strays: list[Tail] = []
        for path, now in found.changes:
            tail = self._paths.get(path)
            if tail is not None and (now is None or (now.dev, now.ino) != tail.inode):
                self._detach(path)
                if tail.loose:
                    strays.append(tail)
        # Of whom they may be copies is asked before paths change hands.
        fresh = [
            _Candidate(path, now, self._parents(path))
            for path, now in found.changes
            if now is not None and path not in self._paths and self._holder(path, now) is None
        ]
        for path, now in found.changes:
            if now is None:
                self._undecided.pop(path, None)
                continue
            tail = self._paths.get(path)
            if tail is None:
                tail = self._holder(path, now)
                if tail is None:
                    continue
                if not self._begun and not tail.head[0] and tail.mtime != now.mtime:
                    self._replaceable.add(tail)
                self._attach(tail, path)
            if (now.size, now.mtime) == tail.known and (tail.fd >= 0 or not self._room()):
                continue
            self._grown(tail, now.size)
        met = await self._meet(fresh) if fresh else []
        strays = [tail for tail in strays if tail.loose]
        for tail in met:
            # What was rotated away before it is to be known first, lest a crash in between leaves no trace of it.
            tail.held = bool(strays)
        for tail in strays:
            if not tail.ended:
                await self._add_unseen(await self._locate(tail, current=True))
        for tail in met:
            tail.held = False
            if not (self._first and tail.offset) or self._room():
                self._enqueue(tail)
        for tail, status in statuses:
            await self._tend(tail, status)
        if found.whole:
            for path, (rest, _) in list(self._unsure.items()):
                again = await self._thread(look_for, rest)
                if again is None or again.path != path:
                    self._unsure.pop(path, None)
                if again is not None:
                    await self._add_unseen([again])
            self._report(found.problems | self._blocked)

    def _holder(self, path: str, now: Seen) -> Tail | None:
        """The life in this inode. An empty one is known by nothing else, which is too little under another name."""
        tail = self._inodes.get((now.dev, now.ino))
        if tail is not None and tail in self._loose and tail.fd < 0 and not tail.head[0] and tail.path != path:
            return None
        return tail

    def _grown(self, tail: Tail, size: int) -> None:
        tail.there = size
        if tail.busy and tail.proven:
            # Known content that grows while its turn waits for the store.
            tail.grown = size
        self._enqueue(tail)

    def _report(self, problems: Mapping[str, str]) -> None:
        """Say what the survey cannot reach, and what it can again."""
        for path in [path for path in self._reported if path not in problems]:
            del self._reported[path]
            self._intake.degraded(text(path), None)
        for path, message in problems.items():
            if self._reported.get(path) != message:
                self._reported[path] = message
                self._intake.degraded(text(path), message)

    def _attach(self, tail: Tail, path: str) -> None:
        self._paths[path] = self._lives[path] = tail
        tail.paths.add(path)
        if tail.path not in tail.paths:
            if not self._begun:
                self._replaceable.add(tail)
            self._aliases.pop(tail.path, None)
            tail.path = path
        tail.loose = False
        self._loose.pop(tail, None)
        self._inodes[tail.inode] = tail
        real = os.path.realpath(path) if os.path.islink(path) else ""
        if real:
            # Events come under the name of its target, and so do its copies.
            self._aliases[real] = self._lives[real] = tail
        if tail.path == path:
            tail.dirty |= tail.target != real
            tail.target = real

    def _detach(self, path: str) -> None:
        tail = self._paths.pop(path)
        tail.paths.discard(path)
        self._recovered(tail)
        if tail.paths:
            if tail.path == path:
                tail.path = next(iter(tail.paths))
                self._enqueue(tail)  # perhaps it could not be opened under its old name
        else:
            tail.loose = True
            tail.changed = time.monotonic()
            self._loose[tail] = 0

    # Files not seen before

    async def _meet(self, fresh: list[_Candidate]) -> list[Tail]:
        """Decide for each new path: a known life under a new inode, a copy of one, or a new life. Returns them."""
        met = []
        for new, (found, parent) in zip(fresh, await self._thread(self._recognise, fresh), strict=True):
            if found is None:
                continue
            tail = found
            if (
                parent is not None
                and parent in self._loose
                and parent.path == new.path
                and parent.size <= parent.offset
            ):
                # The same path, the same content, another inode: written anew by an editor, restored, a new device id.
                self._inodes.pop(parent.inode, None)
                self._release(parent)
                parent.inode = tail.inode
                tail = parent
            elif (known := self._holder(new.path, new.now)) is not None:
                tail = known  # two new paths lead to one file
            self._attach(tail, new.path)
            tail.there = new.now.size
            met.append(tail)
        return met

    def _recognise(self, candidates: Iterable[_Candidate]) -> list[tuple[Tail | None, Tail | None]]:
        """In the thread: a new Tail and of whom it is a copy; None: not to be decided yet."""
        found = []
        for new in candidates:
            start = new.now.size if self._first and self.config.start_at == "end" else 0
            inode, size = self._unread.get(text(new.path), (0, 0))
            if inode == new.now.ino and new.now.size >= size:
                start = size
            try:
                tail, parent = self._examine(new, start)
                self._blocked.pop(new.path, None)
            except OSError as error:
                tail, parent = Tail(new.path, (new.now.dev, new.now.ino), mtime=new.now.mtime), None
                if start:  # where to begin is known, but only this file itself can be asked for its hashes
                    self._unread[text(new.path)] = [new.now.ino, start]
                    self._blocked[new.path] = _unreadable(error)
                    tail = None
            if tail is None:
                self._survey.forget(new.path)  # ask again at the next survey
            else:
                self._undecided.pop(new.path, None)
            found.append((tail, parent))
        return found

    def _examine(self, new: _Candidate, start: int) -> tuple[Tail | None, Tail | None]:
        tail = Tail(new.path, (new.now.dev, new.now.ino), mtime=new.now.mtime)
        if start:
            fd = open_file(new.path)
            try:
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) != tail.inode:
                    return None, None
                self._hasher.settle(fd, tail, min(start, status.st_size))
            finally:
                os.close(fd)
        rest = Rest(new.path, tail.inode, new.now.size, new.now.mtime, archive=False)
        verdicts = [compare(rest, copy, self._hasher) for _, copy in new.parents if not start]
        for (parent, copy), verdict in zip(new.parents, verdicts, strict=False):
            if verdict == "continues":
                tail.adopt(copy)
                return tail, parent
        for (parent, _), verdict in zip(new.parents, verdicts, strict=False):
            # Only what lies in its place can be in the middle of being copied.
            if verdict == "begins" and not parent.loose and parent is not self._lives.get(new.path):
                return (tail if self._decided(new) else None), None
        return tail, None

    def _decided(self, new: _Candidate) -> bool:
        """False while it may be a copy in the making; once it stops growing it is taken for a file of its own."""
        size, since = self._undecided.get(new.path, (-1, 0.0))
        if size != new.now.size:
            self._undecided[new.path] = (new.now.size, time.monotonic())
            return self._once
        return self._once or time.monotonic() - since >= self.config.quiet

    # Lives without a followed path

    async def _find(self, tail: Tail) -> tuple[Rest | None, list[Rest]]:
        return await self._thread(find_rest, tail, self._hasher, self._globs.matches, self._listings)

    async def _locate(self, tail: Tail, current: bool = False) -> list[Rest]:
        """Find where a life goes on whose path shows another file now, or none. Under the lock.

        `current`: it was the one at a followed path until now. Then returns the rotated files written after it.
        """
        rest, unseen = await self._find(tail)
        self._loose.setdefault(tail, 0)
        tail.loose = True
        if rest is None and tail.fd < 0:
            self._loose[tail] += 1
            if self._once or self._loose[tail] >= 3:
                self._lost("vanished", tail)
                await self._end(tail)
        elif rest is not None and tail.fd < 0 and not tail.head[0] and rest.path != tail.path:
            # An empty file, known by its inode only: whatever it is now, it has to be looked at.
            await self._end(tail)
            return [*(unseen if current else []), rest]
        elif rest is not None and (tail.fd < 0 or rest.inode == tail.inode):
            other = await self._owner(rest)
            if other is not None and other is not tail:
                self._inherit(other, tail)
                await self._end(tail, other)
            else:
                self._loose[tail] = 0
                self._move(tail, rest)
        if not tail.ended and (rest is not None or tail.fd >= 0):
            self._enqueue(tail)
        return unseen if current else []

    def _inherit(self, heir: Tail, former: Tail) -> None:
        """`heir`, already followed, is a copy of `former` and goes on from there."""
        if heir.generation == former.generation or not former.offset:
            return
        if heir.busy:
            heir.legacy = former
        else:
            heir.adopt(former)
            self._enqueue(heir)

    def _move(self, tail: Tail, rest: Rest) -> None:
        if self._inodes.get(tail.inode) is tail and tail.inode != rest.inode:
            del self._inodes[tail.inode]
        self._aliases.pop(tail.path, None)
        tail.path, tail.inode, tail.archive, tail.target = rest.path, rest.inode, rest.archive, ""
        tail.there = rest.size
        tail.dirty = True
        self._inodes[tail.inode] = tail
        self._aliases[tail.path] = tail

    async def _add_unseen(self, unseen: Iterable[Rest]) -> None:
        added: list[Tail] = []
        for rest in unseen:
            if await self._owner(rest) is not None:
                self._unsure.pop(rest.path, None)
                continue
            parents = self._parents(rest.path)
            names = set(original_names(rest.path)[1:])
            parents += [
                (life, replace(life))
                for life in self._loose
                if life.offset and life.inode != rest.inode and names & set(original_names(life.path))
            ]
            tail = Tail(rest.path, rest.inode, there=rest.size, mtime=rest.mtime, loose=True, archive=rest.archive)
            verdicts = [await self._thread(compare, rest, copy, self._hasher) for _, copy in parents]
            begun = [
                not life.loose for (life, _), verdict in zip(parents, verdicts, strict=True) if verdict == "begins"
            ]
            if any(begun) and not self._once:  # a copy in the making? Then it grows, or its original goes
                known, since = self._unsure.get(rest.path, (None, 0.0))
                if known is None or known.size != rest.size:
                    self._unsure[rest.path] = (rest, time.monotonic())
                    continue
                if time.monotonic() - since < self.config.quiet:
                    continue
            self._unsure.pop(rest.path, None)
            for (_, copy), verdict in zip(parents, verdicts, strict=True):
                if verdict == "continues":
                    tail.adopt(copy)
            if not tail.offset:
                _log.info("rotated file found that nobody read", source=self.config.name, path=text(rest.path))
            self._loose[tail] = 0
            self._inodes[tail.inode] = tail
            self._aliases[tail.path] = tail
            added.append(tail)
        if added:
            # All at once, and before the present file gets ahead of them: after a restart only what is younger than the
            # youngest life saved counts as unseen.
            folders = {os.path.dirname(tail.path) for tail in added}
            added += [
                tail
                for tail in self._inodes.values()
                if (tail.dirty or not tail.saved) and tail not in added and os.path.dirname(tail.path) in folders
            ]
            await self._intake.record((), [tail.position(self.config.name) for tail in added])
        for tail in added:
            tail.saved, tail.dirty = True, False
            self._enqueue(tail)

    async def _owner(self, rest: Rest) -> Tail | None:
        """The life that the file belongs to. One that only claims its inode, from before a restart, loses that."""
        owner = self._inodes.get(rest.inode)
        if owner is None or owner.fd >= 0 or owner not in self._loose:
            return owner
        if await self._thread(compare, rest, replace(owner), self._hasher) == "continues":
            return owner
        del self._inodes[rest.inode]
        owner.inode = (0, 0)
        return None

    def _parents(self, path: str) -> list[tuple[Tail, Tail]]:
        """Lives of which a new file at `path` may be a copy, with snapshots, as workers go on meanwhile."""
        found = [self._lives.get(name) for name in original_names(path)]
        lives = [life for life in found if life is not None and life.offset and not life.ended]
        return [(life, replace(life)) for life in lives]

    async def _tend(self, tail: Tail, status: os.stat_result | None) -> None:
        """Let go of a rotated or deleted file once it is read and at rest. Under the lock."""
        if tail.ended or not tail.loose or tail.busy or tail.queued:
            return
        if status is None or (status.st_dev, status.st_ino) != tail.inode:
            self._release(tail)
            await self._add_unseen(await self._locate(tail))
            return
        if (status.st_size, status.st_mtime_ns) != tail.known and not tail.archive:
            if tail.failures == 0:
                self._grown(tail, status.st_size)
            return
        if max(tail.offset, tail.flushed) < tail.size and not tail.archive:
            return
        if status.st_nlink == 0:
            if time.monotonic() - tail.changed >= max(DELETED, self.config.quiet):
                await self._end(tail)
        elif time.time() - status.st_mtime >= ROTATED:
            await self._end(tail)

    def _lost(self, reason: str, tail: Tail) -> None:
        count = max(tail.size, tail.grown) - max(tail.offset, tail.flushed)
        if count > 0:
            self._intake.missed(reason, count, text(tail.path))

    async def _end(self, tail: Tail, heir: Tail | None = None) -> None:
        """Forget a life. `heir` goes on for it, and is saved in the same transaction."""
        tail.ended = True
        self._recovered(tail)
        self._release(tail)
        self._loose.pop(tail, None)
        for path in tail.paths:
            self._paths.pop(path, None)
        for index in (self._lives, self._aliases):
            for path in (tail.path, tail.target):
                if index.get(path) is tail:
                    del index[path]
        if self._inodes.get(tail.inode) is tail:
            del self._inodes[tail.inode]
        positions = [Position(self.config.name, tail.key, None)] if tail.saved else []
        if heir is not None and heir.generation == tail.generation:
            positions.append(heir.position(self.config.name))
            heir.saved, heir.dirty = True, False
        if positions:
            await self._intake.record((), positions)

    def _release(self, tail: Tail) -> None:
        self._open.pop(tail, None)
        if not tail.busy:
            tail.close()

    def _room(self) -> bool:
        return len(self._open) + self._pending < self._open_max

    # Turns

    def _enqueue(self, tail: Tail, flush: int | None = None) -> None:
        if tail.ended:
            return
        if tail.busy:
            tail.again = True
        elif not tail.queued and not tail.held:
            tail.queued = True
            self._pending += 1
            self._idle.clear()
            waiting = tail.there - tail.offset
            (self._bulk if tail.bulk or waiting > BURST else self._live).append((tail, flush))
            self._ready.release()

    async def _next(self) -> tuple[Tail, int | None]:
        """The next file: live ones first, every fourth time one that catches up."""
        await self._ready.acquire()
        self._picked += 1
        first, second = (self._bulk, self._live) if self._picked % 4 == 0 else (self._live, self._bulk)
        return (first or second).popleft()

    async def _work(self) -> None:
        while True:
            tail, flush = await self._next()
            tail.queued = False
            try:
                if not tail.ended:
                    await self._turn(tail, flush)
            finally:
                self._pending -= 1
                if not self._pending:
                    self._idle.set()

    async def _turn(self, tail: Tail, flush: int | None) -> None:
        tail.busy, tail.again, tail.proven = True, False, False
        turn = Turn(self.config.name, tail, self._hasher, -1 if self._once else flush)
        failure: ScanError | None = None
        grown = tail.grown
        try:
            await self._intake.scan(turn.blocks(), turn.positions)
            turn.apply()
            if turn.verdict == "read" and tail.grown == grown:
                tail.grown = 0
            if turn.verdict == "replaced":
                await self._replaced(tail, turn)
            elif tail.legacy is not None:
                tail.adopt(tail.legacy)
                tail.again = True
        except ScanError as error:
            failure = error
        finally:
            tail.busy, tail.legacy = False, None
        if failure is not None:
            await self._unscannable(tail, failure)
        elif tail.ended:
            tail.close()
        elif turn.verdict == "failed":
            self._failed(tail, turn.error)
        elif turn.verdict == "moved":
            self._open.pop(tail, None)
            if tail.again:
                self._enqueue(tail)  # found again meanwhile
            else:
                await self._moved(tail)
        elif turn.verdict == "replaced":
            tail.there = turn.size
            self._enqueue(tail)
        else:
            await self._read(tail, turn)
        self._keep_open(tail)

    async def _read(self, tail: Tail, turn: Turn) -> None:
        self._recovered(tail)
        tail.bulk = turn.more
        if tail.archive and not turn.more:
            async with self._structure:
                await self._end(tail)
        elif turn.more or tail.again:
            self._enqueue(tail)
        elif turn.rest and tail.flushed != turn.size:
            self._later(tail, self.config.quiet, turn.size)

    def _later(self, tail: Tail, seconds: float, flush: int | None = None) -> None:
        """Give it a turn after so long; replaces what was planned for it before."""
        if planned := self._timers.pop(tail, None):
            planned.cancel()

        def fire() -> None:
            self._timers.pop(tail, None)
            self._enqueue(tail, flush)

        self._timers[tail] = asyncio.get_running_loop().call_later(seconds, fire)

    def _recovered(self, tail: Tail) -> None:
        if tail.failures:
            tail.failures = 0
            self._intake.degraded(text(tail.path), None)

    async def _unscannable(self, tail: Tail, error: ScanError) -> None:
        """The engine failed on a block. Tried again, in case it was the moment; then passed over and counted lost.

        From the first failure on the blocks before it are committed one by one, so that it is lost alone.
        """
        tail.failures += 1
        tail.suspect = error.end
        self._intake.degraded(text(tail.path), str(error))
        if tail.failures < UNSCANNABLE or tail.archive or tail.fd < 0:
            if not self._once:
                self._later(tail, 0.5 * 2.0**tail.failures)
            return
        self._intake.missed("unscannable", max(0, error.end - tail.offset), text(tail.path))
        await self._thread(self._hasher.settle, tail.fd, tail, error.end)
        await self._intake.record((), [tail.position(self.config.name)])
        tail.saved = True
        self._enqueue(tail)

    def _failed(self, tail: Tail, error: OSError | None) -> None:
        """An unreadable file is named and tried again, ever more slowly up to half a minute."""
        tail.failures += 1
        self._release(tail)  # a stale handle does not get better
        self._intake.degraded(text(tail.path), _unreadable(error))
        if not self._once:
            self._later(tail, backoff(tail.failures, 1.0, 30.0))

    async def _moved(self, tail: Tail) -> None:
        if tail.loose:
            async with self._structure:
                if tail.loose and not tail.ended:
                    await self._add_unseen(await self._locate(tail))
        elif self._once:
            await self._reconcile(set(tail.paths))
        else:
            self._look |= tail.paths
            self._wake.set()

    async def _replaced(self, tail: Tail, turn: Turn) -> None:
        """The file holds another content than the one known: truncated, or its inode given to a new file.

        `tail` becomes the new life; the old one goes on in a copy, if there is one.
        """
        async with self._structure:
            if tail.ended:
                return
            if tail.archive:
                await self._end(tail)
                return
            current = not tail.loose
            former = replace(tail, fd=-1, paths=set(), queued=False, busy=False, loose=True)
            former.inode = (0, 0)  # that one belongs to the new life
            rest, unseen = await self._find(replace(tail))
            if rest is not None and rest.inode == tail.inode:
                rest = None
            if rest is None:
                self._lost("truncated", former)
            elif not rest.archive:
                self._lost("truncated", replace(former, offset=max(former.offset, rest.size)))
            heir = await self._owner(rest) if rest is not None else None
            if heir is not None:
                self._inherit(heir, former)
            elif rest is not None:
                self._loose[former] = 0
                self._move(former, rest)
                self._enqueue(former)
            if former not in self._loose:
                former.path = ""
                await self._end(former, heir)
            if not current:
                unseen = []
            legacy, tail.legacy, tail.saved, tail.dirty = tail.legacy, None, False, False
            place = Rest(tail.path, tail.inode, 0, 0, archive=False)
            again = await self._thread(look_for, place) if tail.loose and legacy is None else None
            if again is not None:
                # Truncated and rotated at once, or overwritten with a copy of another one: it has to be looked at.
                await self._end(tail)
                unseen = [again]
            elif legacy is None and not tail.loose and base_names(os.path.basename(tail.path)):
                self._look |= tail.paths
                for path in list(tail.paths):
                    self._survey.forget(path)
                await self._end(tail)
                self._wake.set()
            else:
                rewrites = tail.rewrites + 1 if turn.rewritten else 0
                new = Tail(tail.path, tail.inode, mtime=turn.mtime, rewrites=rewrites)
                for name in _LIFE:
                    setattr(tail, name, getattr(new, name))
                if legacy is not None:
                    tail.adopt(legacy)
            await self._add_unseen(unseen)
        if self._once and tail.ended:
            await self._reconcile(None)

    def _keep_open(self, tail: Tail) -> None:
        """Descriptors stay open, so that a rotated or deleted file can be read to its end, up to a limit."""
        if tail.fd < 0:
            self._open.pop(tail, None)
            return
        self._open[tail] = None
        self._open.move_to_end(tail)
        if len(self._open) > self._open_max:
            for other in self._open:
                # A deleted file could not be opened again.
                if not other.busy and not other.loose:
                    self._release(other)
                    break

    async def _to_end(self) -> None:
        for tail in self._inodes.values():
            tail.until = max(tail.there, tail.offset)
            self._enqueue(tail)
        if self._pending:
            await self._idle.wait()

    # Watch: hints

    def _hint(self, changes: Changes) -> None:
        """Something happened to these paths. Files known and merely written to get their turn at once."""
        for change, path in changes:
            tail = self._paths.get(path) or self._aliases.get(path)
            if tail is not None and change == watchfiles.Change.modified:
                tail.changed = time.monotonic()
                self._enqueue(tail)
            elif self._globs.matches(path):
                self._look.add(path)
                self._wake.set()
            elif change == watchfiles.Change.added and os.path.isdir(path):
                self._look_everywhere()

    async def _watch_forever(self, deep: bool) -> None:
        await watch_folders(
            lambda: self._folders(deep),
            self._hint,
            self._look_everywhere,
            deep=deep,
            pause=self.config.reconcile,
            source=self.config.name,
        )

    def _look_everywhere(self) -> None:
        self._look_all = True
        self._wake.set()

    def _folders(self, deep: bool) -> Mapping[str, int]:
        if deep:
            return self._globs.deep
        targets = {os.path.dirname(path) for path, tail in self._aliases.items() if not tail.loose}
        return {**dict.fromkeys(targets, 0), **self._globs.flat}
