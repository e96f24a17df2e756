from __future__ import annotations

from monitor.domain.model import Block, Position
from monitor.sources.settle import settle
from tests.fakes.intake import FakeIntake


def record(number: int, data: bytes) -> Block:
    return Block("s", f"p{number}", f"g{number}", 0, data, 1.0)


def upto(done: int) -> list[Position]:
    return [Position("s", "k", {"done": done})]


async def test_records_are_scanned_together_and_the_position_is_behind_the_last() -> None:
    intake = FakeIntake()
    await settle(intake, [record(number, b"<%d>" % number) for number in range(50)], upto)
    assert intake.marks == list(range(50))
    assert len(intake.blocks) == 1
    assert intake.saved == {"k": {"done": 50}}


async def test_with_enough_findings_it_commits_and_goes_on() -> None:
    intake = FakeIntake()
    intake.enough = 1
    await settle(intake, [record(number, b"x" * (1 << 19) + b"<%d>" % number) for number in range(5)], upto)
    assert intake.marks == list(range(5))
    assert intake.commits > 1
    assert intake.saved == {"k": {"done": 5}}


async def test_only_the_record_the_engine_fails_on_is_lost() -> None:
    intake = FakeIntake()
    intake.broken = b"bad"
    await settle(intake, [record(number, b"bad" if number == 2 else b"<%d>" % number) for number in range(5)], upto)
    assert intake.marks == [0, 1, 3, 4]
    assert intake.lost == [("unscannable", 3, "p2")]
    assert intake.saved == {"k": {"done": 5}}


async def test_nothing_is_nothing() -> None:
    intake = FakeIntake()
    await settle(intake, [])
    assert not intake.blocks
