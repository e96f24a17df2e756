from __future__ import annotations

import pytest

from monitor.report.routed import labels_from, way_of
from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Route, Silence

NOW = 1_800_000_000.0
POLICY = Policy(
    sinks=("chat", "pager"),
    routes=(
        Route(matchers=(Matcher.parse("severity=critical"),), sinks=("pager",), **{"continue": True}),  # type: ignore[arg-type]
        Route(sinks=("chat",), group_by=(), group_wait="1m"),  # type: ignore[arg-type]
    ),
    silences=(Silence(matchers=(Matcher.parse("source=app"),)),),
)


def test_what_is_described_has_what_is_taken_for_granted() -> None:
    given = labels_from(["severity=critical", "rule=github-pat", "state=resolved"])
    assert given["confidence"] == "high"
    assert (given["state"], given["format"]) == ("resolved", "vendor")
    with pytest.raises(ValueError, match="not a label"):
        labels_from(["critical"])


def test_each_route_says_what_it_makes_of_it() -> None:
    way = way_of(POLICY, {"severity": "critical", "source": "app"}, {"chat": "ab"}, NOW)
    assert way["sinks"] == ["pager", "chat"]
    assert way["silenced_until"] == "for ever"
    assert way["held_by"] == {"chat": "ab"}
    assert [row["when"] for row in way["routes"]] == [
        "at once",
        "after 1 minute, together with all others; more of them every 5 minutes",
    ]
    low = way_of(POLICY, {"severity": "low"}, {}, NOW)
    assert next((row["takes"], row["when"]) for row in low["routes"]) == (False, None)
    assert low["silenced_until"] is None
