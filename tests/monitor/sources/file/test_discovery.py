"""Every pair of what was known and what is seen: each table in one test, as a test takes longer than its rows."""

from __future__ import annotations

import itertools

import pytest

from monitor.sources.file.discovery import Discovery, Meeting, Parent, discovery, meeting
from monitor.sources.file.survey import FileStamp
from monitor.sources.file.tracked_file import FileState, TrackedFile

HERE, THERE = (1, 10), (1, 11)


def tracked(
    inode: tuple[int, int], path: str = "/app.log", place: FileState = FileState.FOLLOWED, head: int = 5
) -> TrackedFile:
    return TrackedFile(path, inode, place=place, head=(head, "h" if head else ""), known=(100, 7, 8))


SHOWN = {"nothing": None, "a file": tracked(HERE), "an empty file": tracked(HERE, head=0)}
SEEN = {
    "nothing": None,
    "the same": FileStamp(*HERE, 100, 7, 8),
    "the same, grown": FileStamp(*HERE, 120, 9, 9),
    "the same, shrunk": FileStamp(*HERE, 20, 9, 9),
    "the same, written over": FileStamp(*HERE, 100, 9, 9),
    "the same, its attributes changed": FileStamp(*HERE, 100, 7, 9),
    "another": FileStamp(*THERE, 100, 7, 8),
}
OWNERS = {
    "nobody": None,
    "a followed life": tracked(THERE, "/other.log"),
    "a loose life": tracked(THERE, "/other.log", FileState.LOOSE),
    "a loose empty life of another name": tracked(THERE, "/other.log", FileState.LOOSE, head=0),
    "a loose empty life of this name": tracked(THERE, "/app.log", FileState.LOOSE, head=0),
}
KNOWN_BY_INODE_ONLY = "a loose empty life of another name"


def expected(shown: str, seen: str, owner: str) -> Discovery:
    something = shown != "nothing"
    if seen == "nothing":
        return Discovery.GONE if something else Discovery.ABSENT
    if seen == "the same" and something:
        return Discovery.SAME
    if seen != "another" and something:
        return Discovery.CHANGED
    if owner in ("nobody", KNOWN_BY_INODE_ONLY):
        return Discovery.REPLACED if something else Discovery.NEW
    return Discovery.EXCHANGED if something else Discovery.RENAMED


def test_arrival() -> None:
    for row in itertools.product(SHOWN, SEEN, OWNERS):
        shown, seen, owner = row
        said = discovery(SHOWN[shown], OWNERS[owner], "/app.log", SEEN[seen])
        assert said is expected(shown, seen, owner), row
        leaves = shown != "nothing" and seen in ("nothing", "another")
        assert said.leaves == leaves, row
        assert said.fresh == (said in (Discovery.NEW, Discovery.REPLACED)), row


@pytest.mark.parametrize(
    ("path", "size", "mtime", "same"),
    [
        ("/other", 100, 7, True),
        ("/other", 100, 8, False),
        ("/other", 120, 7, False),
        ("/app.log.1", 120, 9, True),
        ("/app.log.1", 120, 6, False),
        ("/app.log.1", 90, 9, False),
    ],
)
def test_an_unread_file_is_the_same_when_it_is_as_it_was_or_was_rotated(
    path: str, size: int, mtime: int, same: bool
) -> None:
    unread = TrackedFile("/app.log", HERE, there=100, mtime=7)
    said = discovery(None, unread, path, FileStamp(*HERE, size, mtime, 9))
    assert said is (Discovery.RENAMED if same else Discovery.NEW)


PARENTS = [
    Parent(verdict, loose, here, read)
    for verdict in ("continues", "begins", "differs")
    for loose, here, read in itertools.product((False, True), repeat=3)
]


@pytest.mark.parametrize("rested", [False, True])
def test_meeting_one_possible_original(rested: bool) -> None:
    for parent in PARENTS:
        said, index = meeting([parent], rested=rested)
        if parent.verdict == "continues":
            whole = parent.loose and parent.here and parent.read
            assert said is (Meeting.REWRITTEN if whole else Meeting.COPY), parent
        elif parent.verdict == "begins" and not (parent.loose or parent.here or rested):
            assert said is Meeting.UNDECIDED, parent
        else:
            assert said is Meeting.NEW, parent
        assert (index >= 0) == (said is not Meeting.NEW), parent


def test_the_surest_of_two_counts() -> None:
    for pair in itertools.product(PARENTS, repeat=2):
        said, index = meeting(pair, rested=False)
        verdicts = [parent.verdict for parent in pair]
        if "continues" in verdicts:
            assert index == verdicts.index("continues"), pair
        assert said in {meeting([one], rested=False)[0] for one in pair}, pair


def test_no_possible_original() -> None:
    assert meeting([], rested=False) == (Meeting.NEW, -1)
