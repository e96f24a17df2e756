"""What PagerDuty announces to `/hooks/pagerduty` (monitor.web.hooks): what people do about a page over there.

Only what a user did is taken over. What our own events and notes do there is announced, too, but an integration did
it, or it begins as our notes do: so nothing goes around in a circle.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from monitor.common.credential import Credential
from monitor.common.inbound import Announced, InboundRequest, Owner, UnusableError, Verb, same
from monitor.common.outside import at, text
from monitor.common.text import clean
from sinks.pagerduty.config import NOTE, PagerDutyConfig

__all__ = ["PagerDutyHook", "signature"]

_SIGNATURES = re.compile(r"v[0-9]+=[0-9a-f]{1,256}(?: ?, ?v[0-9]+=[0-9a-f]{1,256}){0,19}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OURS = re.compile(r"(?:incident|group|digest|fold|bundle|overdue):(?:[0-9a-f]{8,64}|together)")  # Notification.key
_OVERDUE = "overdue:"
_LONGEST, _NAME = 25_000, 64  # characters of a note, of a person's name
_VERBS: Mapping[str, Verb] = {
    "incident.acknowledged": "ack",
    "incident.unacknowledged": "reopen",
    "incident.resolved": "resolve",
    "incident.reopened": "reopen",
    "incident.annotated": "note",
    "incident.triggered": "link",
}
_NOT_OURS = Announced(answer="nothing for us\n", status=202)


def signature(secret: bytes, body: bytes | bytearray) -> str:
    """As it stands in X-PagerDuty-Signature."""
    return f"v1={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


class PagerDutyHook:
    """A Vendor."""

    most = 1 << 20
    header = "X-PagerDuty-Signature"
    probes = 0

    def probe(self, body: bytearray) -> bool:
        return False

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        return owner.webhook_secret if isinstance(owner, PagerDutyConfig) else ()

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        return _SIGNATURES.fullmatch(headers.get(self.header, "")) is not None

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        wanted = signature(secret, body)
        given = [same(one.strip(), wanted) for one in headers.get(self.header, "").split(",")]
        return any(given)  # all are compared

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        event = _event(body)
        if event is None:
            raise UnusableError(signed[0], "hook payload")
        if event.get("event_type") == "pagey.ping":
            return Announced(answer="pong\n")
        verb = _VERBS.get(str(event.get("event_type")))
        data = at(event, "data")
        if verb is None or (verb != "link" and at(event, "agent", "type") != "user_reference"):
            return _NOT_OURS
        once, place = _id(event), _id(at(data, "incident") if verb == "note" else data)
        moment = _moment(event.get("occurred_at"))
        if not once or not place or moment is None:
            raise UnusableError(signed[0], "hook payload")
        sink = _chosen(signed, data)
        if sink is None:
            return _NOT_OURS
        found = _request(sink, verb, data, at(event, "agent"))
        return _NOT_OURS if found is None else Announced(requests=[_dated(found, once, place, moment)], status=202)


def _request(sink: PagerDutyConfig, verb: Verb, data: Any, agent: Any) -> InboundRequest | None:
    """What it asks for; None: nothing."""
    user, summary = _id(agent), text(agent, "summary")
    # Cut off, half of a secret might stay that is not known as one.
    named = clean(summary) if summary.strip() and len(summary) <= _NAME else user
    actor = sink.people.get(user) or f"{named or 'somebody'} (PagerDuty)"
    if verb == "note":
        content = at(data, "content")
        if not isinstance(content, str) or not content.strip() or content.startswith(NOTE):
            return None
        if len(content) > _LONGEST:
            content = f"a note of {len(content)} characters, which is too long to be kept here"
        return InboundRequest("", sink.name, "note", actor, note=clean(content))

    key = text(data, "incident_key")
    if not _OURS.fullmatch(key):
        return None
    if key.startswith(_OVERDUE):  # a page about a step: to take it is to take the incident, and nothing more
        incident = key.removeprefix(_OVERDUE).removesuffix("together")  # of many the store knows which
        return InboundRequest("", sink.name, verb, actor, incident, key) if verb in ("ack", "link") else None
    if verb == "resolve":
        if sink.resolve_as == "none":
            note = f"resolved at {sink.name}, which resolves nothing here"
            return InboundRequest("", sink.name, "ack", actor, key=key, note=note)
        return InboundRequest("", sink.name, "resolve", actor, key=key, detail=sink.resolve_as)
    return InboundRequest("", sink.name, verb, actor, key=key)


def _dated(request: InboundRequest, once: str, place: str, moment: float) -> InboundRequest:
    return replace(request, id=f"pagerduty:{request.sink}:{once}", at=moment, place=place, answer={"place": place})


def _event(body: bytearray) -> dict[str, Any] | None:
    try:
        payload = orjson.loads(body)
    except (ValueError, RecursionError):
        return None
    event = at(payload, "event")
    return event if isinstance(event, dict) else None


def _id(record: Any) -> str:
    given = text(record, "id")
    return given if _ID.fullmatch(given) else ""


def _moment(value: Any) -> float | None:
    """Seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _chosen(signed: Sequence[Owner], data: Any) -> PagerDutyConfig | None:
    """Where several sinks share a subscription: the one of the service. A note does not say which that is."""
    service = _id(at(data, "service"))
    configs = [one for one in signed if isinstance(one, PagerDutyConfig)]
    fitting = [one for one in configs if not service or one.service in (None, service)]
    return next((one for one in fitting if one.service), fitting[0] if fitting else None)
