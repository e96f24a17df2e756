"""Prometheus Alertmanager, API v2: one alert an incident, its end moved on by every notification while it is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import Field, model_validator

from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.fields import http_url
from monitor.common.http import CLEAR, Http, in_the_clear
from monitor.common.notification import IncidentView, Notification, Receipt
from monitor.common.problems import refuse
from monitor.common.severity import SEVERITIES, Severity
from monitor.common.text import printable, prose
from monitor.common.wording import (
    claim,
    command,
    decision,
    facts,
    instant,
    origin,
    place,
    seen,
    steps,
    surroundings,
    works,
)
from sinks.base import Limits, SinkConfig
from sinks.text import headline, link

__all__ = ["Alertmanager", "AlertmanagerConfig", "alerts"]

EVENT_HOLD = timedelta(hours=1)  # how long an operational event or a test shows; nothing resolves those


EXAMPLE = """
#[[sinks]]
#name = "alertmanager"
#type = "alertmanager"
#url = "http://127.0.0.1:9093"
#token = "credential:alertmanager-token"
#hold = "24h"                   # how long an alert lasts without news
"""


class AlertmanagerConfig(SinkConfig):
    """Posts alerts to Prometheus Alertmanager.

    - `url`: its base URL
    - `token`: a bearer token
    - `hold`: how long an open alert lasts without news of it: longer than the `repeat_interval` of the route, as
      Alertmanager forgets what is not posted again
    """

    type: Literal["alertmanager"]
    url: Annotated[str, http_url("http://alertmanager:9093", login="use token")]
    token: Credential | None = None
    hold: Duration = Field(default=86_400.0, gt=0)

    def servers(self) -> Sequence[str]:
        return (self.url,)

    @model_validator(mode="after")
    def _no_token_in_clear(self) -> Self:
        refuse((self.token and not self.insecure and in_the_clear(self.url), f"token {CLEAR}"))
        return self


class Alertmanager:
    """Posts to `/api/v2/alerts`. Posting the same alert twice is harmless by design of the receiver."""

    Config: ClassVar[type[SinkConfig]] = AlertmanagerConfig
    limits = Limits(incidents=100, in_flight=4)

    def __init__(self, config: AlertmanagerConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def send(self, notification: Notification) -> Receipt | None:
        headers = {"Authorization": f"Bearer {self._config.token.resolve('token')}"} if self._config.token else None
        body = orjson.dumps(alerts(notification, datetime.now(UTC), timedelta(seconds=self._config.hold)))
        reply = await self._http.post(f"{self._config.url}/api/v2/alerts", body, headers)
        reply.check({401: "check token", 403: "check token", 404: "no Alertmanager API v2 below url"})
        return None


def alerts(notification: Notification, now: datetime, hold: timedelta) -> list[dict[str, Any]]:
    """The request body. Labels identify an alert, so they hold only what does not change, and the severity."""
    if not notification.incidents:
        labels = {
            "alertname": "ExposureMonitor",
            "severity": notification.severity,
            # Labels identify it: the end of trouble carries those of its beginning.
            "reason": "operational" if notification.reason == "recovered" else notification.reason,
            "title": printable(headline(replace(notification, reason="operational"))),
        }
        annotations = {"summary": headline(notification), "description": "\n".join(prose(notification.text))}
        end = now if notification.reason == "recovered" else now + EVENT_HOLD
        return [_alert(labels, annotations, now, end, notification.url)]
    posted = []
    for incident in notification.incidents:
        end = now if incident.state == "resolved" else now + hold
        posted.append(_of(incident, incident.severity, notification, end))
        if notification.reason == "escalated":
            # A changed label is another alert: end what this one may have been. What never fired stays silent.
            lower = SEVERITIES[: SEVERITIES.index(incident.severity)]
            posted += [_of(incident, severity, notification, now) for severity in lower]
    return posted


def _of(incident: IncidentView, severity: Severity, notification: Notification, end: datetime) -> dict[str, Any]:
    labels = {
        "alertname": "SecretExposed",
        "severity": severity,
        "rule": printable(incident.rule),
        "incident": printable(incident.id),
        "fingerprint": printable(incident.fingerprint),
    }
    annotations = {
        "summary": printable(f"{incident.name} exposed ({incident.masked})"),
        "where": "\n".join(f"{place(location)} ({origin(location)})" for location in incident.locations[:10]),
        "line": surroundings(incident),
        "seen": seen(incident),
        "confidence": printable(incident.confidence),
        "state": incident.state,
        "decision": decision(incident),
        "owner": printable(incident.owner or ""),
        "facts": facts(incident),
        "does_it_work": works(incident),
        "first_step": printable(incident.first_step) if incident.state != "resolved" else "",
        "acknowledge": command(incident) if incident.state == "open" else "",
        "steps": steps(incident),
        "claim": claim(incident),
        "runbook_url": link(incident.runbook or notification.runbook) or "",
    }
    return _alert(labels, annotations, incident.first_seen, end, incident.url or notification.url)


def _alert(
    labels: dict[str, str], annotations: dict[str, str], start: datetime, end: datetime, url: str | None
) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "labels": {key: value for key, value in labels.items() if value},
        "annotations": {key: value for key, value in annotations.items() if value},
        "startsAt": instant(min(start, end)),
        "endsAt": instant(end),
    }
    if good := link(url):
        alert["generatorURL"] = good
    return alert
