from __future__ import annotations

import random

import pytest

from detectors.match.spans import searcher
from detectors.rules.template import expand
from monitor.common.regex import NOWHERE, UNANCHORED, RegexError, Search, compile_search
from tests.detectors.texts import rules


def told(search: Search, text: bytes, at: int, high: int) -> tuple[tuple[int, int], ...] | None:
    spans = search(UNANCHORED, text, at, high)
    return tuple(spans) if spans[0] != NOWHERE else None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"key=(?P<secret>[a-z:]{5,20}[a-z])", b"key=" + b"a" * 40),
        (r"key=(?P<secret>[a-z:]{5,20}[a-z])", b"key=aaa" + b":" * 40 + b"a key=abcdefgh"),  # the first is none
        (r"key {0,9}(?P<secret>[a-z]{5,20})(?:[^a-z]|$)", b"key " + b"a" * 21 + b" key  abcdef"),
        (r"\bkey(?P<secret>[a-z]{5,})", b"xkeyabcdef keyabcdef"),
        (r"(?P<secret>[a-z]{2})", b"=ab"),
        (r"[a-z]{2,20}=", b"ab abc="),
    ],
)
def test_a_match_is_that_of_the_pattern(pattern: str, text: bytes) -> None:
    search, whole = searcher(pattern), compile_search(pattern)
    for at in range(len(text)):
        for high in (len(text), len(text) - 1, at + 8):
            assert told(search, text, at, high) == told(whole, text, at, high)


def test_rules_find_what_their_patterns_do() -> None:
    rng, seen = random.Random(5), 0
    for rule in rng.sample(rules(), 12):
        search, whole = searcher(rule.confirm), compile_search(rule.confirm)
        texts = [expand(template, 1) for template in (*rule.examples[:2], *rule.negative_examples[:2])]
        longer = [text[: len(text) // 2] + text[len(text) // 2 :] * 9 for text in texts]
        data, at = "".join(text + rng.choice(("", "\n", '"', "=" * 200)) for text in (*texts, *longer)).encode(), 0
        while at < len(data):
            high = rng.choice((len(data), rng.randrange(at, len(data) + 1)))
            expected = told(whole, data, at, high)
            assert told(search, data, at, high) == expected
            seen += expected is not None
            at = sum(expected[-1]) // 2 + 1 if expected is not None else high + 1
    assert seen > 12


def test_what_users_write_is_compiled_whole_at_once() -> None:
    refused = r"key=(?P<secret>(?:[a-z]{1,999}){1,9})"
    searcher(refused)
    with pytest.raises(RegexError):
        searcher(refused, at_once=True)
