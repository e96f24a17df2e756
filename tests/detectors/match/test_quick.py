from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from detectors.match import filters
from detectors.match.quick import quick, span
from tests.detectors.texts import pieces

INSIDE, WHOLE = (rb"(?i)pass$", rb"\$\{"), (rb"a|bc",)


@given(st.text("abcpPaAsS${\n", max_size=8).map(str.encode))
def test_it_is_never_false_where_a_pattern_matches(text: bytes) -> None:
    matches = any(re.search(p, text) for p in INSIDE) or any(re.fullmatch(p, text) for p in WHOLE)
    assert quick(INSIDE, WHOLE)(text) or not matches


def test_it_is_false_where_none_does() -> None:
    asked = quick(INSIDE, WHOLE)
    assert [asked(text) for text in (b"passed", b"abc", b"xa", b"", b"bc", b"PASS")] == [False] * 4 + [True] * 2


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
