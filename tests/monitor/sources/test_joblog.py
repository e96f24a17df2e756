from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from monitor.common.http import RemoteError
from monitor.domain.model import Block, Position
from monitor.sources import joblog
from monitor.sources.joblog import CiJob, JobLogs, where
from tests.fakes.intake import FakeIntake, MortalIntake, until

SECTION = re.compile(rb"^\S+ ##\[group\]([^\r\n]*)", re.MULTILINE)
JOB = CiJob("acme/web/7/1/70", "github.com", "acme/web:actions/CI/build", 100.0, {"job": "build"}, "https://h/70")


@asynccontextmanager
async def opened(log: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    yield log


async def _pieces(data: bytes, sizes: Iterable[int] = (), fail: bool = False) -> AsyncIterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data
    if fail:
        raise RemoteError("it broke off", retry=True)


def pieces(
    data: bytes, sizes: Iterable[int] = (), fail: bool = False
) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    return opened(_pieces(data, sizes, fail))


def logs(intake: FakeIntake) -> JobLogs:
    found = JobLogs("ci", intake, SECTION, parts=2)
    found.restore(intake.saved)
    return found


class Watching(FakeIntake):
    """Notes what is known of the place of each mark."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[int, dict[str, str]] = {}

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        return await super().scan(self._noted(blocks), positions)

    def _noted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            assert block.attributes_at is not None
            for found in re.finditer(rb"<(\d+)>", bytes(block.data)):
                known = {**block.attributes, **block.attributes_at(block.offset + found.start())}
                assert self.places.setdefault(int(found[1]), known) == known
            yield block


async def test_a_log_is_read_once_and_that_is_committed_with_its_findings() -> None:
    intake = FakeIntake()
    await logs(intake).read(JOB, pieces(b"<1> one\n<2> two"))
    assert intake.marks == [1, 2]
    assert {(seen.path, generation) for (generation, _, _), seen in intake.found.items()} == {
        ("acme/web:actions/CI/build", "github.com/acme/web/7/1/70")
    }
    assert (intake.saved, intake.commits) == ({"job:acme/web/7/1/70": {"ended": 100.0}}, 1)
    again = logs(intake)
    assert again.knows(JOB.key)
    await again.read(JOB, pieces(b"<3>"))
    assert intake.marks == [1, 2]
    assert where(intake.saved).upto == 100.0


async def test_whatever_its_pieces_each_finding_has_its_place_and_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 3000)
    rng = random.Random(7)
    lines, steps = [b"\xef\xbb\xbf2026-11-30T16:00:00.0000001Z first"], {}
    for number in range(400):
        if number % 40 == 20:
            lines.append(b"2026-11-30T16:%02d:00.5000000Z ##[group]Run %d" % (number // 40, number))
        steps[number] = f"Run {number // 40 * 40 + 20}" if number % 40 >= 20 else f"Run {number // 40 * 40 - 20}"
        lines.append(b"2026-11-30T16:00:00.0000001Z <%d> %s" % (number, b"x" * rng.randrange(60)))
    steps |= dict.fromkeys(range(20), "")
    text = b"\n".join(lines)
    intake = Watching()
    await logs(intake).read(JOB, pieces(text, [1, 2, *(rng.randrange(1, 700) for _ in range(60))]))
    assert intake.marks == list(range(400))
    bare = text[3:]
    assert {(at, mark) for _, at, mark in intake.found} == {
        (bare.index(b"<%d>" % mark), mark) for mark in range(400)
    }  # fmt: skip
    assert {mark: known.get("step", "") for mark, known in intake.places.items()} == steps
    assert len(intake.blocks) > 5


async def test_a_step_is_told_by_its_section_and_when_that_began() -> None:
    asked: list[tuple[str, float | None]] = []

    def step(title: str, begun: float | None) -> str:
        asked.append((title, begun))
        return "Build"

    intake = Watching()
    job = CiJob("k", "h", "p", 1.0, step=step)
    text = b"2026-11-30T15:59:59Z <1>\n2026-11-30T16:00:00.5000000Z ##[group]Run make\r\n<2>\nno ##[group]time\n"
    await logs(intake).read(job, pieces(text))
    assert asked == [("", 1796054399.0), ("Run make", 1796054400.5), ("time", None)]
    assert intake.places == {1: {"step": "Build"}, 2: {"step": "Build"}}


async def test_one_that_breaks_off_is_read_again_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 8)
    intake = FakeIntake()
    reader = logs(intake)
    with pytest.raises(RemoteError):
        await reader.read(JOB, pieces(b"<1>\n<2> and no", [8], fail=True))
    assert (intake.marks, intake.saved, reader.knows(JOB.key)) == ([1], {}, False)
    await reader.read(JOB, pieces(b"<1>\n<2> and now <3>\n"))
    assert intake.marks == [1, 2, 3]
    assert len(intake.found) == 3


async def test_one_without_an_end_is_cut_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "LARGEST", 1000)
    intake = FakeIntake()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"<1> " + b"x" * 200 + b"\n"

    await logs(intake).read(JOB, opened(endless()))
    assert intake.lost == [("too_large", 0, JOB.path)]
    assert intake.marks == [1] * len(intake.found)
    assert intake.scanned < 2000
    assert intake.saved


async def test_what_the_engine_fails_on_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 4)
    intake = FakeIntake()
    intake.broken = b"bad"
    await logs(intake).read(JOB, pieces(b"<1>\n<2>\nbad\n", [4, 4]))
    assert (intake.marks, [reason for reason, _, _ in intake.lost]) == ([1, 2], ["unscannable"])
    assert intake.saved


async def test_what_is_not_to_be_had_is_entered_and_not_asked_for_again() -> None:
    intake = FakeIntake()
    reader = logs(intake)
    await reader.lose(JOB, "expired")
    await reader.pass_over(CiJob("k", "h", "p", 50.0))
    await reader.read(CiJob("empty", "h", "p", 60.0), pieces(b""))
    assert intake.lost == [("expired", 1, JOB.path)]
    assert all(logs(intake).knows(key) for key in (JOB.key, "k", "empty"))
    await intake.record((), [*reader.forget("k", 60.0), *reader.forget("empty", 60.0), *reader.forget("acme", 999.0)])
    assert [logs(intake).knows(key) for key in (JOB.key, "k", "empty")] == [True, False, True]


async def test_two_who_want_the_same_read_it_once() -> None:
    intake = FakeIntake()
    reader = logs(intake)

    async def first() -> AsyncIterator[bytes]:
        await reader.read(JOB, pieces(b"<2>"))  # comes in between
        yield b"<1>"

    await reader.read(JOB, opened(first()))
    assert intake.marks == [1]


@pytest.mark.parametrize("left", range(6))
async def test_killed_at_any_commit_nothing_is_missed_and_nothing_is_there_twice(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblog, "BLOCK", 64)
    intake = MortalIntake(0.0)
    intake.left = left
    jobs = [CiJob(f"k{number}", "h", f"p{number}", float(number)) for number in range(2)]
    texts = [b"".join(b"<%d>\n" % (number * 100 + one) for one in range(40)) for number in range(2)]

    async def all_of_them() -> None:
        reader = logs(intake)
        for job, text in zip(jobs, texts, strict=True):
            await reader.read(job, pieces(text, [50] * 4))

    task = asyncio.create_task(all_of_them())
    await until(lambda: intake.dead.is_set() or task.done())
    task.cancel()
    await asyncio.wait([task])
    intake.revive()
    await all_of_them()
    await until(lambda: len(intake.saved) == 2)
    assert intake.marks == [number * 100 + one for number in range(2) for one in range(40)]
    assert len(intake.found) == 80
