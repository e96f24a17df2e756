"""PagerDuty Events API v2: trigger, acknowledge and resolve under one dedup key for the life of a group."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import CLEAR, Http, Reply, in_the_clear
from monitor.common.notification import Incident, Notification, Receipt
from monitor.common.severity import Severity
from monitor.common.text import clean, clip, printable, quotable
from sinks.base import Limits, SinkConfig
from sinks.text import (
    NAME,
    claim,
    command,
    decision,
    facts,
    headline,
    instant,
    link,
    links,
    origin,
    place,
    seen,
    steps,
    surroundings,
    tally,
    works,
)

__all__ = ["PagerDuty", "PagerDutyConfig", "dedup_key", "event"]

SEVERITY: dict[Severity, str] = {
    "critical": "critical",
    "high": "error",
    "medium": "warning",
    "low": "info",
    "info": "info",
}
MAX_BODY = 500_000  # bytes; the documented limit is 512 KB
MAX_SUMMARY = 1024
MAX_DEDUP_KEY = 255
HINTS = {400: "check routing_key: it is the integration key of an Events API v2 integration"}


class PagerDutyConfig(SinkConfig):
    """`base_url`: `https://events.eu.pagerduty.com` for accounts in the EU."""

    pages: ClassVar[bool] = True

    type: Literal["pagerduty"]
    routing_key: Credential
    base_url: str = Field(default="https://events.pagerduty.com")

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError('must be scheme and host only, such as "https://events.eu.pagerduty.com"')
        return value.rstrip("/")

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if not self.insecure and in_the_clear(self.base_url):
            raise ValueError(f"base_url: routing_key {CLEAR}")
        return self


class PagerDuty:
    """Events are accepted (202), not yet paged: what PagerDuty does with them is the service's own configuration."""

    Config: ClassVar[type[SinkConfig]] = PagerDutyConfig
    limits = Limits(in_flight=4)

    def __init__(self, config: PagerDutyConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def send(self, notification: Notification) -> Receipt | None:
        key = self._config.routing_key.resolve("routing_key")
        reply = await self._http.post(f"{self._config.base_url}/v2/enqueue", event(notification, key))
        reply.check(HINTS, said=_complaints(reply, key))
        return {"dedup_key": dedup_key(notification)}

    async def close(self) -> None:
        return


def _complaints(reply: Reply, key: str) -> str:
    """What PagerDuty holds against the event; it names fields, and is dropped when it repeats the key."""
    answer = reply.json()
    errors = answer.get("errors") if isinstance(answer, dict) else None
    if not isinstance(errors, list):
        return ""
    return quotable("; ".join(error for error in errors if isinstance(error, str)), key)


def dedup_key(notification: Notification) -> str:
    """The notification's key, or its hash when it is too long; the same over the life of the group."""
    key = clean(notification.key)
    if 0 < len(key.encode()) <= MAX_DEDUP_KEY:
        return key
    return f"{NAME}-{hashlib.sha256(key.encode()).hexdigest()}"


def event(notification: Notification, routing_key: str) -> bytes:
    """The request body, within PagerDuty's limits: of a large group the newest incidents are kept, with the total."""
    head = {
        "routing_key": routing_key,
        "event_action": notification.action,
        "dedup_key": dedup_key(notification),
    }
    if notification.action != "trigger":
        return orjson.dumps(head)  # all else is ignored for these
    url, runbook = map(link, links(notification))
    shown = [{"href": runbook, "text": "Runbook"}] if runbook else []
    shown += [{"href": url, "text": "Incident in the console"}] if url else []
    for count in (20, 5, 1, 0):
        body = orjson.dumps(
            {
                **head,
                "client": NAME,
                **({"client_url": url} if url else {}),
                "links": shown,
                "payload": _payload(notification, runbook, count),
            }
        )
        if len(body) <= MAX_BODY:
            break
    return body


def _payload(notification: Notification, runbook: str | None, count: int) -> dict[str, Any]:
    incidents = notification.incidents
    first = incidents[0] if incidents else None
    location = first.locations[0] if first and first.locations else None
    details: dict[str, Any] = {"reason": notification.reason}
    if notification.text:
        details["text"] = clip(clean(notification.text), 4000)
    if runbook:
        details["runbook_url"] = runbook
    if incidents:
        details["total"] = len(incidents)
        if len(incidents) > count:
            details["by_rule"] = tally(notification)[:50]
        details["incidents"] = [_details(incident) for incident in incidents[:count]]
    summary = headline(notification)
    if len(incidents) == 1 and first:
        summary += f" ({printable(first.masked)})"
        summary += f" in {place(location)}" if location else ""
    payload: dict[str, Any] = {
        "summary": clip(summary, MAX_SUMMARY),
        "source": clip(printable((location.host or location.path) if location else "") or NAME, 255),
        "severity": SEVERITY[notification.severity],
        "component": clip(printable((location.service or location.source) if location else "") or NAME, 255),
        "group": NAME,
        "class": clip(printable(first.rule), 255) if first else notification.reason,
        "custom_details": details,
    }
    if incidents:
        payload["timestamp"] = instant(max(incident.last_seen for incident in incidents))
    return payload


def _details(incident: Incident) -> dict[str, Any]:
    return {
        "id": clip(clean(incident.id), 255),
        "name": clip(clean(incident.name), 255),
        "severity": incident.severity,
        "state": incident.state,
        "masked": clip(clean(incident.masked), 255),
        "fingerprint": clip(clean(incident.fingerprint), 255),
        "confidence": clip(printable(incident.confidence), 20),
        "facts": clip(facts(incident), 1000),
        "does it work": clip(works(incident), 1000),
        "seen": seen(incident),
        "decision": clip(decision(incident), 1000),
        "where": [clip(f"{place(location)} ({origin(location)})", 1000) for location in incident.locations[:10]],
        "line": clip(surroundings(incident), 500),
        "what to do first": clip(clean(incident.first_step), 1000),
        "runbook": clip(steps(incident), 500),
        "acknowledge": clip(command(incident), 500),
        "claim": clip(claim(incident), 500),
    }
