from __future__ import annotations

import random
from itertools import product

import pytest

from monitor.common.newlines import characters, newlines
from tests.tables import each


@each(
    "every, size",
    product([0, 1, 2, 47, 48, 49, 200, 70_000], [0, 1, 1023, 1025, 65_535, 65_536, 65_537, 200_000]),
)
def test_as_many_as_there_are(size: int, every: int) -> None:
    text = bytearray(b"x" * size)
    if every:
        text[::every] = b"\n" * len(range(0, size, every))
    assert newlines(bytes(text)) == text.count(b"\n")


def test_lines_that_grow_shorter_within_a_piece() -> None:
    rng = random.Random(1)
    text = b"".join(b"x" * rng.choice((0, 3, 90, 3000)) + b"\n" for _ in range(500))
    assert newlines(text) == 500


@pytest.mark.parametrize("text", ["", "plain", "größe", "€uro 𝄞"])
def test_characters(text: str) -> None:
    assert characters(text.encode()) == len(text)


def test_bytes_that_are_no_characters_count_as_something() -> None:
    assert 2 <= characters(b"a\xff\xfeb") <= 4
