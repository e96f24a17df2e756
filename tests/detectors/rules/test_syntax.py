from __future__ import annotations

import pytest

from detectors.rules.syntax import diagnose, parse_problem, re2_problem, unbounded, value_problem


@pytest.mark.parametrize(
    ("pattern", "column", "message", "hint"),
    [
        (r"a(?=b)", 1, "lookahead", "(?P<secret>…)"),
        (r"a(?!b)", 1, "negative lookahead", "stopwords"),
        (r"(?<=a)b", 0, "lookbehind", "(?P<secret>…)"),
        (r"(?<!a)b", 0, "negative lookbehind", r"\b"),
        (r"a(?<secret>b)", 1, "named in another way", "(?P<secret>…)"),
        (r"a(?'secret'b)", 1, "named in another way", "(?P<secret>…)"),
        (r"(a)\1", 3, "back-reference", "filter"),
        (r"(?P<secret>a)(?P=secret)", 13, "back-reference", "filter"),
        (r"a(?>b)", 1, "atomic", "(?:…)"),
        (r"ab++", 3, "possessive", "second +"),
        (r"(a)(?(1)b|c)", 3, "conditional", "alternatives"),
        (r"key[[:alpha:]]", 4, "POSIX class", "A-Za-z"),
        (r"key[:alpha:]", 3, "POSIX class", "A-Za-z"),
        (r"ab{,4}", 2, "repeat without a lower bound", "{0,n}"),
        (r"(abc", 0, "missing )", ""),
        (r"ab[c", 2, "unterminated character set", ""),
        ("abé", 2, "not ASCII", r"\xNN"),
        (r"ab\u00e9", 2, "a code point", r"\xNN"),
        (r"ab[x\u0400-\u04ff]", 2, "a code point", r"\xNN"),
        ("ab\0c", 2, "NUL", r"\x00"),
        ("", 0, "empty", ""),
        ("a*", 0, "matches the empty text", "+ for *"),
        (r"(?P<id>a)(?P<secret>b)", 9, "the secret group must be the first", "(?:…)"),
        ("(" * 2000, 0, "", ""),
    ],
)
def test_what_is_wrong_where_and_how_to_write_it(pattern: str, column: int, message: str, hint: str) -> None:
    problem = parse_problem(pattern)
    assert problem is not None
    assert message in problem.message
    assert hint in problem.hint
    if message:
        assert problem.column == column
        assert str(problem).startswith(f"column {column + 1}: ")


@pytest.mark.parametrize(
    ("pattern", "column", "message"),
    [
        (r"acme_(live|test)_[0-9a-z]{32}", 5, "a group without a name"),
        (r"\(x[(]\b(?i:k)=(?P<value>[0-9a-z]{32})", 15, "a group named 'value'"),
        (r"(?P<Secret>[0-9a-z]{32})(a)", 0, "a group named 'Secret'"),
    ],
)
def test_of_groups_one_is_the_value_by_its_name(pattern: str, column: int, message: str) -> None:
    problem = value_problem(pattern)
    assert problem is not None
    assert (problem.column, problem.message) == (column, f"{message}, and none named 'secret'")
    assert "(?P<secret>…)" in problem.hint
    assert "(?:…)" in problem.hint
    assert diagnose(pattern) == problem
    assert parse_problem(pattern) is None  # of an allowlist or a trigger


def test_without_groups_all_of_a_match_is_the_value() -> None:
    assert value_problem(r"acme_(?:live|test)_[0-9a-z]{32}[(]\(") is None
    assert value_problem(r"acme_(?P<secret>(live|test)_[0-9a-z]{32})") is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(?P<secret>ghp_[A-Za-z0-9]{36})\b",
        r"a\(?=b",
        r"[(?=]x",
        r"\Qx",
        "a{3}b+?c??",
        r"(?i:key)\s{0,4}=",
        "a[]]b",
        r"\\1x",
    ],
)
def test_what_only_looks_wrong_is_left_alone(pattern: str) -> None:
    if pattern.startswith(r"\Q"):  # RE2 knows it, our parser does not: named with its column
        assert parse_problem(pattern) is not None
    else:
        assert diagnose(pattern) is None


def test_limits_of_the_engines_are_told_apart() -> None:
    problem = diagnose("ab(?P<secret>c{1001})")
    assert problem is not None
    assert (problem.by, "write {n,}" in problem.hint) == ("RE2", True)
    problem = diagnose("(?P<secret>(?:[a-z]{1,900}-){900})")
    assert problem is not None
    assert problem.by in ("RE2", "Hyperscan")
    assert re2_problem("(a") is not None
    assert re2_problem("é") is not None
    assert re2_problem("a+") is None


@pytest.mark.parametrize(
    ("pattern", "column"),
    [(r"acme{1,5000}", 4), (r"acme_\Z", 5), (r"a\u00e9", 1), ("acmé", 3), ("(?P<secret>a(b(c)", None)],
)
def test_where_re2_refuses_is_told_when_it_is_certain(pattern: str, column: int | None) -> None:
    problem = re2_problem(pattern)
    assert problem is not None
    assert problem.column == column
    assert ("column" not in str(problem)) if column is None else str(problem).startswith(f"RE2: column {column + 1}: ")


@pytest.mark.parametrize(
    ("pattern", "column"),
    [
        ("acme.*", 4),
        ("a.+?b", 1),
        ("a.{8,}", 1),
        (r"a\.+", None),
        ("a[.*]b", None),
        (r"\\.*", 2),
    ],
)
def test_any_number_of_any_character_is_seen(pattern: str, column: int | None) -> None:
    assert unbounded(pattern) == column
