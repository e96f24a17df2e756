from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.common.notification import Location
from monitor.domain.incidents import Incident
from monitor.runbook.progress import RunbookRun, Task
from monitor.web.console.exposure import HEIGHT, WIDTH, chart, exposed, places

AT = datetime(2026, 11, 2, 14, tzinfo=UTC)
START = AT.timestamp()


def seen(minutes: int, path: str = "/a.log", **more: object) -> Location:
    return Location("app", path, time=AT + timedelta(minutes=minutes), host="web-3", **more)  # type: ignore[arg-type]


def incident(*locations: Location, **more: object) -> Incident:
    facts = ("a" * 16, "a" * 64, "r", "n", "high", "high", "open", "a…", START, START + 7200.0, len(locations))
    return replace(Incident(*facts, locations=locations), **more)  # type: ignore[arg-type]


def run(state: str, since: float) -> RunbookRun:
    task = Task("revoke", "Revoke", "immediate", "ada", 60.0, START, since, claims="revoked", state=state)  # type: ignore[arg-type]
    return RunbookRun("a" * 16, "b", "t", "contain", "", START, (task,))


def test_places_are_put_together_with_how_often_and_when() -> None:
    logged = seen(9, logged_at=AT)
    first, second = places([seen(5, line=7), seen(3, "/b.log"), logged, seen(2)])
    assert (first.newest.line, first.count) == (7, 3)
    assert (first.first, first.last) == (AT, AT + timedelta(minutes=5)), "the log's own time goes before ours"
    assert (second.newest.path, second.count) == ("/b.log", 1)
    assert places([Location("app", "/x")])[0].first is None


def test_exposed_from_the_first_line_until_it_was_revoked() -> None:
    assert exposed(incident(), None) == (START, None)
    assert exposed(incident(first_logged=START - 60.0), None) == (START - 60.0, None)
    revoked = incident(state="resolved", resolution="revoked", resolved_at=START + 9.0)
    assert exposed(revoked, None) == (START, START + 9.0)
    assert exposed(incident(), run("done", START + 5.0)) == (START, START + 5.0)
    assert exposed(incident(), run("skipped", START + 5.0)) == (START, None)


def test_a_chart_has_each_sighting_in_its_bar_until_now() -> None:
    drawn = chart(incident(seen(120), seen(0), seen(1)), None, START + 7200.0)
    assert [(bar.x, bar.height, bar.count) for bar in drawn.bars] == [
        (0.0, HEIGHT, 2),
        (WIDTH - drawn.width, HEIGHT / 2, 1),
    ]
    assert (drawn.start, drawn.end, drawn.ended) == (AT, AT + timedelta(hours=2), None)
    assert drawn.bars[0].start == AT


def test_a_chart_of_what_was_revoked_shows_when_and_as_long_after() -> None:
    drawn = chart(incident(seen(0), last_seen=START), run("done", START + 3600.0), START + 86_400.0)
    assert drawn.end == AT + timedelta(hours=2)
    assert drawn.ended == WIDTH / 2


def test_a_chart_of_one_instant_is_a_minute_wide() -> None:
    drawn = chart(incident(seen(0), last_seen=START), None, START)
    assert (drawn.end - drawn.start, len(drawn.bars)) == (timedelta(minutes=1), 1)
    assert chart(incident(last_seen=START), None, START).bars == []
