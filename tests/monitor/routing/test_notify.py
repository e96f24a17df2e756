from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.routing.notify import Group, Member, NotifiedState, digest_hold, needs_notify, settle, speaks, stronger
from monitor.routing.routes import Route

NOW = 10_000.0
ROUTE = Route(sinks=("chat",))
TOLD = NotifiedState("open", "high", 1, 0)
MEMBER = Member("open", "high", 1, 0, TOLD, ROUTE)
NEW = replace(MEMBER, told=None)
SENT = Group("incident", hold_until=NOW - 100, sent_at=NOW - 10)
SENT_LONG_AGO = replace(SENT, sent_at=NOW - 301)


def test_a_first_incident_is_told_at_once() -> None:
    assert needs_notify(Group("incident", hold_until=NOW), [NEW], NOW).reason == "new"


def test_group_wait_holds_the_first() -> None:
    route = Route(sinks=("chat",), group_by=(), group_wait="30s")
    group = Group("group", hold_until=NOW + 30)
    decision = needs_notify(group, [replace(NEW, route=route)], NOW)
    assert (decision.reason, decision.due) == (None, NOW + 30)
    assert needs_notify(group, [replace(NEW, route=route)], NOW + 30).reason == "new"


def test_what_was_resolved_before_anybody_knew_is_not_told() -> None:
    decision = needs_notify(Group("incident", hold_until=NOW), [replace(NEW, state="resolved")], NOW)
    assert (decision.reason, decision.due) == (None, None)


def test_a_digest_says_so() -> None:
    assert needs_notify(Group("digest", hold_until=NOW), [NEW, NEW], NOW).reason == "digest"


def test_seen_again_is_an_update_after_the_interval() -> None:
    again = replace(MEMBER, occurrences=5)
    decision = needs_notify(SENT, [again], NOW)
    assert (decision.reason, decision.due) == (None, NOW - 10 + 300)
    assert needs_notify(SENT_LONG_AGO, [again], NOW).reason == "update"


def test_what_was_acknowledged_and_is_open_again_is_told_at_once() -> None:
    known = replace(MEMBER, state="open", told=replace(TOLD, state="acknowledged"))
    assert needs_notify(SENT, [known], NOW).reason == "escalated"


def test_acknowledged_incidents_are_left_in_peace() -> None:
    known = replace(MEMBER, state="acknowledged", told=replace(TOLD, state="acknowledged"), occurrences=9)
    decision = needs_notify(replace(SENT, sent_at=NOW - 100_000), [known], NOW)
    assert (decision.reason, decision.due) == (None, None)


def test_repeats_only_after_the_repeat_interval() -> None:
    decision = needs_notify(SENT_LONG_AGO, [MEMBER], NOW)
    assert (decision.reason, decision.due) == (None, NOW - 301 + 14_400)
    assert needs_notify(replace(SENT, sent_at=NOW - 14_400), [MEMBER], NOW).reason == "repeat"


@pytest.mark.parametrize("kind", ["incident", "group", "digest"])
def test_alarms_of_their_own_do_not_wait(kind: str) -> None:
    group = replace(SENT, kind=kind)
    assert needs_notify(group, [MEMBER, replace(MEMBER, severity="critical")], NOW).reason == "escalated"
    assert needs_notify(group, [MEMBER, replace(MEMBER, reopens=1)], NOW).reason == "reopened"


def test_a_resolution_is_told_at_once_for_one_and_grouped_for_many() -> None:
    resolved = replace(MEMBER, state="resolved")
    assert needs_notify(SENT, [resolved], NOW).reason == "resolved"
    many = replace(SENT, kind="group")
    assert needs_notify(many, [resolved, MEMBER], NOW) == needs_notify(many, [MEMBER, resolved], NOW)
    assert needs_notify(many, [resolved, MEMBER], NOW).due == NOW - 10 + 300
    assert needs_notify(replace(many, sent_at=NOW - 301), [resolved, MEMBER], NOW).reason == "resolved"


def test_an_acknowledgement_is_told_at_once() -> None:
    assert needs_notify(SENT, [replace(MEMBER, state="acknowledged")], NOW).reason == "acknowledged"


def test_new_ones_come_before_the_rest() -> None:
    group = replace(SENT_LONG_AGO, kind="group")
    assert needs_notify(group, [replace(MEMBER, state="resolved"), NEW], NOW).reason == "new"
    assert needs_notify(replace(group, sent_at=NOW), [NEW], NOW).due == NOW + 300


def test_a_member_without_a_route_is_only_told_what_ends() -> None:
    stray = replace(MEMBER, route=None, occurrences=9)
    assert needs_notify(SENT_LONG_AGO, [stray], NOW).reason is None
    assert needs_notify(SENT_LONG_AGO, [replace(stray, state="resolved")], NOW).reason == "resolved"
    assert needs_notify(Group("incident", hold_until=NOW), [replace(stray, told=None)], NOW).reason is None


def test_a_silence_holds_back_until_it_ends() -> None:
    silenced = replace(NEW, silenced_until=NOW + 50)
    decision = needs_notify(Group("incident", hold_until=NOW), [silenced], NOW)
    assert (decision.reason, decision.due) == (None, NOW + 50)
    forever = replace(NEW, silenced_until=float("inf"))
    assert needs_notify(Group("incident", hold_until=NOW), [forever], NOW).due is None
    assert needs_notify(Group("group", hold_until=NOW), [silenced, NEW], NOW).reason == "new"


def test_a_clock_put_back_mutes_nothing() -> None:
    ahead = replace(SENT, sent_at=NOW + 86_400)
    assert needs_notify(ahead, [replace(MEMBER, occurrences=2)], NOW).reason == "update"
    assert needs_notify(Group("incident", hold_until=NOW + 86_400), [NEW], NOW).reason == "new"


def test_digests_leave_once_an_interval() -> None:
    assert digest_hold(NOW, ROUTE, None) == NOW + 10
    assert digest_hold(NOW, ROUTE, (NOW - 1, 10.0)) == NOW + 60
    assert digest_hold(NOW, ROUTE, (NOW - 1, 80.0)) == NOW + 160
    assert digest_hold(NOW, ROUTE, (NOW - 1, 160.0)) == NOW + 300  # never more rarely than that
    assert digest_hold(NOW, ROUTE, (NOW - 10_000, 300.0)) == NOW + 10
    assert digest_hold(NOW, Route(sinks=("a",), group_interval="1s"), None) == NOW + 1
    assert digest_hold(NOW, ROUTE, (NOW + 86_400, 10.0)) == NOW + 10


def test_the_strongest_reason_wins() -> None:
    assert stronger(["update", "escalated"]) == "escalated"
    assert stronger(["new", "resolved"]) == "new"
    assert stronger(["repeat"]) == "repeat"
    assert stronger(["progress", "reopened"]) == "reopened"


def test_a_thread_tells_of_what_is_new_and_of_its_end() -> None:
    thread = Group("digest", NOW - 900, NOW - 900, fold=True)
    heard, fresh = Member("open", "high", 9, 0, NotifiedState("open", "high", 1, 0), ROUTE), replace(MEMBER, told=None)
    acked = replace(heard, state="acknowledged")
    assert needs_notify(thread, [heard, fresh], NOW).reason == "digest"
    assert [speaks(thread, one, "digest") for one in (heard, fresh, acked)] == [False, True, False]
    assert needs_notify(thread, [heard, acked], NOW).reason is None
    assert needs_notify(thread, [acked, replace(heard, state="resolved")], NOW).reason == "acknowledged"
    assert needs_notify(thread, [replace(heard, state="resolved")], NOW).reason == "resolved"
    assert speaks(thread, heard, "repeat")


def test_a_thread_of_critical_ones_waits_a_minute_at_most() -> None:
    thread, fresh = Group("digest", NOW - 900, NOW - 61, fold=True), replace(MEMBER, told=None, severity="critical")
    known = Member("open", "critical", 1, 0, NotifiedState("open", "critical", 1, 0), ROUTE)
    assert needs_notify(thread, [known, fresh], NOW).reason == "digest"
    assert needs_notify(replace(thread, sent_at=NOW - 30), [known, fresh], NOW).due == NOW + 30


def test_a_worse_member_does_not_wait_for_what_a_lower_one_began() -> None:
    low = Member("open", "low", 1, 0, NotifiedState("open", "low", 1, 0), ROUTE)
    group = Group("group", NOW - 100, NOW - 1)
    for severity, reason in (("critical", "new"), ("medium", "new"), ("low", None), ("info", None)):
        assert needs_notify(group, [low, Member("open", severity, 1, 0, None, ROUTE)], NOW).reason == reason


def test_taken_back_by_hand_is_its_own_reason() -> None:
    group = Group("incident", NOW - 100, NOW - 1)
    for was in ("acknowledged", "resolved"):
        member = Member("open", "high", 1, 0, NotifiedState(was, "high", 1, 0), ROUTE, by_hand=True)
        assert needs_notify(group, [member], NOW).reason == "reopened_by_hand"
    assert (
        needs_notify(group, [Member("open", "high", 1, 1, NotifiedState("resolved", "high", 1, 0), ROUTE)], NOW).reason
        == "reopened"
    )
    member = Member("open", "high", 1, 0, NotifiedState("acknowledged", "high", 1, 0), ROUTE)
    assert needs_notify(group, [member], NOW).reason == "escalated"


def test_what_came_back_is_no_news_even_where_it_was_forgotten_that_somebody_was_told() -> None:
    group = Group("incident", NOW, None)
    back = replace(MEMBER, told=None, reopens=1)
    assert needs_notify(group, [back], NOW).reason == "reopened"
    assert needs_notify(group, [back, replace(back, reopens=0)], NOW).reason == "new"
    assert needs_notify(replace(group, kind="digest"), [back], NOW).reason == "digest"


def test_what_was_told_is_not_told_again_at_once() -> None:
    found = settle(replace(SENT, sent_at=None), [NEW, MEMBER], NOW)
    assert (found.reason, found.shown, found.sent_at) == ("new", (True, True), NOW)
    assert found.due == NOW + ROUTE.repeat_interval
    assert settle(SENT, [MEMBER], NOW).sent_at == SENT.sent_at
