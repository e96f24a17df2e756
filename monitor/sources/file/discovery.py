"""What it means that a file is seen: decided from what is known and what is there, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal, NamedTuple

from monitor.common.rotation_names import original_names
from monitor.sources.file.survey import FileStamp
from monitor.sources.file.tracked_file import TrackedFile

__all__ = ["Discovery", "Meeting", "Parent", "Verdict", "discovery", "meeting"]

Verdict = Literal["continues", "begins", "differs"]  # a file's content as against what was read of a tracked file


class Discovery(Enum):
    """What a look at a path says, as against the tracked file that it showed before."""

    ABSENT = "there was nothing and there is nothing"
    GONE = "the path leads nowhere any more"
    SAME = "the same file, as it was at its last turn"
    CHANGED = "the same file, written to"
    RENAMED = "a known file, under another name"
    EXCHANGED = "another known file in the place of the one shown"
    NEW = "a file that nobody knows"
    REPLACED = "a file that nobody knows in the place of the one shown"

    @property
    def leaves(self) -> bool:
        """The tracked file shown loses the path."""
        return self in (Discovery.GONE, Discovery.EXCHANGED, Discovery.REPLACED)

    @property
    def fresh(self) -> bool:
        """Its content has to be looked at."""
        return self in (Discovery.NEW, Discovery.REPLACED)


def discovery(shown: TrackedFile | None, owner: TrackedFile | None, path: str, seen: FileStamp | None) -> Discovery:
    """`shown`: the tracked file that the path showed; `owner`: the one known to lie in the file seen."""
    if seen is None:
        return Discovery.GONE if shown else Discovery.ABSENT
    if shown is not None and shown.inode == (seen.dev, seen.ino):
        return Discovery.SAME if (seen.size, seen.mtime, seen.ctime) == shown.known else Discovery.CHANGED
    if owner is not None and not _nameless(owner, path, seen):
        return Discovery.EXCHANGED if shown else Discovery.RENAMED
    return Discovery.REPLACED if shown else Discovery.NEW


def _nameless(owner: TrackedFile, path: str, seen: FileStamp) -> bool:
    """One of which nothing was read is known by its inode alone, which under another name may be another file by now:
    unless it is as it was, or may have been written to until it was rotated to this name."""
    if not owner.loose or owner.fd >= 0 or owner.head[0] or owner.path == path:
        return False
    untouched = (seen.size, seen.mtime) == (owner.there, owner.mtime)
    rotated = owner.path in original_names(path) and seen.size >= owner.there and seen.mtime >= owner.mtime >= 0
    return not untouched and not rotated


class Parent(NamedTuple):
    """A tracked file of which a file that nobody knows may be a copy."""

    verdict: Verdict
    loose: bool  # no path leads to the tracked file itself
    here: bool  # it was the last to be seen at the path of the file
    read: bool  # all that is known of it was scanned


class Meeting(Enum):
    """What a file that nobody knew turns out to be."""

    NEW = "a content that nobody knows"
    COPY = "what a life has read, in another file"
    REWRITTEN = "the same path, the same ends, another file"
    UNDECIDED = "perhaps a copy that is being made"


def meeting(parents: Sequence[Parent], *, rested: bool) -> tuple[Meeting, int]:
    """What it is, and which of `parents` that concerns (-1: none). `rested`: it has stopped growing.

    A copy in the making grows, or its original goes away: only what lies beside its original can be one.
    """
    for index, parent in enumerate(parents):
        if parent.verdict == "continues":
            return Meeting.REWRITTEN if parent.loose and parent.here and parent.read else Meeting.COPY, index
    grows = (parent.verdict == "begins" and not (parent.loose or parent.here or rested) for parent in parents)
    return next(((Meeting.UNDECIDED, index) for index, doubtful in enumerate(grows) if doubtful), (Meeting.NEW, -1))
