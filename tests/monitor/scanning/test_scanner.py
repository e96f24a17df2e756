from __future__ import annotations

import asyncio
import base64
import copy
import gc
import gzip
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine, Pace, ScanResult
from detectors.rules.template import expand
from monitor.domain.model import Block, Predecessor
from monitor.intake.protocol import ScanError
from monitor.scanning import scanner as module
from monitor.scanning.occurrence import finding_id
from monitor.scanning.scanner import Gap, Scanner
from monitor.store.crash_mark import BlockMarks
from tests.detectors import texts

KEY = b"k" * 32
RULE = "github-pat"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.build([rule for rule in texts.rules() if rule.id == RULE])


@pytest.fixture
def scanner(engine: Engine) -> Iterator[Scanner]:
    scanner = Scanner(engine, KEY, workers=2)
    yield scanner
    scanner.close()


def secret(engine: Engine, seed: int) -> bytes:
    (rule,) = engine.rules
    text = expand(rule.examples[0], seed).encode()
    (match,) = engine.worker().scan(text)
    return match.secret


def block(data: bytes, **keys: Any) -> Block:
    keys = {"source": "s", "path": "/p", "generation": "g", "offset": 0, "time": 5.0} | keys
    return Block(data=data, **keys)


class Fake:
    """An engine, its worker, and the search of a block, which takes one turn."""

    left = True
    data = b""

    def worker(self) -> Self:
        return self

    def begin(self, data: bytes, fresh: int, limit: int, pace: Pace, head: bytes = b"") -> Fake:
        search = copy.copy(self)
        search.data = data
        return search

    def step(self, worker: Fake) -> None:
        self.left = False
        self.look()

    def look(self) -> None:
        pass

    def found(self) -> ScanResult:
        return ScanResult([])


class Broken(Fake):
    """An engine that fails with the text in its message."""

    def look(self) -> None:
        raise ValueError(f"cannot digest {bytes(self.data)!r}")


class Slow(Fake):
    """An engine that waits."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def look(self) -> None:
        self.entered.set()
        assert self.go.wait(10)


async def test_findings_carry_everything_but_the_secret(scanner: Scanner, engine: Engine) -> None:
    value = secret(engine, 1)
    data = b"first\ntoken=" + value + b"\n"
    (finding,) = await scanner.scan([block(data, offset=1000, line=7, attributes={"unit": "web"})])
    start = data.index(value)
    assert finding.rule == RULE
    assert finding.fingerprint == fingerprint(KEY, value)
    assert finding.id == finding_id("g", 1000 + start, RULE, finding.fingerprint)
    assert (finding.source, finding.path, finding.generation, finding.offset) == ("s", "/p", "g", 1000 + start)
    assert (finding.line, finding.column, finding.time) == (8, len("token=") + 1, 5.0)
    assert finding.labels["unit"] == "web"
    assert value.decode() not in repr(finding)
    assert finding.masked.split("…")[0] in value.decode()


async def test_a_finding_leads_to_where_its_block_can_be_read_but_never_through_a_secret(
    scanner: Scanner, engine: Engine
) -> None:
    value = secret(engine, 1)
    page = "https://paste.test/abc"
    (finding,) = await scanner.scan([block(value + b"\n", url=page)])
    assert (finding.url, finding.labels.get("url")) == (page, None)
    (finding,) = await scanner.scan([block(value + b"\n", url=f"{page}?token={value.decode()}")])
    assert finding.url is None


async def test_what_each_rule_found_and_cost_is_counted(scanner: Scanner, engine: Engine) -> None:
    text = b"".join(b"token=%b\n" % secret(engine, seed) for seed in range(3))
    await asyncio.gather(*(scanner.scan([block(text), block(b"ghp_ nothing\n")]) for _ in range(4)))
    spent = scanner.stats.rules[RULE]
    assert spent.matches == 12
    assert spent.looks >= 4
    assert spent.seconds > 0


async def test_ids_depend_on_the_place_and_nothing_else(scanner: Scanner, engine: Engine) -> None:
    data = b"x " + secret(engine, 1) + b"\n"
    first, again, shifted, other = [
        (await scanner.scan([block(data, **keys)]))[0].id
        for keys in ({}, {"time": 9.0, "path": "/renamed"}, {"offset": 1}, {"generation": "h"})
    ]
    assert first == again
    assert len({first, shifted, other}) == 3


async def test_only_fresh_bytes_up_to_the_limit_count(scanner: Scanner, engine: Engine) -> None:
    value = secret(engine, 1)
    data = value + b"\n"
    whole = len(value)
    assert await scanner.scan([block(data, fresh=whole + 1)]) == []
    assert await scanner.scan([block(data, limit=whole // 2)]) == []
    split = [block(data, limit=10), block(data, fresh=10)]
    assert len(await scanner.scan(split)) == 1


async def test_lines_and_columns(scanner: Scanner, engine: Engine) -> None:
    value = secret(engine, 1)
    long = b"y" * 5000 + b" " + value + b"\n"
    asked: list[int] = []

    def line_at(offset: int) -> int:
        asked.append(offset)
        return 42

    (finding,) = await scanner.scan([block(long, line_at=line_at)])
    assert (finding.line, finding.column, asked) == (42, 5002, [5001])
    (finding,) = await scanner.scan([block(long, offset=9)])
    assert (finding.line, finding.column) == (None, None), "the line began before the block"
    many = b"".join(b"%d %s\n" % (number, secret(engine, number)) for number in range(30))
    findings = await scanner.scan([block(many, line=1)])
    assert sorted(finding.line or 0 for finding in findings) == list(range(1, 31))
    assert {finding.column for finding in findings} == {3, 4}


async def test_memoryviews_of_a_reused_buffer(scanner: Scanner, engine: Engine) -> None:
    buffer = bytearray(200)

    def blocks() -> Iterator[Block]:
        for number in range(3):
            data = secret(engine, number) + b"\n"
            buffer[: len(data)] = data
            yield block(memoryview(buffer)[: len(data)], offset=1000 * number)  # type: ignore[arg-type]

    findings = await scanner.scan(blocks())
    assert [finding.fingerprint for finding in findings] == [fingerprint(KEY, secret(engine, n)) for n in range(3)]
    assert (scanner.stats.blocks, scanner.stats.matches, scanner.stats.busy) == (3, 3, 0)
    assert scanner.stats.bytes > 100


async def test_an_engine_error_names_the_place_and_nothing_of_the_text(scanner: Scanner) -> None:
    scanner.swap(Broken())  # type: ignore[arg-type]
    closed = []

    def blocks() -> Iterator[Block]:
        try:
            yield block(b"ignored\n" + b"s3cr3t-value", offset=100, limit=12)
        finally:
            closed.append(True)

    with pytest.raises(ScanError) as caught:
        await scanner.scan(blocks())
    assert str(caught.value) == "/p: the engine failed at offset 100: ValueError"
    assert caught.value.end == 112
    assert caught.value.__context__ is None
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
    assert closed == [True]
    assert scanner.stats.failures == 1
    assert scanner.stats.busy == 0


async def test_an_error_of_the_source_is_passed_on(scanner: Scanner) -> None:
    def blocks() -> Iterator[Block]:
        yield block(b"x\n")
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await scanner.scan(blocks())
    assert scanner.stats.busy == 0


async def test_a_swap_takes_effect_between_blocks(scanner: Scanner, engine: Engine) -> None:
    used: list[str] = []

    class Spy(Fake):
        def __init__(self, name: str) -> None:
            self.name = name

        def look(self) -> None:
            used.append(self.name)

    scanner.swap(Spy("old"))  # type: ignore[arg-type]

    def blocks() -> Iterator[Block]:
        yield block(b"1\n")
        yield block(b"2\n")
        scanner.swap(Spy("new"))  # type: ignore[arg-type]
        yield block(b"3\n")

    await scanner.scan(blocks())
    assert used == ["old", "old", "new"]


async def test_cancelled_it_stops_between_blocks_and_returns_when_the_iterator_is_closed(scanner: Scanner) -> None:
    slow = Slow()
    scanner.swap(slow)  # type: ignore[arg-type]
    events: list[str] = []

    def blocks() -> Iterator[Block]:
        try:
            for number in range(1000):
                events.append(str(number))
                yield block(b"x\n")
        finally:
            events.append("closed")

    task = asyncio.create_task(scanner.scan(blocks()))
    await asyncio.to_thread(slow.entered.wait, 60)
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done(), "the thread still uses the block"
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["0", "closed"]


async def test_with_enough_findings_no_further_block_is_taken(
    scanner: Scanner, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ENOUGH", 3)
    taken: list[int] = []
    data = b"token=" + secret(engine, 1) + b"\ntoken=" + secret(engine, 2) + b"\n"

    def blocks() -> Iterator[Block]:
        for number in range(9):
            taken.append(number)
            yield block(data, offset=number * 1000)

    assert len(await scanner.scan(blocks())) == 4
    assert taken == [0, 1]


async def test_cancelled_before_it_began(engine: Engine) -> None:
    scanner = Scanner(engine, KEY, workers=1)
    slow = Slow()
    scanner.swap(slow)  # type: ignore[arg-type]
    first = asyncio.create_task(scanner.scan([block(b"x\n")]))
    await asyncio.to_thread(slow.entered.wait, 60)
    pulled: list[int] = []

    def blocks() -> Iterator[Block]:
        pulled.append(1)
        yield block(b"y\n")

    second = asyncio.create_task(scanner.scan(blocks()))
    await asyncio.sleep(0.02)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(second, 120)
    assert scanner.longest() > 0.01
    slow.go.set()
    assert await first == []
    assert pulled == []
    assert scanner.longest() == 0.0
    scanner.close()
    gc.collect()


async def test_time_spent_reading_is_not_counted_as_stuck(scanner: Scanner) -> None:
    longest: list[float] = []

    def blocks() -> Iterator[Block]:
        time.sleep(0.05)
        longest.append(scanner.longest())
        yield block(b"x\n")

    await scanner.scan(blocks())
    assert longest == [0.0]


async def test_blocks_of_two_files_are_scanned_at_once(scanner: Scanner) -> None:
    barrier = threading.Barrier(2)

    def blocks() -> Iterator[Block]:
        barrier.wait(5)
        yield block(b"x\n")

    await asyncio.gather(scanner.scan(blocks()), scanner.scan(blocks()))


async def test_identify(scanner: Scanner, engine: Engine) -> None:
    value = secret(engine, 3)
    (finding,) = await scanner.identify(b"is it " + value + b"?")
    assert finding.fingerprint == fingerprint(KEY, value)


async def test_a_secret_in_a_path_or_an_attribute_is_masked(scanner: Scanner, engine: Engine) -> None:
    value, other = secret(engine, 1), secret(engine, 2).decode()
    (found,) = await scanner.scan([block(value, path=f"/logs/{other}.log", attributes={"topic": f"t/{other}"})])
    assert found.path.startswith("/logs/ghp_")
    assert other[8:] not in repr(found)
    assert scanner.redact(other) == scanner.redact(scanner.redact(other)) != other


async def test_a_failure_names_no_secret_of_the_path(engine: Engine) -> None:
    other = secret(engine, 2).decode()
    scanner = Scanner(Broken(), KEY)  # type: ignore[arg-type]
    try:
        with pytest.raises(ScanError) as caught:
            await scanner.scan([block(b"x", path=f"/logs/{other}.log")])
    finally:
        scanner.close()
    assert other[8:] not in str(caught.value)


async def test_of_a_text_that_takes_too_long_what_was_not_searched_is_told(engine: Engine) -> None:
    scanner = Scanner(engine, KEY, pace=Pace(turn=-1.0, piece=-1.0))
    gaps: list[Gap] = []
    assert await scanner.scan([block(b"before " + secret(engine, 1), fresh=3)], gaps) == []
    assert gaps == [Gap("/p", 4 + 40, "unscannable")]
    assert scanner.stats.failures == 0
    scanner.close()


async def test_a_block_in_turns_lets_others_have_theirs(engine: Engine) -> None:
    order: list[str] = []
    scanner = Scanner(engine, KEY, workers=1)

    class Turns(Fake):
        def __init__(self, name: str, count: int) -> None:
            self.name, self.count = name, count

        def step(self, worker: Fake) -> None:
            order.append(self.name)
            self.count -= 1
            self.left = self.count > 0

    def blocks(name: str, count: int) -> Iterator[Block]:
        for _ in range(2):
            scanner.swap(Turns(name, count))  # type: ignore[arg-type]
            yield block(b"x\n")

    await asyncio.gather(scanner.scan(blocks("dense", 3)), scanner.scan(blocks("quick", 1)))
    # The dense one takes no further block: its iterator belongs to the thread that began with it.
    assert order == ["dense", "quick", "quick", "dense", "dense"]
    scanner.close()


async def test_cancelled_in_the_midst_of_a_block_it_gives_that_up_and_closes_the_iterator(engine: Engine) -> None:
    scanner = Scanner(engine, KEY, workers=1)
    closed = threading.Event()
    slow = Slow()

    class Endless(Fake):
        def step(self, worker: Fake) -> None:
            slow.look()

    def blocks() -> Iterator[Block]:
        try:
            yield block(b"x\n")
        finally:
            closed.set()

    scanner.swap(Endless())  # type: ignore[arg-type]
    task = asyncio.create_task(scanner.scan(blocks()))
    assert await asyncio.to_thread(slow.entered.wait, 60)
    task.cancel()
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    scanner.close()


async def test_what_is_too_much_to_decode_is_told(scanner: Scanner, engine: Engine) -> None:
    gaps: list[Gap] = []
    bomb = base64.b64encode(gzip.compress(bytes(64 << 20), mtime=0))
    await scanner.scan([block(b"k " + bomb, path="/a"), block(b"plain", path="/b")], gaps)
    assert [(gap.path, gap.reason) for gap in gaps] == [("/a", "undecoded")]
    assert gaps[0].bytes >= len(bomb) - 4


async def test_a_block_at_which_the_process_ended_twice_is_passed_over(engine: Engine, tmp_path: Path) -> None:
    deadly = block(b"a " + secret(engine, 1), offset=100)
    for _ in range(2):
        BlockMarks(tmp_path / "marks").begin(deadly)  # and then the process is killed
    scanner = Scanner(engine, KEY, marks=BlockMarks(tmp_path / "marks"))
    with pytest.raises(ScanError, match="the monitor was ended 2 times while at it"):
        await scanner.scan([deadly])
    assert len(await scanner.scan([block(b"a " + secret(engine, 1), offset=5000)])) == 1
    scanner.close()


async def test_a_suspect_is_scanned_alone(tmp_path: Path) -> None:
    suspect = block(b"x", path="/suspect")
    BlockMarks(tmp_path / "marks").begin(suspect)
    slow = Slow()
    scanner = Scanner(slow, KEY, workers=2, marks=BlockMarks(tmp_path / "marks"))  # type: ignore[arg-type]
    first = asyncio.create_task(scanner.scan([suspect]))
    assert await asyncio.to_thread(slow.entered.wait, 60)
    slow.entered.clear()
    second = asyncio.create_task(scanner.scan([block(b"x", path="/other")]))
    assert not await asyncio.to_thread(slow.entered.wait, 0.2)
    slow.go.set()
    assert await first == await second == []
    scanner.close()


def test_a_suspect_waits_for_those_at_work_and_for_nobody_who_comes_later() -> None:
    """Or where every thread is busy all the time, its own would never get its turn."""
    gate, order = module._Gate(), list[str]()

    def go(name: str, alone: bool) -> None:
        with gate.passed(alone=alone):
            order.append(name)

    def waiting(count: int) -> bool:
        return len(gate._changed._waiters) == count  # type: ignore[attr-defined]

    threads = [threading.Thread(target=go, args=one) for one in (("suspect", True), ("later", False))]
    with gate.passed(alone=False):
        for count, thread in enumerate(threads, 1):
            thread.start()
            while not (waiting(count) or order):
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == ["suspect", "later"]


async def test_over_a_seam_the_whole_counts_and_either_side_where_nothing_covers_it(
    scanner: Scanner, engine: Engine
) -> None:
    first, second = secret(engine, 1), secret(engine, 2)
    before = Predecessor("/p.1", "old", 100)

    async def told(left: bytes, right: bytes) -> list[tuple[str, str, int, str]]:
        seam = len(left)
        joined = block(left + right, offset=-seam, predecessor=before, seam=seam)
        found = await scanner.scan([joined])
        return [(one.path, one.generation, one.offset, one.fingerprint) for one in found]

    one, two = fingerprint(KEY, first), fingerprint(KEY, second)
    assert await told(b"a " + first[:20], first[20:] + b" b\n") == [("/p.1", "old", 100 - 20, one)]
    assert await told(b"a " + first, b"x" + second + b"\n") == [("/p.1", "old", 100 - len(first), one)]
    ends = await told(b"a " + first, b"b\n" + second + b"\n")
    assert ends == [("/p", "g", 2, two), ("/p.1", "old", 100 - len(first), one)]
