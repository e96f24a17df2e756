from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from monitor.common.notification import Location
from monitor.common.wording import (
    ago,
    claim,
    closing,
    command,
    decision,
    exposure,
    facts,
    following,
    instant,
    moment,
    next_step,
    origin,
    place,
    seen,
    stamp,
    stands,
    steps,
    sure,
    surroundings,
    title,
    works,
)
from tests.fakes.notifications import NOW, RUN, incident


def test_how_far_the_runbook_is_and_how_to_take_the_next_step() -> None:
    assert (steps(incident()), claim(incident())) == ("", "")
    late = incident(run=RUN)
    said = "2 of 9 done; next: Deploy the replacement, due 2026-11-02 14:33 UTC (overdue)"
    assert steps(late) == said
    assert claim(late) == "cd /srv/monitor && .venv/bin/monitor runbook claim 7f3a9c2e deploy"
    taken = incident(run=replace(RUN, owner="ada"))
    assert (steps(taken), claim(taken)) == (f"{said}, claimed by ada", "")
    assert steps(incident(run=replace(RUN, step=None, done=9))) == "9 of 9 done"


def test_times_are_rfc_3339_in_utc() -> None:
    assert instant(datetime(2026, 11, 2, 15, 0, tzinfo=timezone(timedelta(hours=1)))) == "2026-11-02T14:00:00Z"
    assert instant(datetime(2026, 11, 2, 14, 0, 0, 250000)) == "2026-11-02T14:00:00.250000Z"  # noqa: DTZ001 naive on purpose
    assert [ago(s) for s in (-1, 59, 60, 119, 7199, 7200, 86400 * 3)] == [
        *("0 s", "59 s", "1 min", "1 min", "119 min", "2 h", "3 days")
    ]


def test_seen_says_how_often_and_since_when() -> None:
    logged = "logged 2026-11-02 11:03:07 UTC, seen 2026-11-02 13:58:07 UTC"
    assert seen(incident()) == f"17 times in 5 min, first {logged}"
    assert seen(incident(occurrences=1)) == f"once, {logged}"
    untold = incident(occurrences=1200, first_seen=NOW, first_logged=None)
    assert seen(untold) == "1,200 times, first seen 2026-11-02 14:03:07 UTC"
    assert seen(incident(occurrences=1, first_logged=None)) == "once, seen 2026-11-02 13:58:07 UTC"


def test_whose_log_it_is_as_far_as_that_is_known() -> None:
    for known, words in (
        ({"host": "web-3", "service": "api"}, "api on web-3, services"),
        ({"host": "web-3"}, "web-3, services"),
        ({"service": "api\x1b"}, "api\\x1b, services"),
        ({}, "services"),
    ):
        assert origin(Location("services", "/a", **known)) == words


def test_the_line_shown_is_the_newest_that_can_be() -> None:
    places = (Location("s", "/a"), Location("s", "/b", context="one\u202e"), Location("s", "/c", context="two"))
    assert surroundings(incident(locations=places)) == "one\\u202e"
    assert surroundings(incident(locations=())) == ""


def test_commands_are_those_of_the_program_that_runs() -> None:
    other = incident(program="/opt/monitor", options=" --config /a")
    assert command(other) == "/opt/monitor incidents ack 7f3a9c2e --config /a"
    assert command(other, "show") == "/opt/monitor incidents show 7f3a9c2e --config /a"
    assert (sure(other), sure(incident(confidence=""))) == ("high confidence", "")


def test_place_prefers_the_line() -> None:
    assert place(Location("s", "/a", 5, 7)) == "/a:7"
    assert place(Location("s", "/a", 5)) == "/a (byte 5)"
    assert place(Location("s", "/a")) == "/a"
    assert facts(incident(labels={"role": "service_role", "account": "12"})) == "account=12, role=service_role"


def test_what_was_decided_and_by_whom() -> None:
    assert decision(incident()) == ""
    taken = incident(state="resolved", resolution="revoked", actor="ada", note="new key\x1b")
    assert decision(taken) == "resolved as revoked, said by ada, not verified: new key\\x1b"
    shown = replace(taken, resolved_at=NOW, validity="refused", asked_at=NOW)
    assert decision(shown) == "resolved as revoked by ada, verified: new key\\x1b"
    assert decision(replace(taken, resolution="wont_fix", note="")) == "resolved as wont_fix by ada"
    assert closing([shown, taken]) == " as revoked, said by ada, not verified"
    assert closing([shown, replace(shown, actor="bob")]) == " as revoked, verified"


def test_an_exposure_is_told_with_what_ended_it_and_what_says_so() -> None:
    open_ = incident(first_logged=None)
    since = moment(open_.first_seen)
    assert exposure(open_) == f"Exposed from {since}, and not revoked yet"
    ended = replace(open_, state="resolved", resolution="revoked", resolved_at=NOW, actor="ada")
    until = f"Exposed from {since} until {moment(NOW)}: revoked"
    assert exposure(ended) == f"{until}, said by ada, not verified, without what shows it"
    assert exposure(replace(ended, note="deleted\x1b")) == f"{until}, said by ada, not verified: deleted\\x1b"
    shown = replace(ended, note="deleted", validity="refused", verdict="401", asked_at=NOW)
    assert exposure(shown) == f"{until} by ada: deleted; verified {moment(NOW)}: 401"
    again = replace(ended, validity="valid", verdict="200", asked_at=NOW + timedelta(hours=1))
    assert exposure(again) == f"Exposed from {since}, and not revoked yet, by its issuer: 200"
    false = replace(ended, resolution="false_positive", note="a hash")
    assert exposure(false) == f"Seen from {since}, and nothing was exposed: a false positive, said by ada: a hash"
    assert "not revoked: accepted, said by ada" in exposure(replace(ended, resolution="wont_fix"))
    assert exposure(replace(ended, merged="1a2b")).endswith("; it counts as incident 1a2b, where its end is told")


def test_what_the_issuer_said_and_when() -> None:
    assert works(incident()) == ""
    asked = incident(validity="valid", verdict="GitHub takes it", asked_at=NOW, verified={"last_use": "never"})
    assert works(asked) == f"valid: GitHub takes it (last use never), asked {moment(NOW)}"
    assert moment(NOW) == "2026-11-02 14:03:07 UTC"


def test_what_is_typed_next_follows_from_the_state() -> None:
    other = incident(program="/opt/monitor", options=" --config /a")
    assert following(other) == "/opt/monitor incidents ack 7f3a9c2e --config /a"
    assert next_step(other) == following(other)
    assert next_step(replace(other, run=RUN)) == "/opt/monitor runbook claim 7f3a9c2e deploy --config /a"
    owned = replace(other, state="acknowledged", run=replace(RUN, owner="ada"))
    assert next_step(owned) == "/opt/monitor runbook done 7f3a9c2e deploy --config /a"
    assert next_step(replace(owned, run=replace(RUN, step=None))) == following(owned)
    assert next_step(replace(owned, state="resolved")) == ""
    taken = replace(other, state="acknowledged")
    assert following(taken) == "/opt/monitor incidents resolve 7f3a9c2e --as revoked --config /a"
    assert following(replace(other, state="resolved")) == ""


def test_what_it_is_says_that_it_is_a_drill() -> None:
    assert title(incident(name="a\x1b")) == "a\\x1b"
    assert title(incident(name="a", drill=True)) == "Drill: a"
    assert stands(incident()) == "open"
    assert stands(incident(state="resolved", resolution="revoked")) == "resolved as revoked, not verified"


def test_seconds_since_the_epoch_for_scripts_and_for_people() -> None:
    assert stamp(1_793_627_892.25) == "2026-11-02T13:58:12Z"
    assert stamp(1_793_627_892.25, "milliseconds") == "2026-11-02T13:58:12.250Z"
    assert stamp(None) is None
    assert moment(1_793_627_892.25) == "2026-11-02 13:58:12 UTC"
    assert moment(1_793_627_892.25) == "2026-11-02 13:58:12 UTC"
