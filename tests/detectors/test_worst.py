"""A search for the text that takes the engine longest: fragments of triggers, values and separators, repeated."""

from __future__ import annotations

import random
import resource
import time

import pytest

from detectors.engine import TooSlowError, Worker, patience
from tests.detectors.texts import engine, fragments

SIZE = 1 << 18
ROUNDS, KEPT = 400, 12
MOST = 200 << 10  # KiB of memory for a block, beside what the tests themselves take
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
]

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]


def seconds(search: Worker, recipe: list[bytes]) -> float:
    unit = b"".join(recipe) or b" "
    data = (unit * (SIZE // len(unit) + 1))[:SIZE]
    start = time.thread_time()
    try:
        search.search(data, seconds=patience(SIZE))
    except TooSlowError:
        return patience(SIZE)
    return time.thread_time() - start


def test_no_text_outlasts_the_patience_with_a_block() -> None:
    rng, search = random.Random(1), engine().worker()
    parts = [*fragments(), *GLUE * 20]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best: list[tuple[float, list[bytes]]] = []
    for number in range(ROUNDS):
        if number < 100 or not best:
            recipe = rng.choices(parts, k=rng.randrange(1, 9))
        else:
            recipe = list(rng.choice(best)[1])
            for _ in range(rng.randrange(1, 3)):
                at = rng.randrange(len(recipe) + 1)
                recipe[at : at + rng.randrange(2)] = [rng.choice(parts)] if rng.random() < 0.8 else []
        # Its first run compiles the regexes that it needs.
        spent = min(seconds(search, recipe), seconds(search, recipe))
        best = sorted([*best, (spent, recipe)], key=lambda pair: -pair[0])[:KEPT]
    for spent, recipe in best[:5]:
        print(f"{SIZE / spent / 1e6:6.2f} MB/s  {b''.join(recipe)[:100]!r}")
    assert best[0][0] < patience(SIZE), best[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST
