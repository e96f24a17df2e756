from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import hyperscan
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors.rules.pattern import UNBOUNDED, groups, matches_empty, says_words, shape, unbounded
from detectors.rules.syntax import diagnose
from monitor.common.regex import compile_re2
from tests.detectors.texts import examples, rules

ATOMS = st.sampled_from(r"a b _ - key ghp_ \. \d \w \s [a-f] [^a] [ab_-] . [\s=] \x41 = \\".split())
REPEATS = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "??", "*?", "+?"])


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    many = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.one_of(
        many,
        st.tuples(st.lists(many, min_size=2, max_size=3), REPEATS).map(lambda p: f"(?:{'|'.join(p[0])}){p[1]}"),
        st.tuples(st.sampled_from(["(?:", "(?i:", "(?s:", "(?-i:"]), many, REPEATS).map(
            lambda p: f"{p[0]}{p[1]}){p[2]}"
        ),
    )


BODIES = st.recursive(st.tuples(ATOMS, REPEATS).map("".join), _compound, max_leaves=8)
PATTERNS = st.one_of(
    BODIES,
    st.tuples(BODIES, BODIES).map(lambda p: rf"\b(?P<secret>{p[0]}){p[1]}"),
    st.tuples(st.sampled_from(["(?i)", "(?s)", "(?m)^", "(?is)"]), BODIES).map("".join),
    st.tuples(BODIES, BODIES).map(lambda p: rf"{p[0]}(?P<secret>{p[1]})(?:[^a-z]|$)"),
)
TEXTS = st.lists(st.sampled_from([*"abcAK_-.7 \n=\\\xe9", "key", "KEY", "ghp_", "aab"]), max_size=12).map("".join)


@lru_cache(maxsize=8)  # of one example, for each of its texts
def compiled(expression: str) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[expression.encode()], ids=[0], flags=[0])
    return database


def ends(expression: str, text: bytes) -> set[int]:
    database = compiled(expression)
    found: set[int] = set()
    database.scan(text, match_event_handler=lambda _id, _from, to, *_: found.add(to) or None)
    # Alone, an expression of few literals is missed at the very end of 17 to 34 bytes (`key+|[0-9]b{2}`, hyperscan
    # 0.9.1); in a set, as rules are, it was not seen to be.
    database.scan(text + b"\0", match_event_handler=lambda _id, _from, to, *_: found.add(min(to, len(text))) or None)
    return found


def confirmed(pattern: str, text: bytes) -> list[tuple[int, int]]:
    """Every leftmost match of RE2 that starts anew at any position: more than a scan would see."""
    regex: Any = compile_re2(pattern)
    spans = set()
    for at in range(len(text) + 1):
        m = regex.search(text, at)
        if m is not None:
            spans.add(m.span())
    return sorted(spans)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=4))
def test_wherever_the_pattern_matches_the_trigger_points_and_one_of_the_literals_stands(
    pattern: str, texts: list[str]
) -> None:
    assume(diagnose(pattern) is None)
    found = shape(pattern)
    words = [word.lower() if found.caseless else word for word in found.literals]
    for part in texts:
        text = part.encode("latin-1")
        hits = ends(found.trigger, text)
        # The ways that it starts in are the trigger.
        assert set().union(*(ends(way, text) for way in found.triggers)) == hits, found.triggers
        for start, end in confirmed(pattern, text):
            near = [hit for hit in hits if hit - found.back <= start and end <= hit + found.ahead]
            assert near, (found.trigger, start, end, sorted(hits))
            matched = text[start:end].decode("latin-1")
            matched = matched.lower() if found.caseless else matched
            assert not words or any(word in matched for word in words)


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        (r"\b(?P<secret>(?:ddp_|ddw_)[A-Za-z0-9]{36})\b", ("ddp_[A-Za-z0-9]{36}", "ddw_[A-Za-z0-9]{36}")),
        (r"(?P<secret>gh[ps]_\w{36})", (r"ghp_[\w]{36}", r"ghs_[\w]{36}")),
        (r"(?i)ab[cd]x", ("(?i:abcx)", "(?i:abdx)")),
        (r"k_(?:test_)?[0-9]{3}x", (r"k_[0-9][0-9]{2}x", r"k_test_[0-9]{3}x")),
        (r"(?P<secret>[a-f0-9]{16}NRAL)", ("(?:[a-f0-9]{16}NRAL)",)),
        (r"[A-Z]b", ("[A-Z]b",)),
    ],
)
def test_a_start_with_alternatives_becomes_several_expressions(pattern: str, ways: tuple[str, ...]) -> None:
    assert shape(pattern).triggers == ways


@pytest.mark.parametrize(
    ("pattern", "trigger"),
    [
        (r"\b(?P<secret>ghp_[A-Za-z0-9]{36,255})\b", r"(?:ghp_[A-Za-z0-9]{36})"),
        (r"x{0,9}abc\d*", "abc"),
        (r"(?i)Key=a+", "(?i:key=a)"),
        (r"(?m)^from [a-z]+$", r"(?m:from\x20[a-z])"),
    ],
)
def test_triggers_shed_what_does_not_help_to_find(pattern: str, trigger: str) -> None:
    made = shape(pattern).trigger
    assert made.replace(r"\x20", " ").lower() == trigger.replace(r"\x20", " ").lower()


def test_widths_bound_the_window() -> None:
    bounded = shape(r"abc[0-9]{4,9}")
    assert (bounded.back, bounded.ahead) == (7, 5)
    assert shape(r"abc[0-9]+").ahead >= UNBOUNDED
    assert shape(r"[a-z]{0,5}abc").back == 8
    assert shape("abc|defgh").back >= 5
    for pattern in (r"(?P<secret>(?:\w{2,}){2,})", r"a(?:a|aa+)+", r"(?:abc){3,}"):
        assert shape(pattern).ahead >= 0  # what the trigger leaves off, never less than nothing
    own = shape(r"key.{0,9}(?P<secret>abc)", trigger="key")
    assert own.back == own.ahead == 15


def test_literals_and_prefix() -> None:
    found = shape(r"\b(?P<secret>ghp_[a-z]{4})")
    assert found.literals == ("ghp_",)
    assert found.prefix == "ghp_"
    assert shape(r"(?:alpha|bravo)[0-9]").literals == ("alpha", "bravo")
    assert shape(r"(?i)Token=\d").caseless
    assert shape(r"[a-z]{30}").literals == ()
    assert shape(r"key=(?P<secret>[a-z]{9})").prefix == ""


def test_groups_and_empty_matches() -> None:
    assert groups("(?P<secret>a)(?P<id>b)") == {"secret": 1, "id": 2}
    for pattern in ("a*", "(?:a|b?)", "", r"\b", "(?:a*){3}"):
        assert matches_empty(pattern)
    assert not matches_empty("a+")
    with pytest.raises(re.error):
        groups("(a")
    with pytest.raises(re.error):
        shape("(?=a)b")


@cache
def _everything() -> bytes:
    return b"\n".join(examples(len(rules())))


@pytest.mark.parametrize("number", range(0, len(rules()), 40))
def test_triggers_of_the_packs_miss_no_match(number: int) -> None:
    text = _everything()
    for rule in rules()[number : number + 40]:
        if rule.keywords or rule.trigger:  # a trigger written by hand is its author's choice; its examples are checked
            continue
        found = shape(rule.pattern, rule.trigger)
        regex = compile_re2(rule.confirm)
        hits = sorted(ends(found.trigger, text))
        at = 0
        while (m := regex.search(text, at)) is not None:
            start, end = m.span()
            # Confirm may start earlier, at an escape; the pattern itself starts no later than the secret.
            start = m.start(1) if regex.groups and m.start(1) >= 0 else start
            assert any(hit - found.back - 16 <= start and start <= hit + found.ahead for hit in hits), rule.id
            at = max(end, at + 1)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"acme_(?P<secret>live|test)_[0-9a-z]{32}", True),
        (r"acme_(?P<secret>sandbox|(?:pre)?production)_[0-9a-z]{32}", True),
        (r"acme_(?P<secret>[a-z]{1,4})_[0-9a-z]{32}", True),
        (r"acme_(?P<secret>(?:live|test)_[0-9a-z]{32})", False),
    ],
)
def test_a_group_that_says_words_is_no_value(pattern: str, words: bool) -> None:
    assert says_words(pattern) is words


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            r"key[\w.]{0,24}=(?P<secret>[a-z]{15,998})",
            (r"key[\w.]{0,}=(?P<secret>[a-z]{15,})", [(0, r"[\w.]", 1, 24), (1, "[a-z]", 1, 998)]),
        ),
        (r"[]{1,99}]\{1,99}[^]{1,99}]a{1,99}?", (r"[]{1,99}]\{1,99}[^]{1,99}]a{1,}?", [(1, "a", 1, 99)])),
        (
            r"(?P<secret>a|b)(?:(?:is|\)was) ){0,5}",
            (r"(?P<secret>a|b)(?:(?:is|\)was) ){0,}", [(2, r"(?:(?:is|\)was) )", 3, 5)]),
        ),
        (r"(?P<secret>[a-z]{15,18}x{3}y*z{2,})", None),
        (r"(?:=(?P<secret>[a-z]{15,99})){1,9}", None),
    ],
)
def test_a_pattern_without_its_bounds(pattern: str, expected: tuple[str, list[tuple[object, ...]]] | None) -> None:
    assert unbounded(pattern) == expected
