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
    life: TrackedFile, flush: int | None = None, whole: bool = True
) -> tuple[FileReader, list[tuple[int, bytes, int, int | None]]]:
    turn = FileReader("s", life, HASHER, flush, whole=whole)
    blocks = [(block.offset, bytes(block.data), block.fresh, block.limit) for block in turn.blocks()]
    return turn, blocks


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
    life = opened(log)
    turn, blocks = read(life)
    assert blocks == [(0, b"one\ntwo\n", 0, None)]
    assert (turn.rest, turn.more, turn.verdict) == (3, False, "read")
    assert [position.state["offset"] for position in turn.positions() if position.state] == [8]
    assert life.offset == 0, "nothing counts before it is committed"
    turn.apply()
    assert (life.offset, life.size) == (8, 11)
    turn, blocks = read(life)
    assert blocks == []
    assert turn.positions() == ()
    with log.open("ab") as file:
        file.write(b"ee\n")
    turn, blocks = read(life)
    assert blocks == [(0, b"one\ntwo\nthree\n", 8, None)], "with what came before as context"


def test_a_flush_scans_the_rest_only_while_the_size_is_the_same(log: Path) -> None:
    log.write_bytes(b"one\nrest")
    life = opened(log)
    turn, blocks = read(life, flush=7)
    assert len(blocks) == 1
    turn.apply()
    turn, blocks = read(life, flush=8)
    assert blocks[-1] == (0, b"one\nrest", 4, None)
    assert turn.flushed == 8
    turn.apply()
    assert (life.offset, life.flushed, life.record) == (4, 8, StoredState.SAVED)


@pytest.mark.parametrize("size", [BLOCK, BLOCK + CONTEXT, BLOCK + CONTEXT + 1, 3 * BLOCK + 7])
def test_a_line_longer_than_a_block_is_cut_with_an_overlap(log: Path, size: int) -> None:
    data = bytes(index % 251 or 1 for index in range(size)).replace(b"\n", b"x") + b"\n"
    log.write_bytes(data)
    life = opened(log)
    _, blocks = read(life)
    assert fresh(blocks) == data
    for _, block, start, limit in blocks:
        assert limit is None or limit == len(block) - LOOKAHEAD
        assert start <= CONTEXT
    assert all(start == CONTEXT for _, _, start, _ in blocks[1:])


def test_a_turn_is_bounded_and_goes_on_where_it_stopped(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 2 * BLOCK)
    data = b"".join(b"%0100d\n" % number for number in range(BLOCK // 13))
    log.write_bytes(data)
    life = opened(log)
    settled, turns = b"", 0
    while True:
        turn, blocks = read(life)
        settled += fresh(blocks)
        turn.apply()
        turns += 1
        if not turn.more:
            break
    assert settled == data
    assert turns == 3
    assert life.offset == len(data)


def test_a_turn_to_the_end_has_caught_up(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 1)
    log.write_bytes(b"x" * 99 + b"\n" + b"y" * (BLOCK + CONTEXT))
    life = opened(log, caught=1.0)
    turn, _ = read(life)
    turn.apply()
    assert turn.more
    assert life.caught == 1.0
    while turn.more:
        turn, _ = read(life)
        turn.apply()
    assert life.caught > 1.0


def test_context_is_read_from_the_disk_again(log: Path) -> None:
    log.write_bytes(b"a" * 50_000 + b"\n" + b"b\n")
    life = opened(log)
    fd = os.open(log, os.O_RDONLY)
    HASHER.settle(fd, life, 50_001)
    os.close(fd)
    _, blocks = read(life)
    assert blocks == [(50_001 - CONTEXT, b"a" * (CONTEXT - 1) + b"\nb\n", CONTEXT, None)]


def settled(path: Path) -> TrackedFile:
    life = opened(path)
    turn, _ = read(life)
    turn.apply()
    life.close()
    return life


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
    life = settled(log)
    log.write_bytes(after)
    turn, blocks = read(life)
    assert turn.verdict == verdict
    if verdict == "replaced":
        assert blocks == []
        offset = life.offset
        turn.apply()
        assert life.offset == offset


def test_a_file_that_keeps_rewriting_its_head_is_known_by_the_rest(log: Path) -> None:
    log.write_bytes(b"count 1\n" + b"x" * 5000 + b"\n")
    life = settled(log)
    life.rewrites = 3
    log.write_bytes(b"count 2\n" + b"x" * 5000 + b"\nnew\n")
    turn, blocks = read(life)
    assert turn.verdict == "read"
    assert fresh(blocks) == b"new\n"


def test_another_file_at_the_path_or_none(log: Path) -> None:
    log.write_bytes(b"one\n")
    life = settled(log)
    log.rename(log.with_name("other"))
    assert read(life)[0].verdict == "moved"
    log.write_bytes(b"one\n")
    assert read(life)[0].verdict == "moved"
    assert life.fd == -1
    log.unlink()
    os.mkfifo(log)
    assert read(opened(log))[0].verdict == "moved"


def test_lines_are_counted_on_demand(log: Path) -> None:
    log.write_bytes(b"1\n2\n3 <here>\n" + b"x\n" * 1000 + b"<there>\n")
    life = opened(log)
    turn = FileReader("s", life, HASHER)
    block: Block
    for block in turn.blocks():
        assert block.line_at is not None
        data = bytes(block.data)
        assert block.line_at(data.index(b"<there>")) == 1004
        assert block.line_at(data.index(b"<here>")) == 3, "also backwards"
        assert block.line_at(data.index(b"<there>")) == 1004
    turn.apply()
    assert life.line == (len(data) - len(b"<there>\n"), 1004)


@pytest.mark.parametrize("offset", [0, 4, 2_000])
@pytest.mark.parametrize("known", [0, 1000])
def test_an_archive_is_finished_from_where_the_file_was_left(tmp_path: Path, offset: int, known: int) -> None:
    data = b"one\n" + b"x" * 1995 + b"\n" + b"y" * (2 * BLOCK) + b"\nno newline"
    plain, archive = tmp_path / "a.log", tmp_path / "a.log.1.gz"
    plain.write_bytes(data)
    archive.write_bytes(gzip.compress(data))
    life = opened(plain)
    fd = os.open(plain, os.O_RDONLY)
    HASHER.settle(fd, life, offset)
    os.close(fd)
    life.path, life.archive = str(archive), True
    life.inode = (archive.stat().st_dev, archive.stat().st_ino)
    life.there, life.mtime = archive.stat().st_size, archive.stat().st_mtime_ns
    life.head = max(life.head, (known, HASHER.digest(data[:known])))
    turn = FileReader("s", life, HASHER)
    blocks = []
    for block in turn.blocks():
        blocks.append((block.offset, bytes(block.data), block.fresh, block.limit))
        assert block.line_at is not None
        assert block.line_at(block.offset) == data.count(b"\n", 0, block.offset) + 1
    assert turn.verdict == "read"
    assert fresh(blocks) == data[offset:]
    if not offset:
        turn.apply()
        assert life.head == (HEAD, HASHER.digest(data[:HEAD])), "by which a copy of it is known"
        assert (life.offset, life.mark) == (len(data), (MARK, HASHER.digest(data[-MARK:])))
        life.offset = 0
    life.head = (1, "other")
    if offset:
        assert read(life)[0].verdict == "replaced"


def test_what_a_successor_took_over_from_an_archive_is_not_searched_again_once_that_is_gone(tmp_path: Path) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\nhalf of tw"))
    life = opened(archive, archive=True)
    life.there, life.mtime, life.flushed = archive.stat().st_size, archive.stat().st_mtime_ns, 14
    turn = FileReader("s", life, HASHER, -1)
    assert [block.end for block in turn.blocks()] == [4]  # and not what is open
    assert turn.offset == 14


@pytest.mark.parametrize("there", [True, False])
def test_an_archive_whose_name_another_got_is_not_that_one(tmp_path: Path, there: bool) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\n"))
    life = opened(archive, archive=True)
    archive.rename(tmp_path / "a.log.2.gz")
    if there:
        archive.write_bytes(gzip.compress(b"two\n"))
    turn, blocks = read(life)
    assert (turn.verdict, blocks, turn.positions()) == ("moved", [], ())


@pytest.mark.parametrize("seen", [{"there": 1}, {"mtime": 1}])
def test_an_archive_that_is_not_as_it_was_seen_is_not_read_yet(tmp_path: Path, seen: dict[str, int]) -> None:
    archive = tmp_path / "a.log.1.gz"
    archive.write_bytes(gzip.compress(b"one\n"))
    turn, blocks = read(opened(archive, archive=True, **seen))
    assert (turn.verdict, blocks, turn.positions()) == ("moved", [], ())


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_archive_fails_with_what_was_read_kept(tmp_path: Path, damage: str) -> None:
    data = b"".join(b"line %d\n" % number for number in range(300_000))
    archive = tmp_path / "a.log.1.gz"
    whole = gzip.compress(data)
    archive.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"garbage")
    life = opened(archive, archive=True)
    turn, blocks = read(life)
    assert turn.verdict == "failed"
    assert turn.error is not None
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
    life = opened(log)
    read(life)[0].apply()
    log.write_bytes(b"one line\ntwo lines\n")
    under(lambda: log.write_bytes(now))
    turn, blocks = read(life)
    assert (turn.verdict, blocks, turn.positions()) == ("replaced", [], ())
    assert (turn.size, turn.seen) == (len(now), 19), "as it is, and as it was"
    turn.apply()
    assert life.offset == 9


def test_what_is_cut_off_behind_what_was_read_under_a_turn_is_another_content_too(log: Path, under: UNDER) -> None:
    log.write_bytes(b"first\n" * 10)
    life = opened(log)
    under(lambda: os.truncate(log, 6))
    turn, blocks = read(life)
    assert (turn.verdict, blocks, turn.seen) == ("replaced", [], 60)


def test_what_grows_under_a_turn_goes_on(log: Path, under: UNDER) -> None:
    log.write_bytes(b"first\n" * 10)
    life = opened(log)
    under(lambda: log.write_bytes(b"first\n" * 12))
    turn, blocks = read(life)
    assert (turn.verdict, fresh(blocks)) == ("read", b"first\n" * 10)
    turn.apply()
    assert fresh(read(life)[1]) == b"first\n" * 2


def test_of_another_content_that_comes_while_it_is_read_again_nothing_counts_either(
    log: Path, under: UNDER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOMENT", 0)
    log.write_bytes(b"line\n" * 5000)  # longer than what is compared whole
    life = opened(log)
    read(life)[0].apply()
    life.doubted = True
    os.utime(log, (1, 1))
    turn = FileReader("s", life, HASHER)
    under(lambda: log.write_bytes(b"other line\n" * 9000))
    assert list(turn.blocks()) == []
    assert (turn.verdict, turn._again, turn.seen) == ("replaced", True, 25_000)


@pytest.mark.parametrize("looked", [False, True])
async def test_another_content_that_comes_under_a_turn_is_read_whole_and_what_it_destroyed_is_counted(
    tmp_path: Path, log: Path, under: UNDER, looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a look sees it before the turn has said that it is another one."""
    replaced = Tracker.replaced

    async def after_a_look(keeper: Tracker, life: TrackedFile, turn: FileReader) -> set[str]:
        if looked:
            await keeper.look([str(log)], [])
        return await replaced(keeper, life, turn)

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
