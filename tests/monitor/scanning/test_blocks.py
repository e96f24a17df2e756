from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.common.archive import ByteStream
from monitor.common.cuts import CONTEXT, LOOKAHEAD, settled
from monitor.domain.model import Block
from monitor.scan.search import ScanOptions, Searcher, stream_blocks
from monitor.scanning import blocks as blocks_module
from monitor.scanning.blocks import BLOCK, GAP, Batcher, Cutter, Window
from monitor.scanning.scanner import Scanner
from tests.detectors import texts
from tests.fakes.intake import MARK

Hit = tuple[int, int, int]  # mark, its place in the stream, its line


def hits(block: Block) -> list[Hit]:
    """What a scanner would report of a block."""
    data = bytes(block.data)
    assert block.line is not None
    limit = len(data) if block.limit is None else block.limit
    return [
        (int(found[1] or found[2]), block.offset + found.start(), block.line + data.count(b"\n", 0, found.start()))
        for found in MARK.finditer(data)
        if block.fresh < found.end() <= limit
    ]


def text(rng: random.Random) -> bytes:
    parts = []
    for number in range(rng.randrange(1, 60)):
        kind = rng.random()
        if kind < 0.5:
            parts.append(b"<%d>" % number)
        elif kind < 0.6:
            parts.append(b"BEGIN %d\n%bEND\n" % (number, b"abc\n" * rng.randrange(300)))
        parts.append(rng.choice((b"\n", b"x " * rng.randrange(3000), b"\0\xff", b"\n\n")))
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(40))
def test_wherever_a_stream_is_cut_the_same_is_found_once(seed: int) -> None:
    rng = random.Random(seed)
    whole = text(rng)
    cutter = Cutter("s", "p", "g", most=rng.choice((200, 2000, 1 << 20)))
    found: list[Hit] = []
    settled = at = 0
    while at < len(whole):
        size = rng.choice((1, 7, 100, 5000))
        # A quiet moment scans what is there; a mark that grows on afterwards is seen then, by the context.
        blocks = [cutter.feed(whole[at : at + size]), cutter.flush() if rng.random() < 0.1 else None]
        at += size
        for block in blocks:
            if block is not None:
                assert block.offset + block.fresh == settled
                assert block.fresh <= CONTEXT
                settled = block.offset + (block.limit or 0)
                found += hits(block)
    if (last := cutter.flush()) is not None:
        settled = last.offset + len(last.data)
        found += hits(last)
    assert settled == len(whole)
    assert cutter.waiting == 0
    assert found == hits(Block("s", "p", "g", 0, whole, 0.0, line=1))


@pytest.mark.parametrize("seed", range(20))
def test_a_window_shows_all_of_a_stream_with_what_came_before(seed: int) -> None:
    rng = random.Random(seed)
    whole = b"".join(rng.choice((b"line\n", b"x" * rng.randrange(90_000), b"\n")) for _ in range(60))

    def read(view: memoryview, at: int) -> int:
        got = whole[at : at + rng.randrange(1, len(view) + 1)]  # not always as much as there is
        view[: len(got)] = got
        return len(got)

    start, stop = rng.choice((0, 30_000)), rng.choice((None, len(whole) - 7))
    window = Window(bytearray(CONTEXT + 5000), start)
    at, ended = start, False
    while not ended:
        ended = window.fill(read, stop)
        assert window.offset == max(0, at - CONTEXT)
        limit = window.end if ended else settled(window.buffer, window.fresh, window.end, full=True)
        text = bytes(window.text(limit)) if limit else b""
        assert text == whole[window.offset : window.offset + len(text)]
        assert window.fresh < limit <= len(text) or ended
        at = window.offset + limit
        window.settle(limit)
    assert at == (len(whole) if stop is None else stop)


def test_a_line_without_an_end_is_not_held_back() -> None:
    cutter = Cutter("s", "p", "g", most=1000)
    largest = 0
    for _ in range(2000):
        cutter.feed(b"y" * 100)
        largest = max(largest, cutter.waiting)
    assert largest <= 1000 + 100
    assert cutter.waiting >= LOOKAHEAD


def test_nothing_gives_no_block() -> None:
    cutter = Cutter("s", "p", "g", offset=7, line=3)
    assert cutter.flush() is None
    assert cutter.feed(b"open") is None
    block = cutter.flush()
    assert block is not None
    assert (block.offset, block.line, bytes(block.data)) == (7, 3, b"open")
    assert cutter.flush() is None


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    scanner = Scanner(texts.engine(), b"k" * 32)
    yield scanner
    scanner.close()


def log(rng: random.Random) -> bytes:
    """Lines with secrets in them, some over several lines, some encoded, some very long ones between."""
    lines = []
    for number in range(rng.randrange(5, 60)):
        token = expand("ghp_{alnum:30}{crc32}", f"b{rng.random()}")
        key = expand("{pem:RSA PRIVATE KEY}", rng.randrange(1 << 30))
        lines += [
            rng.choice(
                (
                    f"request {number} done",
                    f"token={token} refused",
                    json.dumps({"level": "error", "msg": f"https://u:{token}@x.example/", "n": number}),
                    f"blob {base64.b64encode(f'token={token}'.encode()).decode()}",
                    f"postgresql://app:{token[4:20]}@db.example.org/app",
                    key,
                    json.dumps({"key": key}),
                    "\n".join(f"2026-11-02T10:00:00Z INFO {line}" for line in key.split("\n")),
                    "x " * rng.randrange(8000),
                    "\0\udcff",
                )
            )
        ]
    return "\n".join(lines).encode("utf-8", "surrogateescape") + rng.choice((b"\n", b""))


@pytest.mark.parametrize("seed", range(25))
async def test_a_stream_in_pieces_gives_what_scan_gives_of_the_whole(scanner: Scanner, seed: int) -> None:
    rng = random.Random(seed)
    whole = log(rng)
    cutter = Cutter("s", "p", "g")
    blocks, at = [], 0
    while at < len(whole):
        size = rng.choice((1, 50, 4096, 1 << 16))
        blocks.append(cutter.feed(whole[at : at + size]))
        at += size
    blocks.append(cutter.flush())
    followed = await scanner.scan([block for block in blocks if block is not None])

    searcher = Searcher(scanner.engine.worker(), ScanOptions(b"k" * 32, suppressions=False))
    hits = searcher.search(stream_blocks("p", ByteStream(iter([whole]))))
    assert {(f.rule, f.fingerprint, f.offset, f.line) for f in followed} == {
        (one.rule, one.fingerprint, one.offset, one.line) for one in (hit.finding for hit in hits)
    }
    assert followed
    assert len({finding.id for finding in followed}) == len(followed)


def rows(count: int) -> bytes:
    """A table that is longer than what is carried from one block to the next."""
    secrets = texts.values(count)
    return b"user,password\n" + b"".join(
        b"user-%04d-of-the-department,%b\n" % (n, secret.encode()) for n, secret in enumerate(secrets)
    )


LIST = b"(name, password) VALUES"
REST = b"INSERT INTO v (a, b) VALUES (1, 2), (3, 4);\n" + b"a line of something else\n" * 2000


def statement(count: int, between: bytes = b",\n") -> bytes:
    """The same as rows of an INSERT, among which its words stand."""
    secrets = [
        b"('user %04d of the department values (', '%b')" % (n, secret.encode())
        for n, secret in enumerate(texts.values(count))
    ]
    return b"INSERT INTO t " + LIST + b"\n" + between.join(secrets) + b";\n"


def cut(data: bytes, size: int) -> list[Block]:
    cutter = Cutter("s", "p", "g", most=size)
    blocks = [cutter.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return [block for block in (*blocks, cutter.flush()) if block is not None]


def reader(data: bytes) -> Callable[[memoryview, int], int]:
    def read(view: memoryview, at: int) -> int:
        piece = data[at : at + len(view)]
        view[: len(piece)] = piece
        return len(piece)

    return read


@pytest.mark.parametrize(("data", "head"), [(rows, b"user,password"), (statement, LIST)])
def test_what_names_the_columns_of_a_table_is_known_in_every_block(data: Callable[[int], bytes], head: bytes) -> None:
    found = cut(data(4 * CONTEXT // 40), 10_000)
    assert found[-1].offset > 0
    assert [block.head for block in found] == [b"" if block.offset == 0 else head for block in found]


def test_a_list_of_columns_holds_as_long_as_its_rows() -> None:
    assert cut(statement(1000) + REST, 10_000)[-1].head == b""
    assert cut(statement(1000) + b"INSERT INTO u VALUES ('a', 'b')" + b", ('c', 'd')" * 9000, 10_000)[-1].head == b""


@pytest.mark.parametrize(("data", "head"), [(rows, b"user,password"), (statement, LIST)])
def test_a_window_in_the_midst_knows_what_names_the_columns(data: Callable[[int], bytes], head: bytes) -> None:
    read = reader(data(4 * CONTEXT // 30))
    window = Window(bytearray(2 * CONTEXT), 3 * CONTEXT)
    window.fill(read, None)
    assert window.head == head
    first = Window(bytearray(2 * CONTEXT), 0)
    first.fill(read, None)
    assert first.head == b""
    first.settle(settled(first.buffer, 0, first.end, full=False))
    assert first.head == head


def _of_a_window(data: bytes) -> list[Block]:
    """A turn for each block, as after a restart."""
    found, at = [], 0
    while at < len(data):
        window = Window(bytearray(2 * CONTEXT), at)
        limit = (
            window.end
            if window.fill(reader(data), None)
            else settled(window.buffer, window.fresh, window.end, full=True)
        )
        text = bytes(window.view[: window.end])
        found.append(Block("s", "p", "g", window.offset, text, 1.0, window.fresh, limit, head=window.head))
        at = window.offset + limit
    return found


def _of_a_record(data: bytes) -> list[Block]:
    return list(Batcher([Block("s", "p", "g", 0, data, 1.0)]).blocks())


@pytest.mark.parametrize("form", [rows, statement, partial(statement, between=b", ")])
@pytest.mark.parametrize("into", [partial(cut, size=20_000), _of_a_window, _of_a_record])
async def test_every_row_of_a_table_over_many_blocks_is_found_once(
    monkeypatch: pytest.MonkeyPatch, form: Callable[[int], bytes], into: Callable[[bytes], list[Block]]
) -> None:
    monkeypatch.setattr(blocks_module, "BLOCK", 2 * CONTEXT)
    secrets = texts.values(850)
    blocks = into(form(850))
    assert sum(len(block.data) for block in blocks) > 2 * CONTEXT
    assert len(blocks) > 1
    scanner = Scanner(texts.engine(), b"k" * 32)
    try:
        found = [one for block in blocks for one in await scanner.scan([block])]
    finally:
        scanner.close()
    assert sorted(one.fingerprint for one in found) == sorted(fingerprint(b"k" * 32, one.encode()) for one in secrets)


@pytest.fixture(scope="module")
def two_rules() -> Iterator[Scanner]:
    scanner = Scanner(
        Engine.build([rule for rule in texts.rules() if rule.id in ("github-pat", "private-key-rsa")]), b"k" * 32
    )
    yield scanner
    scanner.close()


def record(number: int, data: bytes) -> Block:
    attributes = {"unit": f"unit-{number}"}
    return Block("s", f"p{number}", f"g{number}", 0, data, 1.0, attributes=attributes)


def token(number: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", f"r{number}")


def pem(number: int) -> str:
    return expand("-----BEGIN RSA PRIVATE KEY-----\n{base64:64}\n{base64:64}\n-----END RSA PRIVATE KEY-----", number)


async def test_packed_records_give_what_each_gives_alone(two_rules: Scanner) -> None:
    rng = random.Random(1)
    records = []
    for number in range(400):
        half = pem(number).split("\n")
        text = rng.choice(
            (
                f"token {token(number)} refused",
                f"nothing {number}",
                token(number)[: rng.randrange(1, 40)],
                token(number)[rng.randrange(1, 40) :],
                pem(number),
                "\n".join(half[:2]),
                "\n".join(half[2:]),
                f"{token(number)} twice {token(number + 1)}",
            )
        )
        records.append(record(number, text.encode()))
    alone = [finding for one in records for finding in await two_rules.scan([one])]
    batcher = Batcher(records)
    packed = await two_rules.scan(batcher.blocks())
    assert not batcher.more
    assert sorted(packed, key=lambda f: f.id) == sorted(alone, key=lambda f: f.id)
    assert len(alone) > 100
    assert all(finding.labels["unit"] == f"unit-{finding.generation[1:]}" for finding in packed)


async def test_a_match_that_runs_over_the_gap_counts_for_none_and_hides_none() -> None:
    """Of a rule of one's own, whose pattern takes whatever stands between."""
    (rule,) = [rule for rule in texts.rules() if rule.id == "private-key-rsa"]
    scanner = Scanner(Engine.build([rule]), b"k" * 32)
    try:
        whole = pem(1).encode()
        begin, end = whole[:60], whole[-60:]
        packed = Batcher([record(0, begin), record(1, end), record(2, begin), record(3, b"x" + whole), record(4, end)])
        found = await scanner.scan(packed.blocks())
        assert [(finding.path, finding.offset) for finding in found] == [("p3", 1)]
        # The same with nothing between them.
        held = [begin, b"\n", whole[60:-60], end, whole]
        starts = [sum(map(len, held[:number])) for number in range(len(held))]
        parts = [(start, record(number, text)) for number, (start, text) in enumerate(zip(starts, held, strict=True))]
        block = Block("s", "p", "g", 0, b"".join(held), 1.0, parts=parts)
        found = await scanner.scan([block])
        assert [(finding.path, finding.offset) for finding in found] == [("p4", 0)]
    finally:
        scanner.close()


async def test_long_records_are_cut_and_nothing_at_a_cut_is_lost(two_rules: Scanner) -> None:
    text = bytearray(b"." * (3 * BLOCK))
    for number, at in enumerate(range(BLOCK - 150, BLOCK + 100, 50)):
        text[at : at + 40] = token(number).encode()
    batcher = Batcher([record(0, b"short"), record(1, bytes(text)), record(2, token(99).encode())])
    found = await two_rules.scan(batcher.blocks())
    assert sorted((f.path, f.offset) for f in found) == [
        *(("p1", at) for at in range(BLOCK - 150, BLOCK + 100, 50)),
        ("p2", 0),
    ]


def test_it_goes_on_where_the_scanner_had_enough() -> None:
    records = [record(number, b"x" * size) for number, size in enumerate((10, 3 * BLOCK, 20, BLOCK, 30, 40))]
    batcher = Batcher(records)
    settled = 0
    while batcher.more:
        block = next(batcher.blocks())
        settled += (len(block.data) if block.limit is None else block.limit) - block.fresh
        settled -= len(GAP) * max(0, len(block.parts) - 1)
    assert settled == sum(len(one.data) for one in records)
