"""PagerDuty's Events API v2 with its documented limits, and the incidents that would come of the events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator, FormatChecker

from tests.fakes.server import FakeServer

EVENT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["routing_key", "event_action", "dedup_key"],
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": {"type": "string"},
        "client_url": {"type": "string", "pattern": "^https?://"},
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["href", "text"],
                "properties": {"href": {"type": "string", "pattern": "^https?://"}, "text": {"type": "string"}},
            },
        },
        "payload": {
            "type": "object",
            "additionalProperties": False,
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
}
VALIDATOR = Draft202012Validator(EVENT, format_checker=FormatChecker())


def check_event(body: bytes) -> list[str]:
    """What PagerDuty would hold against an event."""
    if len(body) > 512 * 1024:
        return [f"413: {len(body)} bytes"]
    return [
        f"{'.'.join(map(str, error.path))}: {error.message[:200]}" for error in VALIDATOR.iter_errors(json.loads(body))
    ]


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_CONTENT = {"type": "string", "minLength": 1, "maxLength": 25_000}
_PRIORITY = _object(["id", "type"], id={"enum": ["PP1", "PP2"]}, type={"const": "priority_reference"})
_CHANGE = _object(["type"], type={"const": "incident_reference"}, urgency={"enum": ["high", "low"]}, priority=_PRIORITY)
# Bodies of the REST API, by method and what stands behind the incident's id
REST = {
    ("POST", "notes"): _object(["note"], note=_object(["content"], content=_CONTENT)),
    ("PUT", ""): _object(["incident"], incident=_CHANGE),
}
USER = {"id": "PLH1HKV", "type": "user_reference", "summary": "Tenex Engineer"}
INTEGRATION = {"id": "PINTEG1", "type": "events_api_v2_inbound_integration_reference", "summary": "Monitor"}


def announcement(
    event_type: str,
    key: Any,
    *,
    place: str = "PGR0VU2",
    id_: str = "01BRB6ZP4M6T8ZG4X6BP63ZB9O",
    at: str = "2026-11-26T03:00:00.000Z",
    agent: Mapping[str, str] | None = USER,
    content: str = "",
) -> bytes:
    """The body of a V3 webhook, as documented. `content`: of a note."""
    about = {"id": place, "summary": "A page", "html_url": f"https://acme.test/incidents/{place}"}
    data: dict[str, Any] = {
        **about,
        "type": "incident",
        "number": 2,
        "status": event_type.rpartition(".")[2],
        "incident_key": key,
        "created_at": at,
        "title": "A page",
        "service": {"id": "PF9KMXH", "type": "service_reference", "summary": "API Service"},
        "assignees": [dict(USER)],
        "priority": None,
        "urgency": "high",
        "resolve_reason": None,
    }
    if event_type == "incident.annotated":
        about["type"] = "incident_reference"
        data = {"incident": about, "id": "P2LA89X", "content": content, "trimmed": False, "type": "incident_note"}
    event = {
        "id": id_,
        "event_type": event_type,
        "resource_type": "incident",
        "occurred_at": at,
        "agent": None if agent is None else dict(agent),
        "client": None,
        "data": data,
    }
    return json.dumps({"event": event}).encode()


class FakePagerDuty(FakeServer):
    """`state`: (routing key, dedup key) → triggered, acknowledged, resolved; `events` in the order they came.

    `token`: of the REST API. `notes` and `changes`: (incident, text or what was set).
    """

    def __init__(self, token: str = "") -> None:
        super().__init__()
        self.token = token
        self.events: list[dict[str, Any]] = []
        self.state: dict[tuple[str, str], str] = {}
        self.notes: list[tuple[str, str]] = []
        self.changes: list[tuple[str, dict[str, Any]]] = []

    def _rest(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if not self.token or request.headers.get("Authorization") != f"Token token={self.token}":
            return web.json_response({"error": {"message": "Unauthorized", "code": 2006}}, status=401)
        if "@" not in request.headers.get("From", ""):
            self.problems.append("From is missing")
        if (request.method, request.path) == ("GET", "/priorities"):
            return web.json_response({"priorities": [{"id": "PP1", "name": "P1"}, {"id": "PP2", "name": "P2"}]})
        incident, _, rest = request.path.removeprefix("/incidents/").partition("/")
        if (request.method, rest) not in REST:
            self.problems.append(f"{request.method} {request.path}")
            return web.Response(status=404)
        sent = json.loads(body)
        wrong = Draft202012Validator(REST[request.method, rest]).iter_errors(sent)
        self.problems += [error.message for error in wrong]
        if rest:
            self.notes.append((incident, sent["note"]["content"]))
        else:
            kept = {name: value for name, value in sent["incident"].items() if name != "type"}
            self.changes.append((incident, kept))
        return web.json_response({}, status=201 if rest else 200)

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.path.startswith(("/incidents/", "/priorities")):
            return self._rest(request, body)
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            self.problems.append(f"{request.method} {request.path}")
            return web.Response(status=404)
        problems = check_event(body)
        if problems:
            self.problems += problems
            answer = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
            return web.json_response(answer, status=400)
        event = json.loads(body)
        self.events.append(event)
        key = (event["routing_key"], event["dedup_key"])
        if event["event_action"] == "trigger":
            if self.state.get(key, "resolved") == "resolved":
                self.state[key] = "triggered"
        elif key in self.state:  # else dropped silently, as PagerDuty does
            self.state[key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[event["event_action"]]
        answer = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return web.json_response(answer, status=202)
