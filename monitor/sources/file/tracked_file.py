"""A file as it is followed: who it is, how far it was read, and in what state it is.

It starts when a file appears or its content starts anew. It is known by its inode and, since inodes are reused and
contents rewritten, by keyed hashes of its first bytes and of the bytes before its offset. Only hashes are stored.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from monitor.domain.model import Block, Position, Predecessor

__all__ = ["Carry", "FileState", "FileStatus", "Hash", "Known", "StoredState", "TrackedFile", "WorkState", "text"]

Hash = tuple[int, str]  # number of bytes, keyed digest
HOPE = 30.0  # seconds for which an archive waits for what its successor, empty yet, begins with
Known = tuple[int, int, int]  # size on disk, mtime and ctime in nanoseconds; -1: not known


def text(path: str) -> str:
    """A path fit to show and store: bytes that are not UTF-8 as `\\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Carry:
    """The end of a file: `text`, of which the first `settled` bytes are context."""

    text: bytes
    settled: int
    of: Predecessor

    @property
    def open(self) -> bool:
        """A record or a line of it is not over."""
        return self.settled < len(self.text)

    @property
    def begun(self) -> bool:
        """A key of it is not over."""
        return self.text.rfind(b"-----BEGIN ") > self.text.rfind(b"-----END ")

    def context(self, size: int) -> Carry:
        """The last bytes of it, all of which are settled."""
        return replace(self, text=self.text[-size:], settled=min(size, len(self.text)))

    @property
    def lines(self) -> list[bytes]:
        """Whole ones."""
        whole = len(self.text) == self.of.end
        return self.text[: self.settled].split(b"\n")[0 if whole else 1 :]

    def block(self, source: str) -> Block:
        """What is open, by itself."""
        of, begin = self.of, self.of.end - len(self.text)
        fresh, now = self.settled, time.time()
        return Block(source, of.path, of.generation, begin, self.text, now, fresh, predecessor=of.before)


class FileState(Enum):
    """Where a tracked file is. ENDED is final."""

    FOLLOWED = "a followed path leads to it"
    LOOSE = "rotated away or deleted"
    ENDED = "read, and known again by what was read of it"


class WorkState(Enum):
    """Whose turn it is. Owned by the schedule."""

    RESTING = "nothing to do"
    HELD = "not to have a turn before it is recorded"
    QUEUED = "waits for its turn"
    BUSY = "has its turn"
    AGAIN = "has its turn, and needs another one"


class StoredState(Enum):
    """What the store knows of a tracked file."""

    NONE = "nothing"
    SAVED = "as it is"
    STALE = "as it was"


@dataclass(slots=True, eq=False)
class TrackedFile:
    """A tracked file and how far it was read. Everything before `offset` is settled: scanned and committed."""

    path: str  # where it was last seen
    inode: tuple[int, int]  # st_dev, st_ino
    key: str = field(default_factory=lambda: secrets.token_hex(8))  # of its Position
    generation: str = field(default_factory=lambda: secrets.token_hex(8))
    start: int = 0  # where it was begun: at the end of what was there at the very first start
    offset: int = 0
    size: int = 0  # of the known content, to tell how much is lost when it goes
    mtime: int = -1  # nanoseconds, as last seen
    head: Hash = (0, "")  # grows up to HEAD
    body: Hash = (0, "")  # grows up to BODY
    mark: Hash = (0, "")
    line: tuple[int, int] = (0, 1)  # an offset and the number of the line it lies in
    flushed: int = 0  # a last line without newline was scanned up to here, whole
    archive: bool = False  # compressed: read once, to the end
    log: str = ""  # its first path, once it has another: what appears there goes on from it
    target: str = ""  # where the file itself lies, when `path` is a link: there it is rotated, and left when that turns

    place: FileState = FileState.LOOSE
    work: WorkState = WorkState.RESTING
    record: StoredState = StoredState.NONE
    paths: set[str] = field(default_factory=set)  # followed ones that lead to it
    fd: int = -1
    unopened: bool = False  # its file was shut, or not opened, for want of descriptors
    away: bool = False  # it was followed before a restart, and nobody knows what was written to it since
    known: Known = (-1, -1, -1)  # on disk at the last turn
    there: int = 0  # size on disk as last seen, of whatever content
    grown: tuple[int, int] = (0, -1)  # the same with its mtime, when that was during a turn: then it counts for `size`
    unsure: bool = False  # perhaps a copy in the making: no turn before that is known
    proven: bool = False  # the turn that runs found the known content
    peeked: int = 0  # of a last line without newline all but the last word was scanned up to here
    blank: int = 0  # nothing but NUL up to here, when that was last looked at
    looked: float = 0.0  # monotonic time of that
    doubted: bool = False  # changed without growing: to be read again
    trusted: float = 0.0  # monotonic time before which it is not read again for a doubt
    bulk: bool = False  # catches up
    failures: int = 0
    suspect: int = 0  # the engine failed on the block that ends here: up to there a turn is one block
    rewrites: int = 0  # how often only the head was found changed
    changed: float = field(default_factory=time.monotonic)  # when it last grew or moved
    searches: int = 0  # that failed, since it was last found
    legacy: TrackedFile | None = None  # turned out while it was read: what the file holds now is a copy of this one
    before: TrackedFile | None = None  # its predecessor, where it is known which that is
    begun: Carry | None = None  # its end, where a key goes on from there: it may be compressed before that is over
    after: TrackedFile | None = None  # its successor
    at_end: bool = False  # its last turn came to the end of what was there
    left: bool = False  # what it leaves open at its end waits for its successor
    waiting: float = 0.0  # monotonic time since when its predecessor has kept it from being read
    until: int | None = None  # read no further than this
    caught: float = field(default_factory=time.monotonic)  # when all that was there was known to be read

    @property
    def loose(self) -> bool:
        return self.place is FileState.LOOSE

    @property
    def ended(self) -> bool:
        return self.place is FileState.ENDED

    @property
    def busy(self) -> bool:
        return self.work in (WorkState.BUSY, WorkState.AGAIN)

    @property
    def drained(self) -> bool:
        """Everything known of it was scanned, an open last line included."""
        return max(self.offset, self.flushed) >= self.size

    @property
    def known_by_content(self) -> bool:
        """Something was read of it, by which it is told from others that have its name or its inode."""
        return bool(self.offset or self.head[0])

    @property
    def looked_into(self) -> bool:
        """It has had a turn, so that `size` says how much of it there is."""
        return self.known[0] >= 0

    def state(self) -> dict[str, Any]:
        """What a restart needs, as JSON."""
        state: dict[str, Any] = {
            "path": text(self.path),
            "dev": self.inode[0],
            "ino": self.inode[1],
            "generation": self.generation,
            "start": self.start,
            "offset": self.offset,
            "size": self.size,
            "mtime": self.mtime,
            "known": list(self.known),
            "flushed": self.flushed,
            "head": list(self.head),
            "body": list(self.body),
            "mark": list(self.mark),
            "line": list(self.line),
        }
        if state["path"] != self.path:
            state["raw"] = os.fsencode(self.path).hex()
        if not self.looked_into:
            state["there"] = self.there
        flags = {"loose": self.loose, "ended": self.ended, "unsure": self.unsure, "archive": self.archive}
        state |= {name: True for name, flag in flags.items() if flag}
        if self.before is not None and not self.ended:
            state["before"] = self.before.key
        if self.target:
            state["target"] = os.fsencode(self.target).hex()
        if self.log:
            state["log"] = os.fsencode(self.log).hex()
        return state

    @classmethod
    def restore(cls, key: str, state: Mapping[str, Any]) -> TrackedFile:
        """The reverse of `state`. Raises KeyError, TypeError or ValueError for what is none."""
        raw = state.get("raw")
        size, mtime, ctime = state["known"]
        return cls(
            path=os.fsdecode(bytes.fromhex(raw)) if raw else str(state["path"]),
            inode=(int(state["dev"]), int(state["ino"])),
            key=key,
            generation=str(state["generation"]),
            start=int(state["start"]),
            offset=int(state["offset"]),
            size=int(state["size"]),
            mtime=int(state["mtime"]),
            known=(int(size), int(mtime), int(ctime)),
            flushed=int(state["flushed"]),
            head=(int(state["head"][0]), str(state["head"][1])),
            body=(int(state["body"][0]), str(state["body"][1])),
            mark=(int(state["mark"][0]), str(state["mark"][1])),
            line=(int(state["line"][0]), int(state["line"][1])),
            archive=bool(state.get("archive", False)),
            target=os.fsdecode(bytes.fromhex(state.get("target", ""))),
            log=os.fsdecode(bytes.fromhex(state.get("log", ""))),
            there=int(state.get("there", state["size"])),
            unsure=bool(state.get("unsure", False)),
            record=StoredState.SAVED,
            away=not (state.get("loose") or state.get("ended") or state.get("archive")),
            place=FileState.ENDED if state.get("ended") else FileState.LOOSE,
        )

    def position(self, source: str) -> Position:
        return Position(source, self.key, self.state())

    @property
    def reserved(self) -> bool:
        """Space is set aside behind what was written: who fills it through a mapping changes neither size nor time."""
        return self.known[0] > self.size and not self.archive

    @property
    def awaited(self) -> bool:
        """Its successor holds something, and will take over what it leaves open at its end."""
        after = self.after
        return after is not None and after.before is self and not after.ended and not after.offset and after.there > 0

    @property
    def hopes(self) -> bool:
        """It was compressed before its successor held anything, which may still go on with what it leaves open."""
        after = self.after
        empty = after is not None and after.before is self and not (after.ended or after.offset or after.there)
        return empty and self.archive and self.loose and time.monotonic() - self.changed < HOPE

    def stale(self) -> None:
        """What the store has of it, if anything, holds no longer."""
        if self.record is StoredState.SAVED:
            self.record = StoredState.STALE

    def adopt(self, other: TrackedFile) -> None:
        """Continue where `other`, of which this file is a copy, has got to."""
        self.generation, self.start, self.offset = other.generation, other.start, other.offset
        self.head, self.body, self.mark, self.line = other.head, other.body, other.mark, other.line
        self.before = other.before
        self.stale()

    def inherit(self, other: TrackedFile) -> None:
        """Go on for `other`, whose place this file has taken. Only its ends were compared: unless that was all of it,
        it is read again, under the generation of `other`."""
        self.adopt(other)
        if other.body[0] < other.offset:
            self.rewind()

    def rewind(self) -> None:
        """Read it again from its start under the same generation, which gives what is found again the same ids."""
        self.offset, self.body, self.mark, self.line = self.start, (0, ""), (0, ""), (0, 1)
        self.flushed = self.peeked = 0
        self.stale()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class FileStatus(NamedTuple):
    """What the file of a tracked file is like now."""

    stat: os.stat_result
    writers: bool | None = None  # somebody has it open for writing; None: cannot be told
