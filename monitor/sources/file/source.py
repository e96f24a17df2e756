"""Follow files: found by globs, told apart from their rotated selves, read in blocks, none of it lost.

Three things run at once. A watch on the folders gives hints within milliseconds. A survey every second or two compares
what is there with what is known and is the truth. Workers give each file with news its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, TypeVar

import structlog
from pydantic import Field, ValidationInfo, field_validator

from monitor.common.backoff import backoff
from monitor.common.duration import Duration
from monitor.common.failure import failure
from monitor.common.files import opened
from monitor.intake.protocol import Intake, ScanError
from monitor.sources.base import LogConfig, SourceConfig, Where
from monitor.sources.file.blanks import last_written
from monitor.sources.file.carry import PATIENCE, ready, snapshot, waited
from monitor.sources.file.globs import Globs
from monitor.sources.file.identity import Hasher
from monitor.sources.file.reader import EARLY, FileReader, Unwrap
from monitor.sources.file.registry import Registry
from monitor.sources.file.rights import refusal
from monitor.sources.file.schedule import Schedule
from monitor.sources.file.survey import FileStamp, Survey
from monitor.sources.file.tracked_file import StoredState, TrackedFile, WorkState, text
from monitor.sources.file.tracker import WATERMARK, Tracker
from monitor.sources.file.watch import Watch, WatchHints

__all__ = ["FileConfig", "FileSource"]

_log = structlog.get_logger(__name__)

LIVELY, TENDED = 60.0, 10.0  # seconds: a rotated file that did not grow for so long is looked at only so often
SWEEP = 2.0  # seconds between surveys at most, however many files
UNSCANNABLE = 4  # attempts at a block on which the engine fails
SHARE = 0.0015  # of a core that surveys may take while they can
OPEN = (
    30.0  # seconds after which the last word of an open line is taken for whole: a writer may pause in the midst of it
)

_T = TypeVar("_T")


def _written(path: str, seen: FileStamp) -> int:
    try:
        with opened(path) as fd:
            return last_written(fd, 0, seen.size)
    except OSError:
        return seen.size


EXAMPLE = """
# Files are followed through rotation by rename and by copytruncate. What this user may not read is reported.
[[sources]]
name = "system"
type = "file"
#audit = "vault"                # default: none. Its lines are audit records, too: docs/access.md
#environment = "staging"        # default: "". Of who writes them: secrets of others are reported (docs/inventory.md)
include = ["/var/log/**/*.log", "/var/log/syslog", "/var/log/messages"]
exclude = ["/var/log/journal/**", "/var/log/pods/**", "/var/log/containers/**"]
#start_at = "end"               # for files present at the very first start: "end" or "beginning"; later ones: from 0
#reconcile = "1s"               # pause between surveys of the folders, the safety net below the watch
#quiet = "1s"                   # a last line without newline is scanned after so long

[[sources]]
name = "demo"
type = "file"
include = ["./var/log/*.log"]
"""


class FileConfig(LogConfig):
    """Follows files, through rotation by rename and by copytruncate.

    - `include`: globs; `**` for any depth
    - `exclude`: globs; one without a slash is held against the file's name alone
    - `start_at`: where to begin in files that are present at the very first start: `"end"` or `"beginning"`. Files that
      appear later are read from their start
    - `reconcile`: pause between surveys of the folders, the safety net below the watch
    - `quiet`: a last line without newline is scanned after so long

    **Reads** exactly once: the position is committed with what was found. **Can lose** what was deleted, truncated or
    overwritten before it could be read ([reliability](reliability.md)), reported in `bytes_missed_total`, to the byte
    where that can be known.
    """

    reach: ClassVar[tuple[str, ...]] = ("include", "exclude")
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
        patterns = []
        for given in value:
            pattern = given
            if not pattern or "\0" in pattern:
                raise ValueError("must be a path or a glob such as /var/log/app/*.log")
            if info.field_name == "include" or "/" in pattern:
                pattern = os.path.normpath(os.path.join(folder, os.path.expanduser(pattern)))
            if any("**" in part and part != "**" for part in pattern.split("/")):
                raise ValueError("** must stand alone between slashes, as in /var/log/**/*.log")
            patterns.append(pattern)
        return tuple(patterns)


class FileSource:
    """See `FileConfig`. Positions: one a tracked file, and WATERMARK."""

    Config: ClassVar[type[SourceConfig]] = FileConfig

    def __init__(self, config: FileConfig, intake: Intake, key: bytes, container: Unwrap | None = None) -> None:
        self.config, self._container, self._intake = config, container, intake
        self._hasher = Hasher.derived(key)
        self._globs = Globs(config.include, config.exclude)
        self._once = False
        self._watch: Watch | None = None
        self._registry = Registry()
        self._schedule = Schedule()
        self._survey = Survey(self._globs, config.include, self._descriptor)  # in the thread
        self._tracker = Tracker(
            config,
            intake,
            hasher=self._hasher,
            globs=self._globs,
            survey=self._survey,
            registry=self._registry,
            schedule=self._schedule,
            thread=self._thread,
        )
        self._tended = float("-inf")
        self._reported: dict[str, str] = {}
        self._look: set[str] = set()
        self._look_all = False
        self._wake = asyncio.Event()

    @staticmethod
    def present(config: FileConfig) -> dict[str, tuple[int, int]]:
        """The files that are there now: path → inode and size, without space set aside at the end. Blocking."""
        found = Survey(Globs(config.include, config.exclude), config.include).look()
        return {path: (seen.ino, _written(path, seen)) for path, seen in found.changes if seen is not None}

    @staticmethod
    def where(positions: Mapping[str, Mapping[str, Any]]) -> Where:
        """Files, and the bytes in them that were not read, as they lie there now. Blocking."""
        files, behind = 0, 0
        for key, state in positions.items():
            if key == WATERMARK or state.get("ended"):
                continue
            files += 1
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
                tracked = TrackedFile.restore(key, state)
                seen = os.stat(tracked.path)
                if (seen.st_dev, seen.st_ino) == tracked.inode and not tracked.archive:
                    behind += max(0, seen.st_size - max(tracked.offset, tracked.flushed))
        return Where(f"{files:,} file{'s' * (files != 1)}", behind)

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, read to the present end and return."""
        self._once = once
        # Its own thread, so that a hanging network mount stops this source only.
        self._io = ThreadPoolExecutor(1, thread_name_prefix=f"files-{self.config.name}")
        try:
            self._tracker.restore(await self._intake.positions(), once)
            self._intake.backlog(self._registry.unread)
            self._take_handles()
            self._watch = None if once else Watch(self._hint)
            self._report((await self._tracker.begin()).problems | self._tracker.blocked)
            await self._follow_folders()
            await self._intake.started()
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work()) for _ in range(len(os.sched_getaffinity(0)) + 2)]
                if once:
                    await self._to_end()
                    for worker in workers:
                        worker.cancel()
                else:
                    group.create_task(self._survey_forever())
        finally:
            self._schedule.stop()
            self._leave_handles()
            if self._watch is not None:
                self._watch.stop()
                self._io.submit(self._watch.close)
            self._io.shutdown(wait=False)

    def _take_handles(self) -> None:
        left = self._intake.handles
        for tracked in self._registry:
            tracked.fd = left.pop(tracked.inode, -1)
            self._schedule.keep_open(tracked)
        for descriptor in left.values():
            os.close(descriptor)
        left.clear()

    def _leave_handles(self) -> None:
        """Deleted files cannot be opened again, and any file may be deleted before whoever comes after opens it."""
        for tracked in self._registry:
            if tracked.fd >= 0 and not tracked.ended:
                self._intake.handles[tracked.inode], tracked.fd = tracked.fd, -1
            tracked.close()

    async def _thread(
        self, work: Callable[..., _T], *args: Any, unclaimed: Callable[[_T], object] = lambda result: None
    ) -> _T:
        """`unclaimed`: gets what comes of it where nobody waits for it any more."""
        job = self._io.submit(work, *args)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            job.add_done_callback(lambda job: job.cancelled() or job.exception() or unclaimed(job.result()))
            raise

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
        found, again = await self._tracker.look(looked, self._to_tend() if looked is None else [])
        if found.whole:
            self._report(found.problems | self._tracker.blocked)
            await self._follow_folders()
        self._look_at(again)
        return found.cost

    def _to_tend(self) -> list[TrackedFile]:
        """Lives without a followed path to look after now: most are rotated files at rest, which can wait a little."""
        now = time.monotonic()
        thorough = now >= self._tended + TENDED
        if thorough:
            self._tended = now
        return [
            tracked
            for tracked in self._registry.loose()
            if self._tracker.begun and not tracked.busy and (thorough or now - tracked.changed < LIVELY)
        ]

    def _descriptor(self, path: str) -> int:
        tracked = self._registry.shown(path)
        return tracked.fd if tracked is not None and not tracked.target else -1

    def _report(self, problems: Mapping[str, str]) -> None:
        """Say what the survey cannot reach, and what it can again."""
        for path in [path for path in self._reported if path not in problems]:
            del self._reported[path]
            self._intake.degraded(text(path), None)
        for path, message in problems.items():
            if self._reported.get(path) != message:
                self._reported[path] = message
                self._intake.degraded(text(path), message)

    def _look_at(self, paths: set[str]) -> None:
        if paths:
            self._look |= paths
            self._wake.set()

    # Turns

    async def _work(self) -> None:
        while True:
            tracked, flush, whole = await self._schedule.next()
            try:
                if tracked.ended:
                    self._schedule.over(tracked)
                else:
                    await self._turn(tracked, flush, whole)
            except Exception as error:  # noqa: BLE001 - of this file alone: the others are read on
                self._stumbled(tracked, error)
            finally:
                self._schedule.done()

    async def _turn(self, tracked: TrackedFile, flush: int | None, whole: bool) -> None:
        patient = tracked.before is not None and waited(tracked) < PATIENCE
        if patient and not ready(tracked):
            await self._wait_for_predecessor(tracked)
            return
        tracked.proven = False
        before = snapshot(tracked) if ready(tracked) else None
        file_reader = FileReader(
            self.config.name,
            tracked,
            self._hasher,
            -1 if self._once else flush,
            whole=whole or self._once,
            container=self._container,
            before=before,
            rest=self.config.quiet if patient and not self._once else 0.0,
        )
        if before is not None and tracked.before is not None and tracked.before.work is WorkState.RESTING:
            self._schedule.hold(tracked.before)
        failed = go_on = False
        grown = tracked.grown
        again = False
        try:
            await self._intake.scan(file_reader.blocks(), file_reader.positions)
            file_reader.apply()
            if file_reader.verdict == "read" and tracked.grown == grown:
                tracked.grown = (0, -1)
            if file_reader.verdict == "replaced":
                tracked.proven = False  # what a look sees meanwhile is of the next content
                if file_reader.seen:
                    tracked.grown = (file_reader.seen, -1)  # what a look saw since is of the next content
                self._look_at(await self._tracker.replaced(tracked, file_reader))
            elif tracked.legacy is not None:
                tracked.inherit(tracked.legacy)
                again = True
        except ScanError as error:
            failed = True
            go_on = await self._unscannable(tracked, error)
        finally:
            again |= self._schedule.over(tracked)
            tracked.legacy = None
            if before is not None and tracked.before is not None:
                self._schedule.release(tracked.before)
                self._schedule.want(tracked.before)
        if failed:
            if go_on:
                self._schedule.want(tracked)
        elif tracked.ended:
            tracked.close()
        elif file_reader.verdict == "failed":
            await self._failed(tracked, file_reader.error)
        elif file_reader.verdict == "moved":
            await self._moved(tracked, again)
        elif file_reader.verdict == "replaced":
            self._schedule.want(tracked)
        else:
            await self._read(tracked, file_reader, again)
        self._schedule.keep_open(tracked)

    async def _wait_for_predecessor(self, tracked: TrackedFile) -> None:
        self._schedule.over(tracked)
        if self._once:
            await asyncio.sleep(EARLY)
            self._schedule.want(tracked)
        else:
            self._schedule.later(tracked, EARLY)

    async def _read(self, tracked: TrackedFile, file_reader: FileReader, again: bool) -> None:
        self._tracker.changes.recovered(tracked)
        tracked.bulk = file_reader.more
        tracked.at_end, tracked.left = (
            not (file_reader.more or file_reader.early or file_reader.doubted),
            file_reader.left,
        )
        if tracked.archive and tracked.at_end and not file_reader.left:
            await self._tracker.read_whole(tracked)
        elif file_reader.more or again:
            self._schedule.want(tracked)
        elif file_reader.left and (self._once or tracked.hopes):
            pass  # its successor's turn is next, or whoever tends it sees when it is in vain
        elif file_reader.rest and tracked.flushed != file_reader.size:
            seconds = self.config.quiet if tracked.peeked != file_reader.size else max(OPEN, self.config.quiet)
            self._schedule.later(tracked, seconds, file_reader.size, whole=tracked.peeked == file_reader.size)
        elif file_reader.wait:
            self._schedule.later(tracked, file_reader.wait)

    async def _unscannable(self, tracked: TrackedFile, error: ScanError) -> bool:
        """The engine failed on a block. Tried again, in case it was the moment; then passed over and counted lost.

        From the first failure on the blocks before it are committed one by one, so that it is lost alone. Still part of
        its turn: another one in the midst of this would take the file for another. Returns whether to go
        on at once.
        """
        tracked.failures += 1
        # The open end of its predecessor is a block of that one's: what is passed over then is what is carried.
        carried = error.generation not in ("", tracked.generation) or error.end <= tracked.offset
        tracked.suspect = max(tracked.suspect, 0 if carried else error.end)
        self._intake.degraded(text(tracked.path), str(error))
        if tracked.failures < UNSCANNABLE or tracked.archive or tracked.fd < 0:
            if self._once:  # there is no later
                if tracked.archive or tracked.fd < 0:
                    self._intake.missed("unscannable", 0, text(tracked.path))
                return tracked.fd >= 0 and not tracked.archive
            self._schedule.later(tracked, 0.5 * 2.0**tracked.failures)
            return False
        self._intake.missed("unscannable", error.end - error.start, text(tracked.path))
        if carried:
            tracked.before = None
            return True
        await self._thread(self._hasher.settle, tracked.fd, tracked, error.end)
        tracked.record = StoredState.SAVED
        await self._intake.record((), [tracked.position(self.config.name)])
        return True

    async def _failed(self, tracked: TrackedFile, error: OSError | None) -> None:
        """An unreadable file is named and tried again, ever more slowly up to half a minute."""
        tracked.failures += 1
        self._schedule.shut(tracked)  # a stale handle does not get better
        self._intake.degraded(text(tracked.path), await self._thread(refusal, tracked.path, error))
        if not self._once:
            self._schedule.later(tracked, backoff(tracked.failures, 1.0, 30.0))

    def _stumbled(self, tracked: TrackedFile, error: Exception) -> None:
        """What nobody thought of: named, and tried again like a file that cannot be read."""
        tracked.failures += 1
        _log.error("a file could not be read", source=self.config.name, path=text(tracked.path), **failure(error))
        self._intake.degraded(text(tracked.path), f"reading it failed: {type(error).__name__}")
        if tracked.busy:
            self._schedule.over(tracked)
        if self._once:
            self._intake.missed("unscannable", 0, text(tracked.path))
        else:
            self._schedule.later(tracked, backoff(tracked.failures, 1.0, 30.0))

    async def _moved(self, tracked: TrackedFile, again: bool) -> None:
        if again:
            self._schedule.want(tracked)  # found again meanwhile
        elif tracked.loose:
            await self._tracker.moved(tracked)
        elif self._once:
            await self._reconcile(set(tracked.paths))
        else:
            self._look_at(set(tracked.paths))

    async def _to_end(self) -> None:
        for tracked in self._registry:
            tracked.until = max(tracked.there, tracked.offset)
            self._schedule.want(tracked)
        await self._schedule.drained()
        while self._look:
            looked, self._look = self._look, set()
            await self._reconcile(looked)
            await self._schedule.drained()

    # Watch: hints

    def _hint(self, changes: WatchHints) -> None:
        """Something happened to these paths. Files known and merely written to get their turn at once."""
        for path in changes.written:
            tracked = self._registry.called(path)
            if tracked is not None:
                tracked.changed = time.monotonic()
                self._schedule.want(tracked)
            elif self._globs.matches(path):
                changes.named.add(path)
        self._look_at({path for path in changes.named if self._globs.matches(path)})
        if changes.gap:
            self._look_everywhere()

    async def _follow_folders(self) -> None:
        if self._watch is None:
            return
        folders = {**dict.fromkeys(self._registry.targets(), 0), **self._globs.folders}
        unseen, problem = await self._thread(self._watch.follow, folders)
        self._intake.degraded("watch", problem)
        if unseen:
            self._look_everywhere()

    def _look_everywhere(self) -> None:
        self._look_all = True
        self._wake.set()
