from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from detectors.fingerprint import fingerprint
from monitor.quoted import unquoted

KEY = b"k" * 32
VALUE = "aB3/" * 9 + "x+0="  # as of a cloud's secret key: nothing says what it is


async def previews(prints: Collection[str]) -> Mapping[str, str]:
    return {fingerprint(KEY, VALUE.encode()): "aB3/…[40]"} if fingerprint(KEY, VALUE.encode()) in prints else {}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "it was {}.",
        "{}: mine",
        '"{}"',
        "secret={}",
        "AWS:{}!",
        "(`{}`)",
        "a\n{}\nb",
        "<{}>, see there",
        "k=v={}?",
    ],
)
async def test_the_secret_of_an_incident_is_masked_wherever_it_stands(text: str) -> None:
    assert await unquoted(text.format(VALUE), KEY, previews) == text.format("aB3/…[40]")


@pytest.mark.parametrize("text", ["", "done", "rotated by ada, see the ticket", "x" * 5000, "\udcff" * 10])
async def test_other_words_stay(text: str) -> None:
    assert await unquoted(text, KEY, previews) == text
