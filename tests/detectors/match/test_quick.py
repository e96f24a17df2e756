from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.match import filters
from detectors.match.quick import among, quick, searcher, span
from detectors.rules.template import expand
from monitor.common.regex import NOWHERE, UNANCHORED, RegexError, Search, compile_search
from tests.detectors.texts import pieces, rules

INSIDE, WHOLE = (rb"(?i)pass$", rb"\$\{"), (rb"a|bc",)


@given(st.text("abcpPaAsS${\n", max_size=8).map(str.encode))
def test_it_is_never_false_where_a_pattern_matches(text: bytes) -> None:
    matches = any(re.search(p, text) for p in INSIDE) or any(re.fullmatch(p, text) for p in WHOLE)
    assert quick(INSIDE, WHOLE)(text) or not matches


def test_it_is_false_where_none_does() -> None:
    asked = quick(INSIDE, WHOLE)
    assert [asked(text) for text in (b"passed", b"abc", b"xa", b"", b"bc", b"PASS")] == [False] * 4 + [True] * 2


@given(st.lists(st.text("abcpPaAsS${\n", max_size=8).map(str.encode), max_size=6))
def test_of_many_none_is_left_out_in_which_a_pattern_matches(texts: list[bytes]) -> None:
    asked = quick(INSIDE, WHOLE)
    wanted = {number for number, text in enumerate(texts) if b"\n" not in text and asked(text)}
    assert wanted <= among(INSIDE, WHOLE)(texts)


def test_of_many_those_are_told_in_which_one_matches() -> None:
    assert among(INSIDE, WHOLE)([b"passed", b"PASS", b"", b"bc", b"xbc", b"x${"]) == {1, 3, 5}


@pytest.mark.parametrize(
    "text",
    [
        b"key....=abcdef",
        b"key.....=abcdef",
        b"key..is is =abcdef",
        b"is is is =abcdef",
        b"key=abcdefghi",
        b"key=abcdefghi;;",
    ],
)
def test_what_comes_to_more_than_it_may_is_not_found(text: bytes) -> None:
    pattern = r"(?:key[.]{0,4}|(?:is ){0,5})=(?P<secret>[a-z]{3,8})(?:;{0,5}|$)"
    for data in (text, b"..." + text, text + b";" * 9, text + b"a" * 2000):
        assert searcher(pattern)(UNANCHORED, data, 0, len(data)) == compile_search(pattern)(
            UNANCHORED, data, 0, len(data)
        )


def test_a_span_is_that_of_the_first_match_from_a_place_on() -> None:
    where = span(rb"b+")
    assert [where(b"abbab"), where(b"abbab", 2), where(b"abbab", 3), where(b"a")] == [(1, 3), (2, 3), (4, 5), (-1, -1)]


# Values of each kind that a filter knows, between such as it does not.
words = st.sampled_from(
    (
        b"changeme xxxx ${VAR} <token> abcdefgh aaaaaaaa abababab zyxwvu null getPassword /etc/x.pem a.b.c 2026-11-25 "
        b"12:30 f(x) com.x.Y@1a2b3c a->b new 10.0.0.1 x\x7f \xc3\xa9 \xff && self.x $2b$10 password= page_token= "
        b"key_id:"
    ).split(b" ")
)


@given(
    st.lists(st.one_of(words, pieces, st.binary(max_size=6)), max_size=4).map(b"".join),
    st.one_of(words, pieces),
)
def test_filters_say_the_same_without_the_quick_look(value: bytes, before: bytes) -> None:
    def said() -> tuple[str | None, str | None, bool]:
        return filters.placeholder(value), filters.words(value, before), filters.marked(value)

    quickly = said()
    looks = {name: getattr(filters, name) for name in vars(filters) if name.startswith("_MAYBE")}
    assert looks
    try:
        for name in looks:
            setattr(filters, name, lambda text: True)
        assert said() == quickly
    finally:
        for name, look in looks.items():
            setattr(filters, name, look)


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
