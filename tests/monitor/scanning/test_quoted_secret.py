from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from detectors.fingerprint import fingerprint
from monitor.scanning.quoted_secret import Previews, unquoted

KEY = b"k" * 32
VALUE = "aB3/" * 9 + "x+0="  # as of a cloud's secret key: nothing says what it is


def known_as(value: str, masked: str = "…[9]") -> Previews:
    """As of an incident that is about `value`."""
    known = fingerprint(KEY, value.encode())

    async def previews(prints: Collection[str]) -> Mapping[str, str]:
        return {known: masked} if known in prints else {}

    return previews


previews = known_as(VALUE, "aB3/…[40]")


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


PUNCTUATED = (
    "hunter2,really!",
    "Tr(0ub4dor&3)x",
    "a;b{c}d[e]f",
    "<q'u`o\"t>",
    "pass word long",
    "(brackets)",
    "trailing-",
    "=leading",
    "what?!",
    "pässwörd",
    "x1,;" * 8,
    "(q7;" * 80,  # more ends of words than are looked at, but between white space
)
AROUND = (
    "{}",
    "the {}",
    "it is {} ok",
    "was {}.",
    "`{}`",
    "```\n{}\n```",
    '"{}", she said',
    "“{}”",
    "({})",
    "password: {}",
    "password={}\n",
    "{}…",
    "*{}*",
)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("value", PUNCTUATED)
async def test_a_value_is_found_whatever_signs_it_holds(value: str, around: str) -> None:
    assert await unquoted(around.format(value), KEY, known_as(value)) == around.format("…[9]")


@pytest.mark.parametrize(
    "around",
    [
        "login/{}",
        "bob@{}",
        "{}—rotated",
        "{}'s",
        "{0}/{0}",
        "psql -p{}",
        "mysql -uroot -p'{}' -h db",
        "${}",
        "https://bob:{}@db.example.com/app?x=1",
        "curl -ubob:{},x",
        'line\\n{}\\n"',
        "?key%3D{}%26x",
        "<https://example.com/?k={}|here>",
        "密码是{}。",
        "a\u200b{}\u200b",
        "a\u00a0{}\u00a0b",
        "k1={0},k2=v;{0};",
    ],
)
async def test_a_value_is_found_whatever_stands_beside_it(around: str) -> None:
    assert await unquoted(around.format("S3cretPw99"), KEY, known_as("S3cretPw99")) == around.format("…[9]")


@pytest.mark.parametrize("written", ["p%40ss%21word", "p@ss\\!word", "&quot;p@ss!word&quot;"])
async def test_a_value_is_found_as_it_is_written_for_something_else(written: str) -> None:
    assert await unquoted(f"it is {written} ok", KEY, known_as("p@ss!word")) == "it is …[9] ok"
    assert await unquoted("as a&lt;b&amp;c&gt;d1 there", KEY, known_as("a<b&c>d1")) == "as …[9] there"


async def test_a_long_text_costs_little_and_each_word_of_it_is_looked_at() -> None:
    asked: list[int] = []

    async def counting(prints: Collection[str]) -> Mapping[str, str]:
        asked.append(len(prints))
        return await known_as("S3cretPw99")(prints)

    text = " ".join(f"word-{number};" for number in range(2000)) + " (S3cretPw99)."
    assert (await unquoted(text, KEY, counting)).endswith(" (…[9]).")
    assert asked[0] <= 10_000
    assert await unquoted("a b " * 100_000 + "S3cretPw99", KEY, previews)
