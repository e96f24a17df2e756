from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.author.portable import captures, portable
from detectors.rules.syntax import diagnose
from monitor.common.regex import RegexError, compile_text


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("acme_[a-z]{8}", "(?P<secret>acme_[a-z]{8})"),
        ("key=(acme_[a-z]{8})", "key=(?P<secret>acme_[a-z]{8})"),
        ("(key|token)=([a-z]{8})", "(?P<secret>key|token)=(?:[a-z]{8})"),
        ("(?i)acme_(?P<TOKEN>[a-z]{8})", "(?i)acme_(?P<secret>[a-z]{8})"),
        ("acme(?i)_key|other", "(?P<secret>acme(?i:_key)|(?i:other))"),
        ("a(?:b(?i)c)d", "(?P<secret>a(?:b(?i:c))d)"),
        ("(?i)a(?s).b", "(?i)(?P<secret>a(?s:.b))"),
        (r"abc\z", "(?P<secret>abc$)"),
        (r"\Aabc\x{41}", r"(?P<secret>^abc\x41)"),
        (r"[[:alnum:]_-]{4}", "(?P<secret>[0-9A-Za-z_-]{4})"),
        (r"[^[:space:]]+x", r"(?P<secret>[^\s]+x)"),
        (r"\Qa.b(\Ec", r"(?P<secret>a\.b\(c)"),
        (r"[a[b]x", r"(?P<secret>[a\[b]x)"),
        (r"[]a]x", r"(?P<secret>[]a]x)"),
        ("(?x) a b  # why ( this\n [ c d ] \\  \\# (e)", r"ab[cd]\x20#(?P<secret>e)"),
        ("(?i)acme_(?-i:[a-z]{8})", "(?i)(?P<secret>acme_(?-i:[a-z]{8}))"),
        ("(?i)a(?-i)b|c", "(?i)(?P<secret>a(?-i:b)|(?-i:c))"),
        ("(?i)a(?s-i)b(?i)c", "(?i)(?P<secret>a(?s-i:b)(?is:c))"),
        (r"(\(a\))[(]b", r"(?P<secret>\(a\))[(]b"),
    ],
)
def test_what_has_a_counterpart(given: str, ours: str) -> None:
    assert portable(given) == ours
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        re.compile(ours)
    assert diagnose(ours) is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<=a)b",
        r"(?!a)b",
        r"(?>a)b",
        r"\pLx",
        r"[\p{Lu}]x",
        r"(?U)a+b",
        "(ab",
        "ab)",
        "[ab",
        "ab\\",
        r"\Kab",
    ],
)
def test_what_has_none_says_so(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"counterpart|closed|closes|backslash"):
        portable(pattern)


def test_the_group_that_holds_the_value_can_be_named_or_counted() -> None:
    assert portable("(a+)-(b+)", 2) == "(?:a+)-(?P<secret>b+)"
    assert portable("(?P<X>a+)-(?P<TOKEN>b+)", "TOKEN") == "(?:a+)-(?P<secret>b+)"
    assert portable("(a+)-(b+)", "TOKEN") == "(?P<secret>a+)-(?:b+)"
    assert captures(r"\((a)[(](?P<X>b)(?:c)(?i)") == ["", "X"]
    assert captures("(?x) a # ( no group\n (b)") == [""]
    with pytest.raises(ValueError, match="no group 3"):
        portable("(a)(b)", 3)


SAMPLES = ["acme_abcdefgh", "ACME_key", "other", "OTHER", "ab", "aB", "abc", "abC d", "key=1a", "\n", ""]


@given(
    st.lists(
        st.sampled_from(["a", "b(?i)", "(?i)", "|", "(c", ")", "[a-c]", r"\d", "+", "(?i:x", ".", "{2}", "k"]),
        max_size=9,
    )
)
def test_flags_in_the_middle_mean_what_they_mean_to_re2(parts: list[str]) -> None:
    pattern = "".join(parts)
    try:
        theirs = compile_text(pattern)
        ours = compile_text(portable(pattern))
    except (RegexError, ValueError):
        return  # nonsense, or refused
    for text in [*SAMPLES, "aab", "ABk", "cX", "a1K"]:
        expected, found = theirs.search(text), ours.search(text)
        assert (expected and expected.span()) == (found and found.span()), pattern
