from __future__ import annotations

import gzip
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from monitor.sources.file.identity import Hasher
from monitor.sources.file.rotation import Folders, Moved, Rest, compare, find_rest, look_at, look_for
from monitor.sources.file.tracked_file import TrackedFile

HASHER = Hasher.derived(b"k" * 32)


def nobody(path: str) -> bool:
    return False


def tracked(path: Path, offset: int) -> TrackedFile:
    status = path.stat()
    tail = TrackedFile(str(path), (status.st_dev, status.st_ino), mtime=status.st_mtime_ns)
    fd = os.open(path, os.O_RDONLY)
    HASHER.settle(fd, tail, offset)
    os.close(fd)
    return tail


def write(path: Path, data: bytes, mtime: int) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    os.utime(path, (mtime, mtime))
    return path


@pytest.fixture
def former(tmp_path: Path) -> Iterator[TrackedFile]:
    """Read up to 5 of what app.log holds; the file itself is written anew by each test."""
    tail = tracked(path := write(tmp_path / "app.log", b"1234\n5678\n", 1000), 5)
    with path.open("rb"):  # while it is open no other file gets its inode
        path.unlink()
        yield tail


def test_by_inode_under_any_name(tmp_path: Path) -> None:
    path = write(tmp_path / "app.log", b"1234\n5678\n", 1000)
    tail = tracked(path, 5)
    path.rename(tmp_path / "whatever")
    write(tmp_path / "app.log.1", b"1234\n5678\n", 2000)
    found, _ = find_rest(tail, HASHER, nobody, Folders())
    assert found is not None
    assert found.path == str(tmp_path / "whatever")


def test_an_inode_with_another_content_is_not_it(tmp_path: Path, former: TrackedFile) -> None:
    other = write(tmp_path / "other", b"something else\n", 2000)
    former.inode = (other.stat().st_dev, other.stat().st_ino)
    assert find_rest(former, HASHER, nobody, Folders()) == (None, [])


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20261124", "app.log.1.gz", "app-20261124.log", "app.log.7.gz"])
def test_by_content_in_a_sibling(tmp_path: Path, former: TrackedFile, name: str) -> None:
    write(tmp_path / "app.log.9", b"something else\n", 900)
    write(tmp_path / name, b"1234\n5678\n", 1000)
    write(tmp_path / "unrelated.1", b"1234\n5678\n", 3000)
    found, unseen = find_rest(former, HASHER, nobody, Folders())
    assert found is not None
    assert (found.path, found.archive) == (str(tmp_path / name), name.endswith("gz"))
    assert unseen == []


def test_files_rotated_since_are_named_oldest_first(tmp_path: Path, former: TrackedFile) -> None:
    write(tmp_path / "app.log.4.gz", b"1234\n5678\n", 1000)
    write(tmp_path / "app.log.5", b"older\n", 900)
    write(tmp_path / "app.log.3.gz", b"second\n", 2000)
    write(tmp_path / "app.log.2", b"third\n", 3000)
    write(tmp_path / "app.log.2.gz", b"third\n", 3000)  # being compressed
    write(tmp_path / "app.log.1", b"fourth\n", 4000)
    write(tmp_path / "app.log", b"present\n", 5000)
    _, later = find_rest(former, HASHER, nobody, Folders())
    assert [os.path.basename(rest.path) for rest in later] == ["app.log.3.gz", "app.log.2", "app.log.1", "app.log"]


def test_nothing_is_unseen_beside_a_life_that_was_never_read(tmp_path: Path) -> None:
    path = write(tmp_path / "app.log", b"x", 1000)
    tail = TrackedFile(str(path), (0, 0))
    write(tmp_path / "app.log.1", b"old\n", 2000)
    assert find_rest(tail, HASHER, nobody, Folders()) == (None, [])


def test_damaged_siblings_and_missing_folders(tmp_path: Path, former: TrackedFile) -> None:
    (tmp_path / "app.log.1.gz").write_bytes(b"no gzip")
    (tmp_path / "app.log.2.zst").write_bytes(b"no zstd")
    (tmp_path / "app.log.3.xz").write_bytes(b"")
    (tmp_path / "app.log.4").mkdir()
    (tmp_path / "app.log.5").symlink_to(tmp_path / "nowhere")
    assert find_rest(former, HASHER, nobody, Folders())[0] is None
    former.path = str(tmp_path / "gone/app.log")
    assert find_rest(former, HASHER, nobody, Folders()) == (None, [])


def test_a_folder_is_listed_once_for_many_searches_and_again_once_it_has_changed(
    tmp_path: Path, former: TrackedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    folders = Folders()
    write(tmp_path / "app.log.1", b"1234\n5678\n", 1000)
    os.utime(tmp_path, (5000, 5000))
    for _ in range(3):
        found, _ = find_rest(former, HASHER, nobody, folders)
        assert found is not None
        assert found.path == str(tmp_path / "app.log.1")
    assert len(listed) == 1
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    found, _ = find_rest(former, HASHER, nobody, folders)
    assert found is not None
    assert found.path == str(tmp_path / "app.log.2")
    assert len(listed) >= 2


def test_compare(tmp_path: Path) -> None:
    data = b"".join(b"line %d\n" % number for number in range(1000))
    tail = tracked(write(tmp_path / "app.log", data, 1000), len(data))
    for content, verdict in [
        (data, "continues"),
        (data + b"more\n", "continues"),
        (data[:2000], "begins"),
        (data[:100], "begins"),
        (b"", "begins"),
        (b"x" * 2000, "differs"),
        (data[:-5] + b"x" * 10, "differs"),
    ]:
        rest = look_at(str(write(tmp_path / "app.log.1", content, 1000)))
        assert rest is not None
        assert compare(rest, tail, HASHER) == verdict, content[:20]
        rest = look_at(str(write(tmp_path / "app.log.1.gz", content, 1000)))
        assert rest is not None
        assert compare(rest, tail, HASHER) == ("continues" if verdict == "continues" else "differs")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_compare_never_takes_one_file_for_another(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b"line %d\n" % number for number in range(1000))
    tail = tracked(write(tmp_path / "app.log", data, 1000), len(data))
    path = write(tmp_path / f"app.log.1{suffix}", b"of an older life\n", 1000)
    rest = look_at(str(path))
    assert rest is not None
    path.rename(tmp_path / f"app.log.2{suffix}")
    with pytest.raises(Moved):
        compare(rest, tail, HASHER)
    write(path, data, 1000)
    with pytest.raises(Moved):
        compare(rest, tail, HASHER)


def test_a_rotation_between_listing_and_opening(tmp_path: Path) -> None:
    """The copy of `former` lies by now where an older file lay when the folder was listed."""
    data = b"".join(b"line %d\n" % number for number in range(1000))
    former = tracked(write(tmp_path / "app.log", data, 1000), len(data))
    former.inode = (0, 0)  # cut, after it was copied
    (tmp_path / "app.log").write_bytes(b"")
    older = write(tmp_path / "app.log.1", b"of an older life\n", 900)

    class Late(Folders):
        def settled(self, folder: str, inode: int, bases: Collection[str]) -> list[Rest]:
            found = super().settled(folder, inode, bases)
            if older.stat().st_size < len(data):
                older.rename(tmp_path / "app.log.2")
                write(older, data, 1000)
            return found

    rest, _ = find_rest(former, HASHER, nobody, Late())
    assert rest is not None
    assert (rest.path, rest.inode[1], rest.size) == (str(older), older.stat().st_ino, len(data))


def test_look_for_follows_a_rename(tmp_path: Path) -> None:
    path = write(tmp_path / "app.log.1", b"x", 1000)
    rest = look_at(str(path))
    assert rest is not None
    assert look_for(rest) == rest
    path.rename(tmp_path / "app.log.2")
    write(path, b"y", 1000)
    again = look_for(rest)
    assert again is not None
    assert again.path == str(tmp_path / "app.log.2")
    (tmp_path / "app.log.2").unlink()
    assert look_for(rest) is None
    assert look_at(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("path", "there", "found"),
    [
        ("app.log.1", {"app.log.1.gz": 1_500, "app.log.2.gz": 1_500}, "app.log.1.gz"),
        ("app.log.1", {"app.log.2.gz": 1_500, "app.log.3.gz": 1_200}, "app.log.2.gz"),
        ("app.log.1", {"app.log.2.bz2": 1_000}, "app.log.2.bz2"),
        ("app.log.1", {"app.log.1.gz": 1_700, "app.log.3": 1_200}, None),
        ("app.log.1", {"app.log.2.gz": 1_500, "app.log.2": 1_500}, None),  # being compressed
        ("app.log-20261124", {"app.log-20261124.gz": 9_000}, "app.log-20261124.gz"),
        ("app.log-20261124", {"app.log-20261125.gz": 9_000, "app.log-20261123.gz": 1_200}, None),
        ("app.log", {"app.log.1.gz": 2_500, "app.log.2.gz": 1_700, "app.log.3": 1_200}, "app.log.2.gz"),
        ("app.log", {"app.log.1.gz": 2_500, "app.log.2": 1_700, "app.log.3": 1_200}, None),
        ("app.log", {"app.log.1.gz": 2_500, "app.log.2.gz": 1_700}, None),
    ],
)
def test_what_one_that_was_never_read_was_compressed_to(
    tmp_path: Path, path: str, there: dict[str, int], found: str | None
) -> None:
    for name, mtime in there.items():
        packed = write(tmp_path / name, b"text\n", 1)
        os.utime(packed, ns=(0, mtime * 10**6))
    rest, later = find_rest(TrackedFile(str(tmp_path / path), (1, 1), mtime=1_500 * 10**6), HASHER, nobody, Folders())
    assert (rest and os.path.basename(rest.path)) == found
    assert rest not in later
