from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.severity import SEVERITIES
from monitor.domain.incidents import (
    RESOLUTIONS,
    Incident,
    TransitionError,
    Verified,
    claim,
    fold,
    fold_alert,
    incident_id,
    judge,
    merge,
    transition,
)
from monitor.domain.model import Alert, Finding

FINGERPRINT = "0123456789abcdef" * 4
NOW = 2_000.0


def finding(**changes: object) -> Finding:
    base = Finding(
        id="f1",
        rule="generic",
        name="Generic secret",
        severity="medium",
        confidence="low",
        fingerprint=FINGERPRINT,
        masked="ab…",
        source="services",
        path="/var/log/app.log",
        generation="g1",
        offset=10,
        time=1_000.0,
        labels={"role": "anon"},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def opened(**changes: object) -> Incident:
    return replace(fold(None, finding()).incident, **changes)  # type: ignore[arg-type]


def test_a_first_finding_opens_an_incident() -> None:
    change = fold(None, finding(runbook="generic"))
    assert change.reason == "new"
    assert change.incident.id == FINGERPRINT[:16]
    assert change.incident.state == "open"
    assert (change.incident.first_seen, change.incident.last_seen, change.incident.occurrences) == (1_000, 1_000, 1)
    assert change.incident.runbook == "generic"


def test_a_further_finding_counts_and_widens_the_time() -> None:
    change = fold(opened(), finding(time=900.0, labels={"account": "1"}))
    assert change.reason == "update"
    assert (change.incident.first_seen, change.incident.last_seen, change.incident.occurrences) == (900, 1_000, 2)
    assert change.incident.labels == {"role": "anon", "account": "1"}


def test_a_higher_severity_escalates_and_speaks_for_the_incident() -> None:
    change = fold(opened(), finding(rule="github-pat", name="GitHub token", severity="critical", masked="ghp_…"))
    assert change.reason == "escalated"
    incident = change.incident
    assert (incident.rule, incident.name, incident.severity, incident.masked) == (
        "github-pat",
        "GitHub token",
        "critical",
        "ghp_…",
    )


def test_a_lower_severity_changes_nothing_but_the_count() -> None:
    change = fold(opened(severity="high"), finding(rule="other", severity="low"))
    assert (change.reason, change.incident.severity, change.incident.rule) == ("update", "high", "generic")


def test_the_more_confident_rule_names_the_incident_without_an_alarm() -> None:
    change = fold(opened(), finding(rule="vendor", confidence="high"))
    assert (change.reason, change.incident.rule, change.incident.severity) == ("update", "vendor", "medium")


def test_an_acknowledged_incident_stays_so_until_it_escalates() -> None:
    acknowledged = opened(state="acknowledged", owner="ada")
    assert fold(acknowledged, finding()).incident.state == "acknowledged"
    change = fold(acknowledged, finding(severity="critical"))
    assert (change.reason, change.incident.state, change.incident.owner) == ("escalated", "open", "ada")


def test_seen_after_revocation_reopens() -> None:
    revoked = transition(opened(), "resolve", actor="ada", now=NOW, resolution="revoked").incident
    change = fold(revoked, finding(time=NOW + 1))
    assert change.reason == "reopened"
    assert (change.incident.state, change.incident.resolution, change.incident.resolved_at) == ("open", None, None)
    assert change.incident.reopens == 1


def test_evidence_older_than_the_revocation_only_counts() -> None:
    revoked = transition(opened(), "resolve", actor="ada", now=NOW, resolution="revoked").incident
    change = fold(revoked, finding(time=NOW))
    assert (change.reason, change.incident.state, change.incident.occurrences) == (None, "resolved", 2)


@pytest.mark.parametrize("resolution", ["false_positive", "wont_fix", "used_in_tests"])
def test_other_resolutions_stay_and_count(resolution: str) -> None:
    resolved = opened(state="resolved", resolution=resolution, resolved_at=NOW)
    change = fold(resolved, finding(time=NOW + 1, severity="critical"))
    assert (change.reason, change.incident.state, change.incident.occurrences) == (None, "resolved", 2)
    assert change.incident.severity == "critical"


def test_acknowledge_takes_ownership() -> None:
    change = transition(opened(), "ack", actor="ada", now=NOW)
    assert (change.reason, change.incident.state, change.incident.owner) == ("acknowledged", "acknowledged", "ada")
    with pytest.raises(TransitionError, match="already acknowledged"):
        transition(change.incident, "ack", actor="bob", now=NOW)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_resolve_and_reopen(resolution: str) -> None:
    change = transition(opened(), "resolve", actor="ada", now=NOW, resolution=resolution)  # type: ignore[arg-type]
    assert (change.reason, change.incident.state, change.incident.resolution) == ("resolved", "resolved", resolution)
    assert change.incident.resolved_at == NOW
    with pytest.raises(TransitionError, match=f"already resolved as {resolution}"):
        transition(change.incident, "resolve", actor="ada", now=NOW, resolution=resolution)  # type: ignore[arg-type]
    again = transition(change.incident, "reopen", actor="ada", now=NOW)
    assert (again.reason, again.incident.state, again.incident.reopens) == ("reopened_by_hand", "open", 0)


def test_a_resolution_can_be_corrected() -> None:
    first = transition(opened(), "resolve", actor="ada", now=NOW, resolution="false_positive").incident
    second = transition(first, "resolve", actor="ada", now=NOW + 5, resolution="revoked").incident
    assert (second.resolution, second.resolved_at) == ("revoked", NOW + 5)


@pytest.mark.parametrize(
    ("state", "action", "resolution", "message"),
    [
        ("open", "reopen", None, "already open"),
        ("open", "resolve", None, "resolution is required: one of revoked"),
        ("open", "resolve", "gone", "unknown resolution"),
        ("open", "ack", "revoked", "goes with resolve"),
        ("resolved", "ack", None, "already resolved; reopen it first"),
        ("open", "burn", None, "unknown action"),
    ],
)
def test_refusals_say_what_is_possible(state: str, action: str, resolution: str | None, message: str) -> None:
    incident = opened(state=state, resolution="wont_fix" if state == "resolved" else None)
    with pytest.raises(TransitionError, match=message):
        transition(incident, action, actor="ada", now=NOW, resolution=resolution)  # type: ignore[arg-type]


def test_ids_are_short_and_stable_also_for_fingerprints_that_are_not_hex() -> None:
    assert incident_id(FINGERPRINT) == FINGERPRINT[:16]
    url = incident_id("https://github.com/acme/app/security/secret-scanning/1")
    assert len(url) == 16
    assert url == incident_id("https://github.com/acme/app/security/secret-scanning/1")
    assert incident_id("\udcff") != incident_id("\udcfe")


@given(st.lists(st.tuples(st.sampled_from(SEVERITIES), st.floats(0, 1e9)), min_size=1, max_size=30))
def test_folding_in_any_order_gives_the_same_totals(seen: list[tuple[str, float]]) -> None:
    def total(order: list[tuple[str, float]]) -> tuple[object, ...]:
        incident: Incident | None = None
        for severity, time in order:
            incident = fold(incident, finding(severity=severity, time=time)).incident
        assert incident is not None
        return incident.severity, incident.first_seen, incident.last_seen, incident.occurrences

    assert total(seen) == total(seen[::-1]) == total(sorted(seen))


def an_alert(**changes: object) -> Alert:
    base = Alert(
        id="github.com/acme/web#1",
        system="GitHub",
        source="github",
        url="https://github.test/1",
        fingerprint=FINGERPRINT,
        provisional=False,
        severity="medium",
        state="open",
        created=900.0,
        updated=1_500.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def closed_alert(resolution: str = "revoked", **changes: object) -> Alert:
    return an_alert(state="resolved", resolution=resolution, resolved=1_400.0, **changes)


def test_an_alert_adds_its_labels_and_tells_nobody() -> None:
    change = fold_alert(opened(), an_alert(labels={"validity": "unknown"}))
    assert (change.reason, change.incident.labels) == (None, {"role": "anon", "validity": "unknown"})


def test_an_alert_that_got_worse_escalates_also_what_was_acknowledged() -> None:
    known = transition(opened(), "ack", actor="me", now=NOW).incident
    change = fold_alert(known, an_alert(severity="critical"))
    assert (change.reason, change.incident.severity, change.incident.state) == ("escalated", "critical", "open")
    assert fold_alert(opened(severity="high"), an_alert()).incident.severity == "high"


@pytest.mark.parametrize("label", [{"publicly_leaked": "true"}, {"validity": "active"}])
def test_newly_live_or_public_escalates_what_cannot_get_worse(label: dict[str, str]) -> None:
    change = fold_alert(opened(severity="critical"), an_alert(severity="critical", labels=label))
    assert (change.reason, change.incident.severity) == ("escalated", "critical")
    again = fold_alert(change.incident, an_alert(severity="critical", labels=label))
    assert again.reason is None


def test_revoked_resolves_wherever_the_secret_lies() -> None:
    change = fold_alert(opened(), closed_alert(), elsewhere=1_000.0, others_open=True)
    assert change.reason == "resolved"
    assert (change.incident.state, change.incident.resolution, change.incident.resolved_at) == (
        "resolved",
        "revoked",
        1_400.0,
    )


def test_revoked_but_seen_since_is_an_alarm_of_its_own() -> None:
    change = fold_alert(opened(), closed_alert(), elsewhere=1_401.0)
    assert (change.reason, change.incident.state, change.incident.reopens) == ("reopened", "open", 1)
    again = fold_alert(
        change.incident, closed_alert(), was_state="resolved", was_resolution="revoked", elsewhere=1_401.0
    )
    assert again.reason is None


def test_the_echo_of_what_was_revoked_here_raises_no_second_alarm() -> None:
    """It was resolved as revoked, which GitHub was told; it was seen again; and then GitHub's alert is read."""
    known = replace(opened(), reopens=1)
    assert fold_alert(known, closed_alert(), was_state="open", elsewhere=1_401.0).reason is None
    # What people have in hand since, or what they made of it, is another matter.
    for state in ("acknowledged", "resolved"):
        other = replace(known, state=state, resolution="wont_fix" if state == "resolved" else None)
        change = fold_alert(other, closed_alert(), was_state="open", elsewhere=1_401.0)
        assert (change.reason, change.incident.reopens) == ("reopened", 2)
    worse = fold_alert(known, closed_alert(severity="critical"), was_state="open", elsewhere=1_401.0)
    assert worse.reason == "escalated"


@pytest.mark.parametrize("resolution", ["false_positive", "wont_fix", "used_in_tests"])
def test_other_words_concern_only_the_place(resolution: str) -> None:
    assert fold_alert(opened(), closed_alert(resolution), elsewhere=1.0).reason is None
    assert fold_alert(opened(), closed_alert(resolution), others_open=True).reason is None
    change = fold_alert(opened(), closed_alert(resolution))
    assert (change.reason, change.incident.resolution) == ("resolved", resolution)


OTHERS = ("false_positive", "wont_fix", "used_in_tests")
HERE = ("open", "acknowledged", "revoked", *OTHERS)


def documented() -> dict[str, list[str]]:
    """The table of docs/github.md: what changes there → what becomes of an incident in each state."""
    text = (Path(__file__).parents[3] / "docs" / "github.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+ (?:→|and) [^|]+) \|(.+)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def changes_there() -> Iterator[tuple[str, str | None, str]]:
    """Every change of an alert: its row in the documentation, what it was (None: not known before), what it is."""
    yield "new and open", None, "open"
    for new in ("revoked", *OTHERS):
        for old in (None, "open"):
            yield f"open or new → {'revoked' if new == 'revoked' else 'other'}", old, new
    for old in OTHERS:
        yield "other → revoked", old, "revoked"
        yield from (("other → another", old, new) for new in OTHERS if new != old)
    for new in OTHERS:
        yield "revoked → other", "revoked", new
    for old in ("revoked", *OTHERS):
        yield "resolved → open", old, "open"


def as_incident(here: str) -> Incident:
    known = opened()
    if here == "acknowledged":
        return transition(known, "ack", actor="me", now=NOW).incident
    if here != "open":
        return transition(known, "resolve", actor="me", now=NOW, resolution=here).incident  # type: ignore[arg-type]
    return known


def as_alert(there: str) -> Alert:
    return an_alert() if there == "open" else closed_alert(there)


@pytest.mark.parametrize("here", HERE)
@pytest.mark.parametrize(("row", "old", "new"), list(changes_there()))
@pytest.mark.parametrize("kept_open", [False, True], ids=["only-there", "elsewhere-too"])
def test_the_incident_follows_the_alert_as_documented(
    row: str, old: str | None, new: str, here: str, kept_open: bool
) -> None:
    was = as_incident(here)
    change = fold_alert(
        was,
        as_alert(new),
        was_state=None if old is None else "open" if old == "open" else "resolved",
        was_resolution=None if old in (None, "open") else old,  # type: ignore[arg-type]
        elsewhere=1.0 if kept_open else None,
    )
    word = documented()[row][min(HERE.index(here), 3)]
    follows = {
        "stays": False,
        "revoked": True,
        "that": not kept_open,
        "reopened": True,
        "that, if it was resolved for the first reason": here == old and not kept_open,
    }[word]

    if not follows:
        assert (change.reason, change.incident) == (None, was)
    elif word == "reopened":
        assert (change.reason, change.incident.state) == ("reopened_by_hand", "open")
    else:
        assert (change.reason, change.incident.state, change.incident.resolution) == ("resolved", "resolved", new)


@pytest.mark.parametrize("here", HERE)
def test_used_after_they_revoked_it_is_an_alarm_whatever_was_decided_here(here: str) -> None:
    was = as_incident(here)
    change = fold_alert(was, closed_alert(), was_state="open", elsewhere=1_401.0)
    if here == "revoked":  # the log's finding has reopened it, or it was revoked here later
        assert change.reason is None
    else:
        assert (change.reason, change.incident.state, change.incident.reopens) == ("reopened", "open", was.reopens + 1)


def test_a_revoked_secret_that_was_thought_harmless_alarms_when_it_is_seen_again() -> None:
    known = transition(opened(), "resolve", actor="me", now=NOW, resolution="false_positive").incident
    known = fold_alert(known, closed_alert(), was_state="resolved", was_resolution="false_positive").incident
    assert fold(known, finding(id="later", time=9_999_999_999.0)).reason == "reopened"


def test_an_answer_of_the_issuer_sets_the_severity_and_gives_it_back() -> None:
    one = fold(None, finding()).incident
    refused = Verified("refused", 5.0, "no")
    change = judge(one, refused, "low")
    assert (change.incident.severity, change.incident.base, change.reason) == ("low", one.severity, "update")
    assert judge(change.incident, refused, "low").reason is None
    again = judge(change.incident, Verified("valid", 6.0, "yes"), None)
    assert (again.incident.severity, again.incident.base, again.reason) == (one.severity, None, "escalated")


def test_an_answer_opens_what_was_acknowledged_as_something_smaller() -> None:
    one = transition(fold(None, finding(severity="medium")).incident, "ack", actor="ada", now=1.0).incident
    change = judge(one, Verified("valid", 5.0, "yes"), "critical")
    assert (change.incident.state, change.reason) == ("open", "escalated")
    done = transition(one, "resolve", actor="ada", now=2.0, resolution="revoked").incident
    assert judge(done, Verified("valid", 5.0, "yes"), "critical").incident.state == "resolved"


def test_no_answer_takes_no_answer_back() -> None:
    one = judge(fold(None, finding()).incident, Verified("refused", 5.0, "no"), "low").incident
    change = judge(one, Verified("unknown", 6.0, "no answer"), None)
    assert (change.incident, change.reason) == (one, None)
    first = judge(fold(None, finding()).incident, Verified("unknown", 6.0, "no answer"), None)
    assert (first.incident.verified, first.reason) == (Verified("unknown", 6.0, "no answer"), None)


def test_a_worse_finding_counts_below_the_issuers_answer() -> None:
    one = judge(fold(None, finding(severity="high")).incident, Verified("refused", 5.0, "no"), "low").incident
    seen = fold(one, finding(severity="critical")).incident
    assert (seen.severity, seen.base) == ("low", "critical")


def test_of_two_that_are_one_the_worse_counts_and_the_first_speaks() -> None:
    first = fold(None, finding(severity="medium", confidence="low")).incident
    other = replace(
        fold(None, finding(severity="high", confidence="high", fingerprint="e" * 64)).incident,
        first_seen=1.0,
        first_logged=0.5,
        owner="bob",
    )
    change, gone = merge(first, other, NOW)
    both = change.incident
    assert (change.reason, both.severity, both.confidence, both.occurrences) == ("escalated", "high", "high", 2)
    assert (both.first_seen, both.first_logged, both.owner, both.fingerprint) == (1.0, 0.5, "bob", first.fingerprint)
    assert (gone.state, gone.resolution, gone.merged) == ("resolved", "wont_fix", first.id)
    again = transition(gone, "reopen", actor="ada", now=NOW).incident
    assert again.merged is None

    closed = transition(other, "resolve", actor="ada", now=2.0, resolution="revoked").incident
    assert merge(first, closed, NOW)[1].resolution == "revoked"
    with pytest.raises(TransitionError, match="resolved; reopen it first"):
        merge(closed, first, NOW)


def test_a_secret_of_our_own_gets_its_name_once_and_is_told_where_it_is_worse() -> None:
    labels = {"secret": "API_KEY", "environment": "production"}
    change = claim(opened(state="acknowledged"), "API_KEY (production): ", labels, "critical")
    assert (change.reason, change.incident.state, change.incident.severity) == ("escalated", "open", "critical")
    assert change.incident.name == "API_KEY (production): Generic secret"
    assert claim(change.incident, "API_KEY (production): ", labels, "critical").incident == change.incident
    moved = claim(change.incident, "API_KEY (staging): ", {**labels, "environment": "staging"}, "low")
    assert (moved.reason, moved.incident.name) == (None, "API_KEY (staging): Generic secret")
    assert moved.incident.severity == "critical"
    closed = claim(opened(state="resolved", resolution="revoked", resolved_at=1.0), "A: ", {"secret": "A"}, "critical")
    assert (closed.reason, closed.incident.state) == (None, "resolved")
