"""Events as forwarders send them to Splunk's HTTP Event Collector, and the answers that they know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from monitor.sources.lines import described
from monitor.sources.pieces import Json, light, object_of
from monitor.sources.pushed import BodyCounter, FormError, Pushed

__all__ = ["EVENTS", "HEALTH", "HEALTHY", "NO_RECEIPTS", "PREFIX", "RAW", "answer", "from_events", "refusal"]

PREFIX = "/services/collector"
EVENTS = (PREFIX, f"{PREFIX}/event", f"{PREFIX}/event/1.0")
RAW = (f"{PREFIX}/raw", f"{PREFIX}/raw/1.0")
HEALTH = (f"{PREFIX}/health", f"{PREFIX}/health/1.0")

_FORMAT = (6, "Invalid data format")
_BAD = {"no event": (12, "Event field is required"), "blank": (13, "Event field cannot be blank")}
_REFUSED = {
    400: _FORMAT,
    401: (2, "Token is required"),
    403: (4, "Invalid token"),
    413: (27, "Request entity too large"),
    503: (9, "Server is busy"),
}


def from_events(body: bytes) -> Iterator[Pushed]:
    """Objects one behind another, or in a list. What is none of either is text, and bad."""
    events = Json(body)
    done = 0
    try:
        if events.begins(b"["):
            for _ in events.items():
                start, done = events.span()
                yield _event(body[start:done])
        while events.more():
            start, done = events.span()
            yield _event(body[start:done])
    except FormError:
        yield Pushed(body[done:], "hec", bad="format")


def _event(text: bytes) -> Pushed:
    if text[:1] != b"{":
        return Pushed(text, "hec", bad="format")
    said = object_of(text)
    if said is None:
        return Pushed(text, "hec", bad="format" if light(text, 0, len(text)) else "")
    bad = "no event" if said.get("event") is None else "blank" if said["event"] == "" else ""
    return replace(_described(said, text), bad=bad)


def _described(said: Mapping[str, Any], text: bytes) -> Pushed:
    """What stands around an event counts for more than what it says of itself."""
    inside = [part for part in (said.get("event"), said.get("fields")) if isinstance(part, dict)]
    names = {"host": "host", "source": "file", "time": "time"}
    outside = {ours: said[theirs] for theirs, ours in names.items() if said.get(theirs)}
    item = {key: value for part in (*inside, outside) for key, value in part.items()}
    item.setdefault("service", said.get("sourcetype"))
    found = described(item, text, "hec")
    try:
        return replace(found, logged_at=float(said["time"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return found


def answer(counter: BodyCounter) -> tuple[int, bytes]:
    """Status and body."""
    if not counter.records:
        return 400, _said(5, "No data")
    if not counter.bad:
        return 200, _said(0, "Success")
    code, text = _BAD.get(counter.why, _FORMAT)
    return 400, _said(code, text, {"invalid-event-number": counter.bad[0]})


def refusal(status: int, shown: bool) -> tuple[int, bytes]:
    """`shown`: a token was shown, so that it is the wrong one."""
    if status == 401 and shown:
        status = 403
    return status, _said(*_REFUSED.get(status, (8, "Internal server error")))


def _said(code: int, text: str, more: Mapping[str, int] | None = None) -> bytes:
    return orjson.dumps({"text": text, "code": code, **(more or {})})


HEALTHY = _said(17, "HEC is healthy")
NO_RECEIPTS = _said(14, "ACK is disabled")  # who asks for them (`ackID`): the answer to an event is its receipt
