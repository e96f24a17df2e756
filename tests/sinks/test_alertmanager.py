from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Location, Notification
from sinks.alertmanager import Alertmanager, AlertmanagerConfig, alerts
from tests.fakes.alertmanager import VALIDATOR, FakeAlertmanager
from tests.fakes.notifications import EXAMPLES, NOW, event, incident, notification, notifications
from tests.fakes.peer import served
from tests.fakes.server import FAULTS, PERMANENT

PEERS = {
    "alertmanager": served(
        lambda _: FakeAlertmanager(),
        lambda fake, credential: (
            {"url": fake.url, "token": "env:ALERTMANAGER_TOKEN"},
            {"ALERTMANAGER_TOKEN": credential},
        ),
    )
}


def sink(http: Http, url: str, **keys: Any) -> Alertmanager:
    return Alertmanager(AlertmanagerConfig(name="am", type="alertmanager", url=url, **keys), http)


async def test_fires_until_resolved_and_is_one_alert(http: Http) -> None:
    async with FakeAlertmanager() as fake:
        target = sink(http, fake.url + "/")
        await target.send(notification())
        await target.send(notification(incident(occurrences=99), reason="repeat"))
        (alert,) = fake.firing()
        assert alert["labels"] == {
            "alertname": "SecretExposed",
            "severity": "critical",
            "rule": "github-pat",
            "incident": "7f3a9c2e",
            "fingerprint": "5e" * 32,
        }
        assert alert["annotations"]["seen"].startswith("99 times")
        assert alert["annotations"]["runbook_url"] == "https://monitor.example.org/runbooks/github-token"
        assert alert["generatorURL"] == "https://monitor.example.org/incidents/7f3a9c2e"
        await target.send(notification(incident(state="resolved"), reason="resolved"))
        assert fake.firing() == []
        assert len(fake.alerts) == 1


async def test_a_higher_severity_ends_the_lower_alert(http: Http) -> None:
    async with FakeAlertmanager() as fake:
        target = sink(http, fake.url)
        await target.send(notification(incident(severity="medium")))
        await target.send(notification(incident(severity="critical"), reason="escalated"))
        assert [alert["labels"]["severity"] for alert in fake.firing()] == ["critical"]


@pytest.mark.parametrize(("hold", "seconds"), [("36500d", 36_500 * 86_400), ("1h30m", 5_400)])
async def test_an_open_alert_lasts_for_as_long_as_is_said(http: Http, hold: str, seconds: float) -> None:
    async with FakeAlertmanager() as fake:
        before = datetime.now(UTC)
        await sink(http, fake.url, hold=hold).send(notification())
        (alert,) = fake.firing()
        lasts = datetime.fromisoformat(alert["endsAt"]) - before
        assert timedelta(seconds=seconds) <= lasts < timedelta(seconds=seconds, hours=1)


async def test_operational_events_end_by_themselves(http: Http) -> None:
    async with FakeAlertmanager() as fake:
        await sink(http, fake.url).send(event())
        (alert,) = fake.firing()
    assert alert["labels"]["alertname"] == "ExposureMonitor"
    assert datetime.fromisoformat(alert["endsAt"]) < datetime.now(UTC) + timedelta(hours=2)


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(http: Http, credential: Callable[[str, str], str], name: str) -> None:
    async with FakeAlertmanager() as fake:
        fake.faults.append(FAULTS[name])
        with pytest.raises(RemoteError) as caught:
            await sink(http, fake.url, token=credential("token", "the-bearer")).send(notification())
        assert caught.value.retry is (name not in PERMANENT)
        assert fake.requests[0].headers["Authorization"] == "Bearer the-bearer"


@EXAMPLES
@given(notifications)
def test_any_notification_is_valid(message: Notification) -> None:
    posted = alerts(message, datetime.now(UTC), timedelta(hours=24))
    VALIDATOR.validate(posted)
    assert all(alert["startsAt"] <= alert["endsAt"] for alert in posted)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"url": "alertmanager:9093"}, r"must be an http\(s\) URL"),
        ({"url": "https://me:hidden@am"}, "use token"),
        ({"url": "http://am.example", "token": "env:T"}, "unencrypted"),
        ({"url": "http://am.example", "hold": "1"}, "duration"),
        ({"url": "http://am.example", "hold": "0h"}, "greater than 0"),
        ({"url": "http://am.example", "hold": "9999999d"}, "36500d at most"),  # an end behind the year 9999
    ],
)
def test_configuration_errors_are_clear(keys: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        AlertmanagerConfig(name="am", type="alertmanager", **keys)  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("reason", ["new", "operational"])
def test_no_label_and_no_annotation_moves_a_cursor_or_turns_text_round(reason: str) -> None:
    bad = "a\x1b[2Jb\u202ec\x9bd"
    where = Location("src" + bad, "/path" + bad, 1, 2)
    one = incident(rule=bad, name=bad, masked=bad, owner=bad, first_step=bad, labels={bad: bad}, locations=(where,))
    told = notification(one) if reason == "new" else event(title=bad, text=f"{bad}\n\n{bad}")
    for alert in alerts(told, NOW, timedelta(hours=1)):
        for text in (*alert["labels"].values(), *alert["annotations"].values()):
            assert text.replace("\n", "").isprintable()
