"""Notifications for tests of sinks: one real-looking, and a strategy that makes huge and hostile ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from monitor.common.notification import IncidentView, Location, Notification, Reason, RunbookProgress, State
from monitor.common.severity import Severity
from tests.examples import examples

NOW = datetime(2026, 11, 2, 14, 3, 7, tzinfo=UTC)


RUN = RunbookProgress(
    book="github-token",
    order="contain",
    done=2,
    total=9,
    step="deploy",
    title="Deploy the replacement",
    deadline=NOW + timedelta(minutes=30),
    overdue=True,
)


def incident(**changes: Any) -> IncidentView:
    base = IncidentView(
        id="7f3a9c2e",
        fingerprint="5e" * 32,
        rule="github-pat",
        name="GitHub personal access token",
        severity="critical",
        state="open",
        masked="ghp_a1B2…",
        first_seen=NOW - timedelta(minutes=5),
        last_seen=NOW,
        occurrences=17,
        locations=(
            Location(
                *("services", "/var/log/app/api.log", 90112, 1042, NOW),
                host="web-3",
                service="payments",
                logged_at=NOW - timedelta(seconds=2),
                context="2026-11-02T14:03:05Z INFO login with token=ghp_a1B2… from 192.0.2.7",
            ),
            Location("services", "/var/log/app/worker.log", 512, 8, NOW - timedelta(minutes=1)),
        ),
        first_step="Revoke the token on GitHub, then replace it wherever it is used.",
        runbook="https://monitor.example.org/runbooks/github-token",
        url="https://monitor.example.org/incidents/7f3a9c2e",
        confidence="high",
        first_logged=NOW - timedelta(hours=3),
        program="cd /srv/monitor && .venv/bin/monitor",
    )
    return replace(base, **changes)


def notification(*incidents: IncidentView, **changes: Any) -> Notification:
    base = Notification(
        id="42",
        key="incident/7f3a9c2e",
        reason="new",
        incidents=incidents or (incident(),),
        severity=(incidents[0] if incidents else incident()).severity,
    )
    return replace(base, **changes)


def event(**changes: Any) -> Notification:
    base = Notification(
        id="43",
        key="operational/disk",
        reason="operational",
        title="The state disk is full",
        text="Reading has stopped at a safe place; nothing is lost.\nFree some space in the state folder.",
        severity="high",
    )
    return replace(base, **changes)


HOSTILE = [
    "/var/log/<!channel>/<@U123>|&amp;&lt;.log",
    "`code` *bold* ~x~ _y_ ```",
    "@everyone @here #general [a](http://evil.example) <http://evil.example|x>",
    "line\nbreak\r\nSubject: x\ttab\x00nul\x1b[31mred\x1b]8;;http://evil.example\x07",
    "\u202egnp.exe\u2066",
    "undecodable \udcff\udc80 name",
    "{severity} {rule} %s %(x)s ${y}",
    "<script>alert(1)</script>\"'\\",
    "😀" * 4000,
    "&<>" * 3000,
    "+/#$SYS",
    "",
    " ",
]
_text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None), max_size=40),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=6), st.integers(1, 3000)),
)
_link = st.one_of(
    st.none(), st.just("https://monitor.example.org/i/1?a=1&b=2"), st.builds("https://x/{}".format, _text)
)
_time = st.integers(0, 2**37).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, UTC))
_severity = st.sampled_from(get_args(Severity))

locations = st.builds(
    Location,
    source=_text,
    path=_text,
    offset=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    line=st.one_of(st.none(), st.integers(1, 2**53)),
    time=st.one_of(st.none(), _time),
    url=_link,
    host=st.one_of(st.none(), _text),
    service=st.one_of(st.none(), _text),
    logged_at=st.one_of(st.none(), _time),
    context=st.one_of(st.none(), _text),
)
incidents = st.builds(
    IncidentView,
    id=_text,
    fingerprint=_text,
    rule=_text,
    name=_text,
    severity=_severity,
    state=st.sampled_from(get_args(State)),
    masked=_text,
    first_seen=_time,
    last_seen=_time,
    occurrences=st.integers(0, 10**12),
    locations=st.lists(locations, max_size=12).map(tuple),
    owner=st.one_of(st.none(), _text),
    first_step=_text,
    runbook=_link,
    url=_link,
    labels=st.dictionaries(_text, _text, max_size=3),
    confidence=st.sampled_from(["", "low", "medium", "high"]),
    first_logged=st.one_of(st.none(), _time),
    run=st.one_of(
        st.none(),
        st.builds(
            RunbookProgress,
            book=_text,
            order=st.sampled_from(["contain", "replace"]),
            done=st.integers(0, 9),
            total=st.just(9),
            step=st.one_of(st.none(), st.just("revoke")),
            title=_text,
            deadline=st.one_of(st.none(), _time),
            owner=st.one_of(st.none(), _text),
            overdue=st.booleans(),
        ),
    ),
    program=_text,
    options=_text,
)
# A few incidents are drawn and repeated: large groups without the time it takes to draw each.
_groups = st.builds(
    lambda few, times: tuple(few) * times, st.lists(incidents, max_size=3), st.sampled_from([1, 1, 1, 40])
)
# Of what holds for any notification.
EXAMPLES = settings(max_examples=examples(30), deadline=None)
notifications = st.builds(
    Notification,
    id=_text,
    key=_text,
    reason=st.sampled_from(get_args(Reason)),
    incidents=_groups,
    url=_link,
    runbook=_link,
    title=_text,
    text=_text,
    severity=_severity,
)
