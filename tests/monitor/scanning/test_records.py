from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.domain.model import Block
from monitor.scanning.blocks import BLOCK
from monitor.scanning.records import GAP, Batcher
from monitor.scanning.scanner import Scanner
from tests.detectors import texts


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
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


async def test_packed_records_give_what_each_gives_alone(scanner: Scanner) -> None:
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
    alone = [finding for one in records for finding in await scanner.scan([one])]
    packer = Batcher(records)
    packed = await scanner.scan(packer.blocks())
    assert not packer.more
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


async def test_long_records_are_cut_and_nothing_at_a_cut_is_lost(scanner: Scanner) -> None:
    text = bytearray(b"." * (3 * BLOCK))
    for number, at in enumerate(range(BLOCK - 150, BLOCK + 100, 50)):
        text[at : at + 40] = token(number).encode()
    packer = Batcher([record(0, b"short"), record(1, bytes(text)), record(2, token(99).encode())])
    found = await scanner.scan(packer.blocks())
    assert sorted((f.path, f.offset) for f in found) == [
        *(("p1", at) for at in range(BLOCK - 150, BLOCK + 100, 50)),
        ("p2", 0),
    ]


def test_it_goes_on_where_the_scanner_had_enough() -> None:
    records = [record(number, b"x" * size) for number, size in enumerate((10, 3 * BLOCK, 20, BLOCK, 30, 40))]
    packer = Batcher(records)
    settled = 0
    while packer.more:
        block = next(packer.blocks())
        settled += (len(block.data) if block.limit is None else block.limit) - block.fresh
        settled -= len(GAP) * max(0, len(block.parts) - 1)
    assert settled == sum(len(one.data) for one in records)
