"""A search for the text that takes the engine longest: fragments of triggers, values and separators, over and over,
some of them different each time. It measures, so it runs by itself, in the campaign."""

from __future__ import annotations

import random
import resource
import time
from typing import NamedTuple

import pytest

from detectors.match.cost import BlockCost, DecodeBudget, TooSlowError
from detectors.match.engine import Worker
from tests.detectors.texts import bomb, engine, fragments

SIZE = 1 << 17
ROUNDS, KEPT = 150, 12
LONGEST = 2.25  # seconds of processor time
AIM = 5.0  # MB/s for any text, which is missed (docs/performance.md)
# What holds instead, on a machine that others use as well: MB/s of all that is looked at, the block and what is decoded
# of it, and microseconds for each value that a rule has to judge, and for each finding.
FLOOR, VALUE, FOUND = 1.25, 200, 30
MOST = 200 << 10  # KiB of memory for a block, beside the compiled rules
FRESH, WORDS = b"\x01", b"\x02"  # another random value, and another name, at each repetition
GLUE = [
    b" ",
    b"\n",
    b"=",
    b'"',
    b"%3D",
    b"&quot;",
    b"\\u003d",
    b"aB3dE6gH9jK2m",
    b"://a:",
    b"@c",
    b"token",
    b"password",
    FRESH,
    FRESH,
    WORDS,
]
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


class Cost(NamedTuple):
    seconds: float  # of processor time
    looked_at: int  # bytes of the block and of what was decoded of it
    values: int  # different ones that a rule judged
    found: int

    @property
    def speed(self) -> float:
        """MB/s."""
        return SIZE / self.seconds / 1e6

    @property
    def share(self) -> float:
        """Of the seconds that it may take."""
        return self.seconds / (self.looked_at / FLOOR / 1e6 + (self.values * VALUE + self.found * FOUND) / 1e6)


def text(recipe: list[bytes]) -> bytes:
    unit, rng = b"".join(recipe) or b" ", random.Random(7)
    if FRESH not in unit and WORDS not in unit:
        return (unit * (SIZE // len(unit) + 1))[:SIZE]
    out, size = [], 0
    while size < SIZE:
        made = unit
        while FRESH in made:
            made = made.replace(FRESH, bytes(rng.choices(ALPHABET, k=12)), 1)
        while WORDS in made:
            word = bytes(rng.choices(ALPHABET[26:52], k=4))
            made = made.replace(
                WORDS, rng.choice((b"my-", b"the", b"user.")) + word + rng.choice((b"_name", b"Key")), 1
            )
        out.append(made)
        size += len(made)
    return b"".join(out)[:SIZE]


def cost(search: Worker, data: bytes, times: int = 2) -> Cost:
    """The least of some scans; the first one compiles the regexes that it needs."""
    best = Cost(LONGEST, 0, 1, 0)
    for _ in range(times):
        work = BlockCost(len(data), LONGEST)
        start = time.thread_time()
        try:
            found = search.decide(data, work)
        except TooSlowError:
            continue
        spent = time.thread_time() - start
        decoded = DecodeBudget(len(data)).left - work.budget.left
        best = min(best, Cost(spent, len(data) + decoded, work.judged, len(found)))
    return best


def worst(rng: random.Random, search: Worker) -> list[tuple[Cost, list[bytes]]]:
    parts = [*fragments(), *GLUE * 20]
    slowest: list[tuple[Cost, list[bytes]]] = []
    for number in range(ROUNDS):
        if number < ROUNDS // 4 or not slowest:
            recipe = rng.choices(parts, k=rng.randrange(1, 9))
        else:
            recipe = list(rng.choice(slowest)[1])
            for _ in range(rng.randrange(1, 3)):
                at = rng.randrange(len(recipe) + 1)
                recipe[at : at + rng.randrange(2)] = [rng.choice(parts)] if rng.random() < 0.8 else []
        made = cost(search, text(recipe)), recipe
        # Half of them the slowest, half those that take the most of what they may.
        known = [*slowest, made]
        by_speed = sorted(known, key=lambda pair: -pair[0].seconds)[: KEPT // 2]
        by_share = sorted(known, key=lambda pair: -pair[0].share)[: KEPT // 2]
        slowest = by_speed + [pair for pair in by_share if pair not in by_speed]
    return slowest


def test_no_text_is_slower_than_what_is_in_it_explains() -> None:
    search = engine().worker()
    for number in range(len(engine().rules)):
        engine().judge(number)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = [(cost(search, text(recipe), 3), recipe) for _, recipe in worst(random.Random(1), search)]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    for spent, recipe in sorted(slowest):
        print(
            f"{spent.speed:6.2f} MB/s ({spent.speed / AIM:.2f} of the aim),",
            f"decoded {spent.looked_at / SIZE - 1:4.1f} x,",
            f"{spent.values:6} values, {spent.found:6} found, {spent.share:4.2f} of what it may take ",
            repr(b"".join(recipe)[:100]),
        )
    print(f"memory: {grown / 1024:.0f} MiB more than the compiled rules")
    assert max(spent.seconds for spent, _ in slowest) < LONGEST
    assert max(spent.share for spent, _ in slowest) < 1
    assert grown < MOST


def test_a_line_of_nested_bombs_takes_less_than_a_second() -> None:
    search, line = engine().worker(), b"body=" + bomb() + b"\n"
    spent = cost(search, line, 3)
    print(f"{len(line)} bytes: {spent.seconds * 1000:.0f} ms")
    assert spent.seconds < 1
