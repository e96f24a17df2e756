from __future__ import annotations

import pytest

from detectors.match.outcome import Match
from detectors.match.runs import covers
from tests.detectors.texts import rule


def end(text: str, *, read: bool = False) -> str:
    """What is covered of `text` for the value before the bar in it; `read`: a decoder says that this is all of it."""
    at = text.index("|")
    data = text.replace("|", "").encode()
    one = Match(rule("x"), 0, at, b"", "", "high", "high")
    matches = [one, Match(rule("x"), 0, at, b"", "", "high", "high", ("percent",))] if read else [one]
    return data[: max(cover.end for cover in covers(data, matches))].decode()


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("abc|%2Bdef&x=1", "abc%2Bdef"),
        ("abc|%2Bdef%3D%3D\n", "abc%2Bdef%3D%3D"),
        ("abc|%20and", "abc"),
        ("abc|%22,", "abc"),
        ("abc|%26user%3Dbob", "abc"),
        ("abc|%26def", "abc%26def"),
        ("abc|&#43;def&quot;", "abc&#43;def"),
        ("abc&#43|;def ", "abc&#43;def"),
        ("abc|&amp;user=bob", "abc"),
        ("abc|&quot;", "abc"),
        ('abc|\\/def"', "abc\\/def"),
        ('abc|\\u003ddef"', "abc\\u003ddef"),
        ("abc|\\n", "abc"),
        ("abc|=5Fdef", "abc=5Fdef"),
        ("abc|; def", "abc"),
        ("abc|", "abc"),
    ],
)
def test_a_value_is_covered_to_the_end_of_its_run(text: str, covered: str) -> None:
    assert end(text) == covered


def test_where_a_decoder_has_read_on_its_word_counts() -> None:
    assert end("abc|%2Bdef", read=True) == "abc"
    assert end("%61bc|&#43;def", read=True) == "%61bc&#43;def", "of escapes that it does not read it says nothing"
