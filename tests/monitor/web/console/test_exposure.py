from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitor.common.notification import IncidentView, Location, StepClaim
from monitor.web.console.exposure import HEIGHT, WIDTH, chart, places
from tests.fakes.notifications import incident

AT = datetime(2026, 11, 2, 14, tzinfo=UTC)
START = AT.timestamp()


def seen(minutes: int, path: str = "/a.log", **more: object) -> Location:
    return Location("app", path, time=AT + timedelta(minutes=minutes), host="web-3", **more)  # type: ignore[arg-type]


def shown(*locations: Location, **changes: object) -> IncidentView:
    facts = {"first_seen": AT, "first_logged": None, "last_seen": AT + timedelta(hours=2), "locations": locations}
    return incident(**(facts | changes))


def test_places_are_put_together_with_how_often_and_when() -> None:
    logged = seen(9, logged_at=AT)
    first, second = places([seen(5, line=7), seen(3, "/b.log"), logged, seen(2)])
    assert (first.newest.line, first.count) == (7, 3)
    assert (first.first, first.last) == (AT, AT + timedelta(minutes=5)), "the log's own time goes before ours"
    assert (second.newest.path, second.count) == ("/b.log", 1)
    assert places([Location("app", "/x")])[0].first is None


def test_a_chart_has_each_sighting_in_its_bar_until_now() -> None:
    drawn = chart(shown(seen(120), seen(0), seen(1)), START + 7200.0)
    assert [(bar.x, bar.height, bar.count) for bar in drawn.bars] == [
        (0.0, HEIGHT, 2),
        (WIDTH - drawn.width, HEIGHT / 2, 1),
    ]
    assert (drawn.start, drawn.end, drawn.ended) == (AT, AT + timedelta(hours=2), None)
    assert drawn.bars[0].start == AT


def test_a_chart_of_what_was_revoked_shows_when_and_as_long_after() -> None:
    claim = StepClaim(AT + timedelta(hours=1), "ada", "deleted")
    drawn = chart(shown(seen(0), last_seen=AT, claim=claim), START + 86_400.0)
    assert drawn.end == AT + timedelta(hours=2)
    assert drawn.ended == WIDTH / 2


def test_a_chart_of_one_instant_is_a_minute_wide() -> None:
    drawn = chart(shown(seen(0), last_seen=AT), START)
    assert (drawn.end - drawn.start, len(drawn.bars)) == (timedelta(minutes=1), 1)
    assert chart(shown(last_seen=AT), START).bars == []
