from __future__ import annotations

import random
from typing import Any

import pytest

from detectors.match.halves import halves, searcher
from detectors.rules.template import expand
from monitor.common.regex import UNANCHORED, Search, compile_search
from tests.detectors.texts import rules


@pytest.mark.parametrize(
    ("before", "value", "least", "rest", "width"),
    [
        ("key=", "[a-z]{16,128}", "[a-z]{16}", "", 0),
        (r"\bk_", "k_[a-z]{2}[0-9]{8,90}=?", "k_[a-z]{2}[0-9]{8}", r"\b", 0),
        (r"(?:a|b)[|(]\(", "(?:x|yz){5,}", "(?:x|yz){5}", "@", 1),
        ("=", "a[b-d:]{5,99}[b-d]", "a[b-d:]{5}(?:[b-d:]|[b-d])", "", 0),
        ("(?i:p)", r"[\w\]]{1,99}", r"[\w\]]{1}", r"(?:[^\w]|$)", -1),
    ],
)
def test_a_long_value_is_cut_at_its_least(before: str, value: str, least: str, rest: str, width: int) -> None:
    expected = f"{before}(?P<secret>{least})", f"(?:{value}){rest}", width
    assert halves(f"{before}(?P<secret>{value}){rest}") == expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"key=(?P<secret>[a-z]{16,64})",  # not long
        r"key=(?P<secret>[a-z]{64})",
        r"key=[a-z]{16,128}",
        r"a=(?P<secret>[a-z]{16,128})|b",
        r"(?:a=(?P<secret>[a-z]{16,128}))+",
        r"(?:a=(?P<secret>(?:x){5})[a-z]{1,99})",
        r"a=(?P<secret>[a-z]{16,128}|b)",
        r"a=(?P<secret>[a-z]{16,128})?",
        r"a=(?P<secret>[a-z]+[0-9]{16,128})",
        r"a=(?P<secret>[a-z]{0,128})",
        r"a=(?P<secret>[a-z]{16,128}[0-9]{2})",
        r"a=(?P<secret>(?:a|b){16,128}[0-9])",
        r"(?i)a=(?P<secret>[a-z]{16,128})",
        r"(a)=(?P<secret>[a-z]{16,128})",
        r"\Q(\E=(?P<secret>[a-z]{16,128})",
        r"a=(?P<secret>[a-z]{16,128})[a-z]{2}",
        r"a=(?P<secret>[a-z]{16,128})(?:[^a-z]|b|$)",
    ],
)
def test_other_forms_stay_whole(pattern: str) -> None:
    assert halves(pattern) is None


def test_both_halves_say_what_the_whole_says() -> None:
    long = [rule for rule in rules() if halves(rule.confirm)]
    assert len(long) > 100
    rng, seen = random.Random(5), 0
    for rule in [*rng.sample([rule for rule in long if rule.family == "generic"], 4), *rng.sample(long, 6)]:
        search, whole = searcher(rule.confirm), compile_search(rule.confirm)
        texts = [expand(template, 1) for template in (*rule.examples[:3], *rule.negative_examples[:2])]
        longer = [text[: len(text) // 2] + text[len(text) // 2 :] * 9 for text in texts]
        parts = [text + rng.choice(("", "\n", " ", '"', "=:", "=" * 200)) for text in (*texts, *longer, *texts)]
        data, at = "".join(parts).encode(), 0
        while at < len(data):
            for text, high in ((data, len(data)), (data, rng.randrange(at, len(data) + 1)), (data[: at + 99], at + 99)):
                spans, expected = search(UNANCHORED, text, at, high), whole(UNANCHORED, text, at, high)
                assert spans[0] == expected[0]
                assert spans[0] == (-1, -1) or spans[1] == expected[1]
            start, end = whole(UNANCHORED, data, at, len(data))[-1]
            seen += start >= 0
            at = max(at + 1, (start + end) // 2) if start >= 0 else len(data)
    assert seen > 50


def test_a_long_value_takes_no_look_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def counted(pattern: str) -> Search:
        search = compile_search(pattern)

        def look(*asked: Any) -> Any:
            looks.append(pattern)
            return search(*asked)

        return look

    monkeypatch.setattr("detectors.match.halves.compile_search", counted)
    pattern = r"key=(?P<secret>[a-z]{16,128})"
    search, data = searcher(pattern), b"key=" + b"a" * 200
    assert search(UNANCHORED, data, 0, len(data)) == ((0, 132), (4, 132))
    assert pattern not in looks
    assert len(looks) == 2
