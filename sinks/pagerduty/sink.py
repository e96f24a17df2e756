"""PagerDuty Events API v2: trigger, acknowledge and resolve under one dedup key for the life of a group."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, cast

import orjson
import structlog

from monitor.common.http import Http, RemoteError, Reply
from monitor.common.inbound import InboundRequest, through
from monitor.common.notification import IncidentView, Notification, Receipt
from monitor.common.outside import listed
from monitor.common.severity import Severity
from monitor.common.text import clean, clip, printable, quotable
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
from sinks.pagerduty.api import Api
from sinks.pagerduty.config import NOTE, PagerDutyConfig
from sinks.text import NAME, counter, headline, link, links

__all__ = ["PagerDuty", "dedup_key", "event"]

log = structlog.get_logger(__name__)

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
_KNOWN_THERE = ("already", "there is no incident")  # refusals that say nothing new to whoever asked
HINTS = {400: "check routing_key: it is the integration key of an Events API v2 integration"}


class PagerDuty:
    """Events are accepted (202), not yet paged: what PagerDuty does with them is the service's own configuration.

    With `api_token`, notes say there who did what here, and priority and urgency follow the severity.
    """

    Config: ClassVar[type[SinkConfig]] = PagerDutyConfig
    limits = Limits(in_flight=4)

    def __init__(self, config: PagerDutyConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._api = Api(config, http) if config.api_token is not None else None

    async def send(self, notification: Notification) -> Receipt | None:
        key = self._config.routing_key.resolve("routing_key")
        reply = await self._http.post(f"{self._config.events_url}/v2/enqueue", event(notification, key))
        reply.check(HINTS, said=_complaints(reply, key))
        place = (notification.receipt or {}).get("place", "")
        if place and self._api is not None:
            await self._remark(self._api, notification, place)
        # A new incident over there has an id of its own, which we learn when it is announced: perhaps of a try before
        # this one it was already.
        fresh = notification.reason in ("reopened", "reopened_by_hand", "new") and not notification.again
        keeps = place and not fresh
        return {"dedup_key": dedup_key(notification), **({"place": place} if keeps else {})}

    async def answer(self, request: InboundRequest, text: str, *, done: bool) -> None:
        """A page that was announced gets priority and urgency; what was refused is said in a note."""
        place = request.answer.get("place", "")
        if self._api is None or not place:
            return
        if request.verb == "link" and done:
            await self._api.rank(place, cast("Severity", text))
        elif not done and not any(word in text for word in _KNOWN_THERE):
            await self._api.note(place, f"{NOTE}not taken over: {clip(clean(text), 500)}")

    async def _remark(self, api: Api, notification: Notification, place: str) -> None:
        """Beside the event, which has arrived: what fails here is no reason to send that again."""
        try:
            if notification.reason == "escalated":
                await api.rank(place, notification.severity)
            if said := _changes(notification, self._config.name):
                await api.note(place, NOTE + said)
        except RemoteError as error:
            log.warning("a note could not be left at PagerDuty", sink=self._config.name, reason=str(error))


def _changes(notification: Notification, sink: str) -> str:
    """Who did what here; empty for what came from there, or is no decision."""
    if notification.reason not in ("acknowledged", "resolved", "reopened_by_hand"):
        return ""
    told = [
        f"{incident.id}: {said}"
        for incident in notification.incidents[:5]
        if incident.note != through(sink) and (said := decision(incident))
    ]
    return clip(clean("; ".join(dict.fromkeys(told))), 2000)


def _complaints(reply: Reply, key: str) -> str:
    """What PagerDuty holds against the event; it names fields, and is dropped when it repeats the key."""
    return quotable("; ".join(error for error in listed(reply.json(), "errors") if isinstance(error, str)), key)


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
            details["by_rule"] = counter(notification)[:50]
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


def _details(incident: IncidentView) -> dict[str, Any]:
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
        "owner": clip(printable(incident.owner or ""), 255),
        "where": [clip(f"{place(location)} ({origin(location)})", 1000) for location in incident.locations[:10]],
        "line": clip(surroundings(incident), 500),
        "what to do first": clip(clean(incident.first_step), 1000),
        "runbook": clip(steps(incident), 500),
        "acknowledge": clip(command(incident), 500),
        "claim": clip(claim(incident), 500),
    }
