"""Every pair of what was known of a tracked file without a path and what is there now: each table in one test."""

from __future__ import annotations

import itertools
import os

import pytest

from monitor.sources.file.tracked_file import FileState, FileStatus, TrackedFile, WorkState
from monitor.sources.file.transitions import DELETED, ROTATED, SEARCHES, SearchOutcome, Transition, outcome, transition

QUIET = 1.0
RESTS = [0.0, 2.0, DELETED + 1, ROTATED + 1]


def stat(inode: int = 10, size: int = 100, mtime: int = 7, links: int = 1) -> os.stat_result:
    extra = {"st_mtime_ns": mtime}
    return os.stat_result((0o100644, inode, 1, links, 0, 0, size, 0, 0, 0), extra)


def tracked(offset: int = 100, archive: bool = False, **keys: object) -> TrackedFile:
    return TrackedFile(
        "/app.log", (1, 10), offset=offset, size=100, archive=archive, known=(100, 7, 8), changed=0.0, **keys
    )  # type: ignore[arg-type]


SEEN = {
    "nothing": None,
    "another file": FileStatus(stat(inode=11)),
    "grown": FileStatus(stat(size=120)),
    "written over": FileStatus(stat(mtime=8)),
    "at rest": FileStatus(stat()),
    "deleted, open elsewhere": FileStatus(stat(links=0), writers=True),
    "deleted, open nowhere else": FileStatus(stat(links=0), writers=False),
    "deleted, who knows": FileStatus(stat(links=0)),
}
KNOWN = {
    "read": tracked(),
    "with an open line": tracked(offset=90),
    "with an open line that was scanned": tracked(offset=90, flushed=100),
    "compressed": tracked(archive=True),
    "compressed, its end left to a successor that is gone": tracked(archive=True, left=True),
    "failing": tracked(failures=2),
    "busy": tracked(work=WorkState.BUSY),
    "followed": tracked(place=FileState.FOLLOWED),
    "ended": tracked(place=FileState.ENDED),
}
BOUND = {
    "at rest": ROTATED,
    "deleted, open elsewhere": ROTATED,
    "deleted, open nowhere else": QUIET,
    "deleted, who knows": DELETED,
}


def expected(known: str, seen: str, rest: float, crowded: bool) -> Transition:
    if known in ("busy", "followed", "ended"):
        return Transition.WAIT
    if seen in ("nothing", "another file"):
        return Transition.SEARCH
    if known.startswith("compressed"):
        return Transition.FLUSH if "left" in known else Transition.WAIT
    if seen in ("grown", "written over"):
        return Transition.WAIT if known == "failing" else Transition.TURN
    bound = QUIET if crowded and seen.startswith("deleted") else BOUND[seen]
    if known == "with an open line" and seen == "deleted, open nowhere else" and not crowded:
        bound = DELETED  # it may go on in a successor
    if rest < bound:
        return Transition.WAIT
    return Transition.FLUSH if known == "with an open line" else Transition.END


@pytest.mark.parametrize("crowded", [False, True])
def test_fate(crowded: bool) -> None:
    for known, seen, rest in itertools.product(KNOWN, SEEN, RESTS):
        said = transition(KNOWN[known], SEEN[seen], now=rest, quiet=QUIET, crowded=crowded)
        assert said is expected(known, seen, rest, crowded), (known, seen, rest)


FOUND = {
    "nothing": None,
    "itself, renamed": ("/app.log.1", (1, 10)),
    "itself, in its place": ("/app.log", (1, 10)),
    "a copy": ("/app.log.1.gz", (1, 12)),
}
OTHER = tracked()


@pytest.mark.parametrize("last", [False, True])
def test_outcome(last: bool) -> None:
    for row in itertools.product(FOUND, (False, True), (False, True), (False, True), (0, SEARCHES - 1)):
        found, open_, empty, owned, searches = row
        former = tracked(fd=3 if open_ else -1, head=(0, "") if empty else (9, "h"), searches=searches)
        said = outcome(former, FOUND[found], OTHER if owned else None, last=last)
        if found == "nothing":
            lost = SearchOutcome.LOST if last or searches else SearchOutcome.AGAIN
            assert said is (SearchOutcome.OPEN if open_ else lost), row
        elif open_ and found == "a copy":
            assert said is SearchOutcome.OPEN, row
        elif not open_ and empty and found != "itself, in its place":
            assert said is SearchOutcome.ANEW, row
        else:
            assert said is (SearchOutcome.JOINS if owned else SearchOutcome.MOVES), row
        assert outcome(former, FOUND[found], former, last=last) is not SearchOutcome.JOINS, row
