"""PagerDuty's Events API v2 with its documented limits, and the incidents that would come of the events."""

from __future__ import annotations

import json
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


class FakePagerDuty(FakeServer):
    """`state`: (routing key, dedup key) → triggered, acknowledged, resolved; `events` in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.state: dict[tuple[str, str], str] = {}

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
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
