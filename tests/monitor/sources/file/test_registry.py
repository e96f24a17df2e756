from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.file import registry as registry_module
from monitor.sources.file.registry import ClosedFiles, Registry
from monitor.sources.file.rotation import Rest
from monitor.sources.file.tracked_file import FileState, StoredState, TrackedFile


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_a_life_is_found_by_all_its_names(registry: Registry) -> None:
    tracked = TrackedFile("/a.log", (1, 1))
    registry.attach(tracked, "/a.log")
    registry.attach(tracked, "/b.log")
    assert registry.shown("/a.log") is registry.shown("/b.log") is registry.inside((1, 1)) is tracked
    assert registry.detach("/a.log") is tracked
    assert (tracked.place, tracked.path) == (FileState.FOLLOWED, "/b.log")
    registry.detach("/b.log")
    assert tracked.loose
    assert registry.loose() == [tracked]
    assert registry.last("/b.log") is tracked
    registry.move(tracked, Rest("/b.log.1", (1, 1), 5, 6, archive=False))
    assert registry.called("/b.log.1") is tracked
    registry.end(tracked)
    assert tracked.ended
    assert not list(registry)
    assert [registry.inside((1, 1)), registry.last("/b.log.1"), registry.called("/b.log.1")] == [None] * 3


def test_two_lives_never_claim_one_inode(registry: Registry) -> None:
    old, young = TrackedFile("/a", (1, 1), mtime=1), TrackedFile("/b", (1, 1), mtime=2)
    registry.remember([young, old])
    assert (old.inode, young.inode) == ((0, 0), (1, 1))
    third = TrackedFile("/c", (1, 2))
    registry.attach(third, "/c")
    registry.settle_in(third, (1, 1))
    assert (young.inode, registry.inside((1, 1)), registry.inside((1, 2))) == ((0, 0), third, None)
    for tracked in registry:
        registry.check(tracked)


def test_a_new_life_takes_over_the_file(registry: Registry) -> None:
    old = TrackedFile("/a", (1, 1))
    registry.attach(old, "/a")
    old.fd = 77
    new = TrackedFile("/a", (1, 1))
    registry.succeed(old, new)
    assert (registry.shown("/a"), registry.inside((1, 1)), new.fd, old.fd) == (new, new, 77, -1)
    assert (new.place, old.place, old.inode) == (FileState.FOLLOWED, FileState.LOOSE, (0, 0))


def test_another_name_is_no_reason_to_doubt_and_one_to_record(registry: Registry) -> None:
    tracked = TrackedFile("/a", (1, 1), known=(5, 6, 7), record=StoredState.SAVED)
    registry.attach(tracked, "/a")
    assert tracked.record is StoredState.SAVED
    registry.detach("/a")
    assert (tracked.known, tracked.record) == ((5, 6, -1), StoredState.STALE)


def test_links_are_known_by_their_targets(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir()
    target, link = tmp_path / "pods/0.log", tmp_path / "a.log"
    target.touch()
    link.symlink_to(target)
    tracked = TrackedFile(str(link), (1, 1))
    registry.attach(tracked, str(link))
    assert registry.called(str(target)) is tracked
    assert registry.targets() == {str(tmp_path / "pods")}


def test_possible_originals(registry: Registry) -> None:
    read, unread = TrackedFile("/a.log", (1, 1), offset=5), TrackedFile("/b.log", (1, 2))
    registry.attach(read, "/a.log")
    registry.attach(unread, "/b.log")
    assert registry.parents("/a.log.1") == [read]
    assert registry.parents("/b.log.1") == []
    registry.detach("/a.log")
    registry.move(read, Rest("/a.log.1", (1, 1), 5, 6, archive=False))
    assert registry.parents("/a.log.2", (1, 3)) == [read]


def test_what_must_hold_is_checked(registry: Registry) -> None:
    tracked = TrackedFile("/a", (1, 1))
    registry.attach(tracked, "/a")
    with pytest.raises(AssertionError):
        registry.attach(tracked, "/a")
    tracked.paths.clear()
    with pytest.raises(AssertionError):
        registry.check(tracked)


def test_unread_is_what_is_there_and_was_not_scanned(registry: Registry) -> None:
    for number, tracked in enumerate(
        [
            TrackedFile("/a", (1, 1), there=100, offset=40),
            TrackedFile("/open-line", (1, 2), there=100, offset=40, flushed=90),
            TrackedFile("/space-set-aside", (1, 3), there=100, offset=40, blank=100),
            TrackedFile("/packed.gz", (1, 4), there=100, archive=True),
            TrackedFile("/truncated", (1, 5), there=10, offset=40),
        ]
    ):
        registry.attach(tracked, f"/{number}")
    assert [(place.place, place.bytes) for place in registry.unread()] == [("/0", 60), ("/1", 10)]


def test_what_ended_may_still_be_the_parent_of_a_rotated_file(registry: Registry) -> None:
    tracked, other, unread = (
        TrackedFile("/a.log.1", (1, 1), offset=5),
        TrackedFile("/b.log.1", (1, 2), offset=5),
        TrackedFile("/a.log", (1, 3)),
    )
    for one in (tracked, other, unread):
        registry.add(one)
        registry.end(one)
    assert registry.parents("/a.log.2.gz", (1, 1)) == [tracked]
    assert registry.parents("/a.log.2.gz") == []


def test_an_original_that_is_still_to_be_read_is_waited_for(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.touch()
    tracked = TrackedFile(str(path), (1, 1), fd=os.open(path, os.O_RDONLY))
    registry.add(tracked)
    archive = f"{path}.1.gz"
    assert not registry.awaited(archive, (1, 2)), "it is still there"
    path.unlink()
    assert registry.awaited(archive, (1, 2))
    assert not registry.awaited(archive, (1, 1))
    assert not registry.awaited(f"{tmp_path}/b.log.1.gz", (1, 2))
    tracked.head = (5, "h")
    assert not registry.awaited(archive, (1, 2)), "it is known by what was read of it"
    tracked.close()


def test_of_a_life_that_nothing_was_read_of_nothing_is_kept(registry: Registry) -> None:
    read, unread = TrackedFile("/a.log", (1, 1), offset=5), TrackedFile("/b.log", (1, 2))
    registry.add(read)
    registry.add(unread)
    assert (registry.end(read), registry.end(unread)) == ([], [unread])


def ended(path: str, generation: str = "") -> TrackedFile:
    tracked = TrackedFile(path, (1, 1), offset=5, place=FileState.ENDED)
    tracked.generation = generation or tracked.generation
    return tracked


def test_lives_are_found_by_the_names_they_may_have_had() -> None:
    kept = ClosedFiles()
    log, other = ended("/app.log.2"), ended("/other.log.1")
    assert kept.add(log, 0) == kept.add(other, 0) == []
    assert kept.called(["/app.log", "/app.log.2"]) == [log]
    assert kept.called(["/other.log", "/app.log"]) == [other, log]
    assert kept.called(["/app.log.1"]) == []


def test_of_one_content_the_last_is_kept() -> None:
    kept = ClosedFiles()
    first, second = ended("/app.log.1", "g"), ended("/app.log.2.gz", "g")
    kept.add(first, 0)
    assert kept.add(second, 0) == [first]
    assert kept.called(["/app.log"]) == [second]
    assert kept.called(["/app.log.1"]) == []


def test_the_first_to_end_is_the_first_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "KEPT", 2)
    kept = ClosedFiles()
    tracked_files = [ended(f"/{number}.log") for number in range(4)]
    assert [kept.add(tracked, 3) for tracked in tracked_files] == [[], [], [], [tracked_files[0]]]
    assert kept.add(again := ended("/again.log"), 0) == tracked_files[1:3]
    assert kept.called([f"/{number}.log" for number in range(4)] + ["/again.log"]) == [tracked_files[3], again]
