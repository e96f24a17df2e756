from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.common.cuts import CONTEXT, LOOKAHEAD
from monitor.domain.model import Block
from monitor.sources.file import reader as module
from monitor.sources.file.identity import HEAD, MARK, Hasher
from monitor.sources.file.reader import BLOCK, FileReader
from monitor.sources.file.source import FileConfig, FileSource
from monitor.sources.file.tracked_file import StoredState, TrackedFile
from monitor.sources.file.tracker import Tracker
from tests.fakes.intake import FakeIntake, running, until

HASHER = Hasher.derived(b"k" * 32)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def opened(path: Path, **keys: Any) -> TrackedFile:
    status = path.stat()
    seen = {"there": status.st_size, "mtime": status.st_mtime_ns}
    return TrackedFile(str(path), (status.st_dev, status.st_ino), **(seen | keys))


def read(
    tracked: TrackedFile, flush: int | None = None, whole: bool = True
) -> tuple[FileReader, list[tuple[int, bytes, int, int | None]]]:
    file_reader = FileReader("s", tracked, HASHER, flush, whole=whole)
    blocks = [(block.offset, bytes(block.data), block.fresh, block.limit) for block in file_reader.blocks()]
    return file_reader, blocks


def fresh(blocks: list[tuple[int, bytes, int, int | None]]) -> bytes:
    """What the blocks settle; checks that nothing is settled twice or left out."""
    settled, position = b"", None
    for offset, data, start, limit in blocks:
        end = len(data) if limit is None else limit
        assert position is None or offset + start == position
        position = offset + end
        settled += data[start:end]
    return settled


def test_whole_lines_are_settled_and_the_rest_waits(log: Path) -> None:
    log.write_bytes(b"one\ntwo\nthr")
    tracked = opened(log)
    file_reader, blocks = read(tracked)
    assert blocks == [(0, b"one\ntwo\n", 0, None)]
    assert (file_reader.rest, file_reader.more, file_reader.verdict) == (3, False, "read")
    assert [position.state["offset"] for position in file_reader.positions() if position.state] == [8]
    assert tracked.offset == 0, "nothing counts before it is committed"
    file_reader.apply()
    assert (tracked.offset, tracked.size) == (8, 11)
    file_reader, blocks = read(tracked)
    assert blocks == []
    assert file_reader.positions() == ()
    with log.open("ab") as file:
        file.write(b"ee\n")
    file_reader, blocks = read(tracked)
    assert blocks == [(0, b"one\ntwo\nthree\n", 8, None)], "with what came before as context"


def test_a_flush_scans_the_rest_only_while_the_size_is_the_same(log: Path) -> None:
    log.write_bytes(b"one\nrest")
    tracked = opened(log)
    file_reader, blocks = read(tracked, flush=7)
    assert len(blocks) == 1
    file_reader.apply()
    file_reader, blocks = read(tracked, flush=8)
    assert blocks[-1] == (0, b"one\nrest", 4, None)
    assert file_reader.flushed == 8
    file_reader.apply()
    assert (tracked.offset, tracked.flushed, tracked.record) == (4, 8, StoredState.SAVED)


@pytest.mark.parametrize("size", [BLOCK, BLOCK + CONTEXT, BLOCK + CONTEXT + 1, 3 * BLOCK + 7])
def test_a_line_longer_than_a_block_is_cut_with_an_overlap(log: Path, size: int) -> None:
    data = bytes(index % 251 or 1 for index in range(size)).replace(b"\n", b"x") + b"\n"
    log.write_bytes(data)
    tracked = opened(log)
    _, blocks = read(tracked)
    assert fresh(blocks) == data
    for _, block, start, limit in blocks:
        assert limit is None or limit == len(block) - LOOKAHEAD
        assert start <= CONTEXT
    assert all(start == CONTEXT for _, _, start, _ in blocks[1:])


def test_a_turn_is_bounded_and_goes_on_where_it_stopped(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 2 * BLOCK)
    data = b"".join(b"%0100d\n" % number for number in range(BLOCK // 13))
    log.write_bytes(data)
    tracked = opened(log)
    settled, turns = b"", 0
    while True:
        file_reader, blocks = read(tracked)
        settled += fresh(blocks)
        file_reader.apply()
        turns += 1
        if not file_reader.more:
            break
    assert settled == data
    assert turns == 3
    assert tracked.offset == len(data)


def test_a_turn_to_the_end_has_caught_up(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 1)
    log.write_bytes(b"x" * 99 + b"\n" + b"y" * (BLOCK + CONTEXT))
    tracked = opened(log, caught=1.0)
    file_reader, _ = read(tracked)
    file_reader.apply()
    assert file_reader.more
    assert tracked.caught == 1.0
    while file_reader.more:
        file_reader, _ = read(tracked)
        file_reader.apply()
    assert tracked.caught > 1.0


def test_context_is_read_from_the_disk_again(log: Path) -> None:
    log.write_bytes(b"a" * 50_000 + b"\n" + b"b\n")
    tracked = opened(log)
    fd = os.open(log, os.O_RDONLY)
    HASHER.settle(fd, tracked, 50_001)
    os.close(fd)
    _, blocks = read(tracked)
    assert blocks == [(50_001 - CONTEXT, b"a" * (CONTEXT - 1) + b"\nb\n", CONTEXT, None)]


def settled(path: Path) -> TrackedFile:
    tracked = opened(path)
    file_reader, _ = read(tracked)
    file_reader.apply()
    tracked.close()
    return tracked


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (b"part", b"partial\n", "read"),
        (b"part", b"other\n", "replaced"),
        (b"part", b"pa", "replaced"),
        (b"one\ntwo\n", b"one\ntwo\nthree\n", "read"),
        (b"one\ntwo\n", b"one\n", "replaced"),
        (b"one\ntwo\n", b"", "replaced"),
        (b"one\ntwo\n", b"six\ntwo\nthree\n", "replaced"),
        (b"h" * 1500 + b"\n", b"H" + b"h" * 1499 + b"\n", "replaced"),
        (b"h" * 5000 + b"\n", b"h" * 4990 + b"T" * 10 + b"\nmore\n", "replaced"),
        (b"h" * 5000 + b"\n", b"h" * 5000 + b"\nmore\n", "read"),
    ],
)
def test_whether_the_content_is_the_one_known(log: Path, before: bytes, after: bytes, verdict: str) -> None:
    log.write_bytes(before)
    tracked = settled(log)
    log.write_bytes(after)
    file_reader, blocks = read(tracked)
    assert file_reader.verdict == verdict
    if verdict == "replaced":
        assert blocks == []
        offset = tracked.offset
        file_reader.apply()
        assert tracked.offset == offset


def test_a_file_that_keeps_rewriting_its_head_is_known_by_the_rest(log: Path) -> None:
    log.write_bytes(b"count 1\n" + b"x" * 5000 + b"\n")
    tracked = settled(log)
    tracked.rewrites = 3
    log.write_bytes(b"count 2\n" + b"x" * 5000 + b"\nnew\n")
    file_reader, blocks = read(tracked)
    assert file_reader.verdict == "read"
    assert fresh(blocks) == b"new\n"


def test_another_file_at_the_path_or_none(log: Path) -> None:
    log.write_bytes(b"one\n")
    tracked = settled(log)
    log.rename(log.with_name("other"))
    assert read(tracked)[0].verdict == "moved"
    log.write_bytes(b"one\n")
    assert read(tracked)[0].verdict == "moved"
    assert tracked.fd == -1
    log.unlink()
    os.mkfifo(log)
    assert read(opened(log))[0].verdict == "moved"


def test_lines_are_counted_on_demand(log: Path) -> None:
    log.write_bytes(b"1\n2\n3 <here>\n" + b"x\n" * 1000 + b"<there>\n")
    tracked = opened(log)
    file_reader = FileReader("s", tracked, HASHER)
    block: Block
    for block in file_reader.blocks():
        assert block.line_at is not None
        data = bytes(block.data)
        assert block.line_at(data.index(b"<there>")) == 1004
        assert block.line_at(data.index(b"<here>")) == 3, "also backwards"
        assert block.line_at(data.index(b"<there>")) == 1004
    file_reader.apply()
    assert tracked.line == (len(data) - len(b"<there>\n"), 1004)


@pytest.mark.parametrize("offset", [0, 4, 2_000])
@pytest.mark.parametrize("known", [0, 1000])
def test_an_archive_is_finished_from_where_the_file_was_left(tmp_path: Path, offset: int, known: int) -> None:
    data = b"one\n" + b"x" * 1995 + b"\n" + b"y" * (2 * BLOCK) + b"\nno newline"
    plain, archive = tmp_path / "a.log", tmp_path / "a.log.1.gz"
    plain.write_bytes(data)
    archive.write_bytes(gzip.compress(data))
    tracked = opened(plain)
    fd = os.open(plain, os.O_RDONLY)
    HASHER.settle(fd, tracked, offset)
    os.close(fd)
    tracked.path, tracked.archive = str(archive), True
    tracked.inode = (archive.stat().st_dev, archive.stat().st_ino)
    tracked.there, tracked.mtime = archive.stat().st_size, archive.stat().st_mtime_ns
    tracked.head = max(tracked.head, (known, HASHER.digest(data[:known])))
    file_reader = FileReader("s", tracked, HASHER)
    blocks = []
    for block in file_reader.blocks():
        blocks.append((block.offset, bytes(block.data), block.fresh, block.limit))
        assert block.line_at is not None
        assert block.line_at(block.offset) == data.count(b"\n", 0, block.offset) + 1
    assert file_reader.verdict == "read"
    assert fresh(blocks) == data[offset:]
    if not offset:
        file_reader.apply()
        assert tracked.head == (HEAD, HASHER.digest(data[:HEAD])), "by which a copy of it is known"
        assert (tracked.offset, tracked.mark) == (len(data), (MARK, HASHER.digest(data[-MARK:])))
        tracked.offset = 0
    tracked.head = (1, "other")
    if offset:
        assert read(tracked)[0].verdict == "replaced"


def test_what_a_successor_took_over_from_an_archive_is_not_searched_again_once_that_is_gone(tmp_path: Path) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\nhalf of tw"))
    tracked = opened(archive, archive=True)
    tracked.there, tracked.mtime, tracked.flushed = archive.stat().st_size, archive.stat().st_mtime_ns, 14
    file_reader = FileReader("s", tracked, HASHER, -1)
    assert [block.end for block in file_reader.blocks()] == [4]  # and not what is open
    assert file_reader.offset == 14


@pytest.mark.parametrize("there", [True, False])
def test_an_archive_whose_name_another_got_is_not_that_one(tmp_path: Path, there: bool) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\n"))
    tracked = opened(archive, archive=True)
    archive.rename(tmp_path / "a.log.2.gz")
    if there:
        archive.write_bytes(gzip.compress(b"two\n"))
    file_reader, blocks = read(tracked)
    assert (file_reader.verdict, blocks, file_reader.positions()) == ("moved", [], ())


@pytest.mark.parametrize("seen", [{"there": 1}, {"mtime": 1}])
def test_an_archive_that_is_not_as_it_was_seen_is_not_read_yet(tmp_path: Path, seen: dict[str, int]) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\n"))
    file_reader, blocks = read(opened(archive, archive=True, **seen))
    assert (file_reader.verdict, blocks, file_reader.positions()) == ("moved", [], ())


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_archive_fails_with_what_was_read_kept(tmp_path: Path, damage: str) -> None:
    data = b"".join(b"line %d\n" % number for number in range(300_000))
    archive = tmp_path / "a.log.1.gz"
    whole = gzip.compress(data)
    archive.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"garbage")
    tracked = opened(archive, archive=True)
    file_reader, blocks = read(tracked)
    assert file_reader.verdict == "failed"
    assert file_reader.error is not None
    assert data.startswith(fresh(blocks))
    readable = zlib.decompressobj(31).decompress(whole[: len(whole) // 2]) if damage == "cut" else b""
    assert len(readable) - len(fresh(blocks)) <= 128 << 10
    assert fresh(blocks)[-1:] in (b"\n", b""), "of what follows the rest of the line may come the next time"


def test_buffers_are_reused(log: Path) -> None:
    log.write_bytes(b"x\n")
    module._BUFFERS.clear()
    for _ in range(5):
        read(opened(log))
    assert len(module._BUFFERS) == 1


UNDER = Callable[..., None]


@pytest.fixture
def under(monkeypatch: pytest.MonkeyPatch) -> UNDER:
    """`under(what, size)` does that to the file once a turn has found it of this size (None: any), before it reads."""
    waiting: list[tuple[Callable[[], object], int | None]] = []
    fill = FileReader._fill

    def filled(self: FileReader, view: memoryview, at: int) -> int:
        if waiting and waiting[0][1] in (None, self.size):
            waiting.pop()[0]()
        return fill(self, view, at)

    monkeypatch.setattr(FileReader, "_fill", filled)
    return lambda what, size=None: waiting.append((what, size))


@pytest.mark.parametrize("now", [b"", b"new\n", b"another first\n" * 9])
def test_of_another_content_that_comes_under_a_turn_nothing_counts_as_read(log: Path, under: UNDER, now: bytes) -> None:
    log.write_bytes(b"one line\n")
    tracked = opened(log)
    read(tracked)[0].apply()
    log.write_bytes(b"one line\ntwo lines\n")
    under(lambda: log.write_bytes(now))
    file_reader, blocks = read(tracked)
    assert (file_reader.verdict, blocks, file_reader.positions()) == ("replaced", [], ())
    assert (file_reader.size, file_reader.seen) == (len(now), 19), "as it is, and as it was"
    file_reader.apply()
    assert tracked.offset == 9


def test_what_is_cut_off_behind_what_was_read_under_a_turn_is_another_content_too(log: Path, under: UNDER) -> None:
    log.write_bytes(b"first\n" * 10)
    tracked = opened(log)
    under(lambda: os.truncate(log, 6))
    file_reader, blocks = read(tracked)
    assert (file_reader.verdict, blocks, file_reader.seen) == ("replaced", [], 60)


def test_what_grows_under_a_turn_goes_on(log: Path, under: UNDER) -> None:
    log.write_bytes(b"first\n" * 10)
    tracked = opened(log)
    under(lambda: log.write_bytes(b"first\n" * 12))
    file_reader, blocks = read(tracked)
    assert (file_reader.verdict, fresh(blocks)) == ("read", b"first\n" * 10)
    file_reader.apply()
    assert fresh(read(tracked)[1]) == b"first\n" * 2


def test_of_another_content_that_comes_while_it_is_read_again_nothing_counts_either(
    log: Path, under: UNDER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOMENT", 0)
    log.write_bytes(b"line\n" * 5000)  # longer than what is compared whole
    tracked = opened(log)
    read(tracked)[0].apply()
    tracked.doubted = True
    os.utime(log, (1, 1))
    file_reader = FileReader("s", tracked, HASHER)
    under(lambda: log.write_bytes(b"other line\n" * 9000))
    assert list(file_reader.blocks()) == []
    assert (file_reader.verdict, file_reader._again, file_reader.seen) == ("replaced", True, 25_000)


@pytest.mark.parametrize("looked", [False, True])
async def test_another_content_that_comes_under_a_turn_is_read_whole_and_what_it_destroyed_is_counted(
    tmp_path: Path, log: Path, under: UNDER, looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a look sees it before the turn has said that it is another one."""
    replaced = Tracker.replaced

    async def after_a_look(keeper: Tracker, tracked: TrackedFile, file_reader: FileReader) -> set[str]:
        if looked:
            await keeper.look([str(log)], [])
        return await replaced(keeper, tracked, file_reader)

    monkeypatch.setattr(Tracker, "replaced", after_a_look)
    intake = FakeIntake()
    config = FileConfig(name="s", type="file", include=[str(log)], reconcile="50ms", start_at="beginning")
    log.write_bytes(b"line <1>\n")
    async with running(FileSource(config, intake, b"k" * 32)):
        await until(lambda: intake.marks == [1])
        # Not under one more turn that finds nothing new, as an event may bring.
        under(lambda: log.write_bytes(b"instead <3>\n" + b"more of it\n" * 10), 18)
        with log.open("ab") as writer:
            writer.write(b"line <2>\n")
        await until(lambda: intake.marks == [1, 3])
    assert intake.hits == 2
    assert intake.lost == [("truncated", 9, str(log))]
