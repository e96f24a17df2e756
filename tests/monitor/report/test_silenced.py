from __future__ import annotations

from datetime import UTC, datetime

from monitor.report.silenced import silence_rows
from monitor.routing.match import Matcher
from monitor.routing.routes import Silence
from monitor.store.silences import Hushed, SilenceRule

NOW = 1_800_000_000.0


def test_all_kinds_have_the_same_columns_and_what_is_over_is_left_out() -> None:
    matchers = (Matcher.parse("source=app"),)
    configured = [
        Silence(matchers=matchers, ends=datetime.fromtimestamp(NOW - 1, UTC)),
        Silence(matchers=matchers, comment="noise"),
    ]
    rule = SilenceRule("3f2a91bc", ('source="app"',), NOW - 60, NOW + 60, "ada", "load test")
    rows = silence_rows(configured, [rule], [Hushed("ab" * 8, NOW + 5, None, "eve", "mine")], NOW)
    assert len({tuple(sorted(row)) for row in rows}) == 1
    assert [(row["id"], row["incident"], row["by"], row["reason"]) for row in rows] == [
        (None, None, "the configuration", "noise"),
        ("3f2a91bc", None, "ada", "load test"),
        (None, "ab" * 8, "eve", "mine"),
    ]
    assert [row["ends"] for row in rows] == [None, "2027-01-15T08:01:00Z", "2027-01-15T08:00:05Z"]
