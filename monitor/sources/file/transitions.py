"""What becomes of a file that no path leads to any more: decided from what is known and what is there, nothing else."""

from __future__ import annotations

from enum import Enum

from monitor.sources.file.tracked_file import FileStatus, TrackedFile

__all__ = ["DELETED", "ROTATED", "SearchOutcome", "Transition", "outcome", "transition"]

ROTATED = 3600.0  # seconds a rotated file must rest before it is let go: writers that never reopen still write to it
DELETED = 60.0  # the same for a deleted one when nobody can tell whether it is still open; it holds its disk space
SEARCHES = 3  # searches in vain before a tracked file counts as lost


class Transition(Enum):
    """What to do with a tracked file that no path leads to."""

    WAIT = "busy, or not at rest for long enough"
    SEARCH = "its file is not where it was"
    TURN = "it was written to"
    FLUSH = "read but for a last line that nobody ends"
    END = "read to its end and at rest"


def transition(
    tracked: TrackedFile, status: FileStatus | None, *, now: float, quiet: float, crowded: bool
) -> Transition:
    """`now`: monotonic; `quiet`: seconds after which a last line may be taken for whole; `crowded`: more such files are
    open than there is room for, and this is the one that rests longest."""
    if tracked.ended or not tracked.loose or tracked.busy:
        return Transition.WAIT
    if status is None or (status.stat.st_dev, status.stat.st_ino) != tracked.inode:
        return Transition.SEARCH
    if tracked.archive:
        return Transition.FLUSH if tracked.left and not (tracked.awaited or tracked.hopes) else Transition.WAIT
    if (status.stat.st_size, status.stat.st_mtime_ns) != tracked.known[:2]:
        return Transition.WAIT if tracked.failures else Transition.TURN
    # Counted from when it was seen to grow or to lose its name: how old its content is says nothing of its writer.
    rest = now - tracked.changed
    deleted = status.stat.st_nlink == 0
    if deleted:
        # What is open may go on in a successor: a turn of its own waits for that.
        enough = rest >= quiet and (crowded or (status.writers is False and tracked.drained))
        enough = enough or rest >= max(ROTATED if status.writers else DELETED, quiet)
    else:
        enough = rest >= ROTATED
    if not enough:
        return Transition.WAIT
    return Transition.END if tracked.drained else Transition.FLUSH


class SearchOutcome(Enum):
    """What a search for the file of a tracked file comes to."""

    MOVES = "it goes on where it was found"
    JOINS = "it goes on in another life, which has that file"
    ANEW = "nothing was known of it but an inode: whatever lies there has to be looked at"
    OPEN = "nowhere to be found, but still open"
    AGAIN = "not found this time"
    LOST = "not found"


def outcome(
    tracked: TrackedFile, found: tuple[str, tuple[int, int]] | None, owner: TrackedFile | None, *, last: bool
) -> SearchOutcome:
    """`found`: path and inode of the file in which it seems to go on; `owner`: the one known there; `last`: no more
    searches after this one."""
    if found is None:
        if tracked.fd >= 0:
            return SearchOutcome.OPEN
        return SearchOutcome.LOST if last or tracked.searches + 1 >= SEARCHES else SearchOutcome.AGAIN
    path, inode = found
    if tracked.fd >= 0 and inode != tracked.inode:
        return SearchOutcome.OPEN  # a copy: the file itself is at hand
    if tracked.fd < 0 and not tracked.head[0] and path != tracked.path:
        return SearchOutcome.ANEW
    return SearchOutcome.JOINS if owner is not None and owner is not tracked else SearchOutcome.MOVES
