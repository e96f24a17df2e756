from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detectors.rules.history import (
    Mark,
    RuleChange,
    RuleEntry,
    VersionError,
    changes,
    compose,
    entries,
    now,
    read,
    since,
)
from tests.detectors import texts

ONE = RuleEntry("vcs/acme", "high", "high", "aaaaaa")


def mark(day: int, commit: str, rules: dict[str, RuleEntry], *versions: str) -> Mark:
    return Mark(datetime(2026, 11, day, 12, 0, tzinfo=UTC), commit, versions, rules)


MARKS = [
    mark(24, "0aaaaaaaaaaa", {"a": ONE, "b": ONE}),
    mark(25, "0bbbbbbbbbbb", {"a": ONE._replace(severity="critical", confidence="low")}, "1.0.0", "1.0.1"),
    mark(27, "0ccccccccccc", {"a": ONE, "c": ONE._replace(pack="wide/acme")}),
]


def test_what_is_written_is_read() -> None:
    text = compose(MARKS)
    assert read(text) == MARKS
    assert text.count("\n") == 1 + 3 + 2 + 2 + 2  # the head, marks, and what changed at each


@pytest.mark.parametrize(
    ("version", "day"),
    [
        ("1.0.0", 25),
        ("v1.0.1", 25),
        ("0aaaaaaa", 24),
        ("0bbbbbbbbbbb" + "0" * 28, 25),
        ("2026-11-24", 24),
        ("2026-11-26", 25),
        ("2027-01-01", 27),
        ("2026-11-25T11:59", 24),
        ("2026-11-25T13:59+02:00", 24),
        ("2026-11-25T12:00:00Z", 25),
    ],
)
def test_a_version_is_a_release_a_day_a_moment_or_a_commit(version: str, day: int) -> None:
    assert since(version, MARKS).at.day == day


@pytest.mark.parametrize("version", ["2.0.0", "2026-11-23", "0123456", "0aaa", "yesterday", ""])
def test_of_an_unknown_version_is_said_which_there_are(version: str) -> None:
    says = r"There are 1.0.0, 1.0.1; days from 2026-11-24 on.* 0aaaaaaa \(2026-11-24\), .*0ccccccc \(2026-11-27\)$"
    with pytest.raises(VersionError, match=says):
        since(version, MARKS)


def test_every_kind_of_change() -> None:
    before = dict.fromkeys(("apify-token", "moved", "level", "finds", "same", "superset-secret-key", "other"), ONE)
    after = {
        "apify-api-token": ONE,
        "moved": ONE._replace(pack="wide/acme"),
        "level": ONE._replace(severity="low"),
        "finds": ONE._replace(finds="bbbbbb"),
        "same": ONE,
        "new": ONE,
    }
    assert changes(before, after) == [
        RuleChange("other", "gone", ONE, None),
        RuleChange("superset-secret-key", "gone", ONE, None, instead="generic-secret"),
        RuleChange("apify-token", "renamed", ONE, ONE, "apify-api-token"),
        RuleChange("moved", "moved", ONE, after["moved"]),
        RuleChange("finds", "changed", ONE, after["finds"]),
        RuleChange("level", "changed", ONE, after["level"]),
        RuleChange("new", "added", None, ONE),
    ]
    assert changes(after, after) == []
    assert ONE.on
    assert not after["moved"].on


def test_what_decides_what_is_found_is_in_the_digest_and_examples_are_not() -> None:
    table = {"id": "a", "severity": "high", "pattern": "x", "examples": ["x"], "entropy": 3.0}
    [(_, first)] = entries("vcs/acme", [table])
    [(_, same)] = entries("vcs/acme", [{**table, "examples": ["xx"], "severity": "low", "name": "Other"}])
    assert (first.finds, first.confidence) == (same.finds, "high")
    for key, value in (("pattern", "y"), ("entropy", 3.5), ("stopwords", ["z"])):
        [(_, other)] = entries("vcs/acme", [{**table, key: value}])
        assert other.finds != first.finds


def test_the_rules_that_there_are_now() -> None:
    shipped = now()
    for rule in texts.rules():  # defaults are those of the rules themselves
        entry = shipped[rule.id]
        assert (entry.severity, entry.confidence) == (rule.severity, rule.confidence)
        assert rule.source == f"packs/{entry.pack}.toml"
    assert {rule_id for rule_id, entry in shipped.items() if entry.on} == {rule.id for rule in texts.rules()}
