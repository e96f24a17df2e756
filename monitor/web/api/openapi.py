"""The OpenAPI document: what there is at which address, what may be sent, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

from monitor import __version__
from monitor.common.notification import Reason, State
from monitor.common.severity import SEVERITIES
from monitor.domain.model import Confidence, Resolution
from monitor.runbook.book import Order
from monitor.runbook.progress import TaskState
from monitor.web.api.documents import BODIES, BulkBody, NoteBody, SilenceRuleBody
from monitor.web.console.asking import needed_role
from monitor.web.console.noise import DAYS, SORTS
from monitor.web.console.query import CHOICES, TEXTS

__all__ = ["LONGEST_LIST", "document"]

LONGEST_LIST = 500  # rows

_Schema = dict[str, Any]
_TEXT: _Schema = {"type": "string"}
_TIME: _Schema = {"type": "string", "format": "date-time"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_NUMBER: _Schema = {"type": "number"}
_TEXTS: _Schema = {"type": "object", "additionalProperties": _TEXT}


def _or_null(schema: _Schema) -> _Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(values: Sequence[str]) -> _Schema:
    return {"type": "string", "enum": [*values]}


def _array(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


def _object(some: Mapping[str, _Schema], optional: Mapping[str, _Schema] | None = None) -> _Schema:
    """With all of `some`, and nothing beside these."""
    properties = {**some, **(optional or {})}
    return {"type": "object", "properties": properties, "required": [*some], "additionalProperties": False}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_PLACE = _object(
    {"source": _TEXT, "path": _TEXT, "offset": _or_null({"type": "integer"}), "line": _or_null({"type": "integer"})}
    | dict.fromkeys(("time", "logged_at"), _or_null(_TIME))
    | dict.fromkeys(("host", "service", "context", "url"), _or_null(_TEXT))
)
_RUN = _object(
    {"book": _TEXT, "order": _or_null(_one_of(get_args(Order))), "done": _COUNT, "total": _COUNT}
    | {"step": _or_null(_TEXT), "title": _TEXT, "deadline": _or_null(_TIME), "overdue": {"type": "boolean"}}
    | {"owner": _or_null(_TEXT), "claim": _or_null(_TEXT)}
)
_RECORD: dict[str, _Schema] = {
    **dict.fromkeys(("id", "fingerprint", "rule", "name", "note", "masked", "first_step", "acknowledge"), _TEXT),
    "severity": _one_of(SEVERITIES),
    "state": _one_of(get_args(State)),
    "resolution": _or_null(_one_of(get_args(Resolution))),
    "confidence": _one_of(get_args(Confidence)),
    **dict.fromkeys(("first_seen", "last_seen"), _TIME),
    **dict.fromkeys(("first_logged", "asked_at"), _or_null(_TIME)),
    "occurrences": _COUNT,
    "locations": _array(_ref("Place")),
    **dict.fromkeys(("actor", "owner", "runbook", "url", "validity"), _or_null(_TEXT)),
    "run": _or_null(_ref("Run")),
    "labels": _TEXTS,
    "verdict": _TEXT,
    "verified": _TEXTS,
}
_STEP = _object(
    {"id": _TEXT, "title": _TEXT, "state": _one_of(get_args(TaskState)), "owner": _or_null(_TEXT)}
    | {"since": _TIME, "deadline": _TIME, "note": _TEXT}
)
_EVENT = _object(
    {"time": _TIME, "actor": _TEXT, "action": _TEXT, "state": _one_of(get_args(State)), "note": _TEXT}
    | {"resolution": _or_null(_one_of(get_args(Resolution))), "step": _or_null(_TEXT)}
)
_INCIDENT = _object(
    _RECORD
    | {"drill": {"type": "boolean"}, "merged_into": _or_null(_TEXT)}
    | dict.fromkeys(("silenced_until", "suppressed_until"), _or_null(_TIME)),
    {"steps": _array(_ref("Step")), "history": _array(_ref("Event")), "history_total": _COUNT},
)
_LOSS = _object(
    {"reason": _TEXT, "place": _TEXT, "unit": _TEXT, "count": _COUNT, "unknown": _COUNT}
    | {"first": _TIME, "last": _TIME, "untold": _or_null(_COUNT)}
)
_SOURCE = _object(
    {"name": _TEXT, "type": _TEXT, "state": _TEXT, "position": _or_null(_TEXT), "problems": _TEXTS}
    | dict.fromkeys(("behind_bytes", "bytes", "bytes_per_second", "restarts", "malformed"), _or_null(_COUNT))
    | {"lag_seconds": _or_null(_NUMBER), "lost": _array(_ref("Loss"))}
    | dict.fromkeys(("last_success", "read_up_to"), _or_null(_TIME))
)
_SINK = _object(
    {"name": _TEXT, "type": _TEXT, "state": _TEXT, "pending": _COUNT, "leased": _COUNT, "dead": _COUNT}
    | dict.fromkeys(("sent", "failed"), _or_null(_COUNT))
    | {"last_success": _or_null(_TIME), "last_error": _or_null(_TEXT)}
)
_SILENCE = _object(
    {"matchers": _array(_TEXT), "reason": _TEXT, "starts": _or_null(_TIME), "ends": _or_null(_TIME)}
    | {"severity": _or_null(_one_of(SEVERITIES))}
    | dict.fromkeys(("id", "incident", "by", "ended_by", "ended_why"), _or_null(_TEXT))
)
_NOTIFICATION = _object(
    {"id": _TEXT, "sink": _TEXT, "state": _one_of(("pending", "leased", "sent", "dead")), "attempts": _COUNT}
    | {"reason": _one_of(get_args(Reason)), "severity": _one_of(SEVERITIES), "incidents": _array(_TEXT)}
    | {"title": _TEXT, "created_at": _TIME, "error": _or_null(_TEXT)}
    | dict.fromkeys(("next_at", "finished_at"), _or_null(_TIME))
)
_NOISE = _object(
    {"rule": _TEXT, "name": _TEXT}
    | dict.fromkeys(("alerts", "incidents", "unresolved", "resolved", "no_secret", "sightings"), _COUNT)
    | {"looks": _or_null(_COUNT), "seconds": _or_null(_NUMBER), "silences": _array(_ref("Silence"))}
)
_SCHEMAS: dict[str, _Schema] = {
    "Record": _object(_RECORD),
    "Incident": _INCIDENT,
    "Place": _PLACE,
    "Run": _RUN,
    "Step": _STEP,
    "Event": _EVENT,
    "Source": _SOURCE,
    "Loss": _LOSS,
    "Sink": _SINK,
    "Silence": _SILENCE,
    "Noise": _NOISE,
    "Notification": _NOTIFICATION,
    "Outcome": _object({"incident": _TEXT, "outcome": _TEXT}),
    "Ended": _object({"silence": _TEXT, "outcome": _TEXT}),
    "Tried": _object({"sink": _TEXT, "outcome": _TEXT}),
    "Bulk": _object(
        {"verb": _TEXT, **dict.fromkeys(("total", "done", "left", "overtaken"), _COUNT)}
        | {"refused": {"type": "object", "additionalProperties": _COUNT}}
    ),
    "Delivery": _object({"notification": _TEXT, "outcome": _TEXT}),
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT}, {"expected": _COUNT}
    ),
}

_READ_ERRORS = (400, 401, 403, 404, 405, 421, 500, 503)
_CHANGE_ERRORS = (*_READ_ERRORS, 408, 409, 413, 415, 422)


def _answers(schema: _Schema, errors: Sequence[int], content: str = "application/json") -> _Schema:
    made = {"description": "It is so.", "content": {content: {"schema": schema}}}
    return {"200": made} | {str(status): {"$ref": "#/components/responses/Problem"} for status in errors}


def _asked(name: str, schema: _Schema, description: str = "") -> _Schema:
    return {"name": name, "in": "query", "schema": schema} | ({"description": description} if description else {})


_PAGE = [
    _asked("limit", {"type": "integer", "minimum": 1, "maximum": LONGEST_LIST, "default": 50}),
    _asked("after", _TEXT, "`next` of the page before."),
]
_STREAM = """Server-sent events, for five minutes at most: how many are unresolved by severity, and how far the trail
is (`revision`); another revision says that something has changed."""
_NAME = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_FILTERS = [
    *(_asked(name, _one_of(values) | {"default": values[0]}) for name, values in CHOICES.items()),
    *(_asked(name, {"type": "string", "maxLength": 200}, text) for name, text in TEXTS.items()),
]


def _read(
    id_: str,
    summary: str,
    schema: _Schema,
    parameters: Sequence[_Schema] = (),
    content: str = "application/json",
) -> _Schema:
    answers = _answers(schema, _READ_ERRORS, content)
    return {"get": {"operationId": id_, "summary": summary, "parameters": [*parameters], "responses": answers}}


def _list(
    what: str, row: str, summary: str, parameters: Sequence[_Schema] = (), more: Mapping[str, _Schema] | None = None
) -> _Schema:
    page = _object({what: _array(_ref(row)), "total": _COUNT, "next": _or_null(_TEXT), **(more or {})})
    return _read(f"list_{what}", summary, page, [*parameters, *_PAGE])


def _change(id_: str, summary: str, body: type[NoteBody], answer: str, about: Sequence[_Schema] = (_ID,)) -> _Schema:
    schema = body.model_json_schema(by_alias=True)
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}}
    needed = any("default" not in one for one in schema["properties"].values())
    return {
        "post": {
            "operationId": id_,
            "summary": summary,
            "security": [{"token": []}],
            "parameters": [*about, key],
            "requestBody": {"required": needed, "content": {"application/json": {"schema": schema}}},
            "responses": _answers(_ref(answer), _CHANGE_ERRORS),
        }
    }


_COMPONENTS: _Schema = {
    "schemas": _SCHEMAS,
    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    "responses": {
        "Problem": {
            "description": "It is not so; `detail` says what to do next.",
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }
    },
}
_INCLUDE = _asked("include", _TEXT, "`steps`, `history` (of which the newest 1,000), with a comma between them.")


@cache
def document() -> Mapping[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "exposure monitor",
            "version": __version__,
            "description": "What the pages do. All is masked.",
        },
        "security": [{"token": []}, {}],
        "paths": {
            "/api/v1/openapi.json": _read("openapi", "This document.", {"type": "object"}),
            "/api/v1/incidents": _list("incidents", "Record", "Incidents, as the list's page.", _FILTERS),
            "/api/v1/incidents/bulk": _change(
                "bulk",
                "Many at once; the same key again says how far it is. `expected` of a 409: how many it would be.",
                BulkBody,
                "Bulk",
                (),
            ),
            "/api/v1/incidents/{id}": _read("incident", "One incident.", _ref("Incident"), [_ID, _INCLUDE]),
            **{
                f"/api/v1/incidents/{{id}}/{verb}": _change(
                    verb, f"For a token of a {needed_role(verb)}.", body, "Outcome"
                )
                for verb, body in BODIES.items()
            },
            "/api/v1/events": _read("events", _STREAM, _TEXT, content="text/event-stream"),
            "/api/v1/sources": _list("sources", "Source", "Sources: how far each is, and what it lost."),
            "/api/v1/sinks": _list("sinks", "Sink", "Sinks: what each takes, and what waits for it."),
            "/api/v1/sinks/{name}/test": _change("test", "Send it a test.", NoteBody, "Tried", (_NAME,)),
            "/api/v1/silences": _list("silences", "Silence", "Silences that are not over, and rules that are lowered.")
            | _change("add_silence", "Alert nobody to what matches, or lower a rule.", SilenceRuleBody, "Silence", ()),
            "/api/v1/silences/{id}/end": _change("end_silence", "It holds nothing back any more.", NoteBody, "Ended"),
            "/api/v1/noise": _list(
                "noise",
                "Noise",
                "Rules: alerts, incidents first seen within so many days, cost since the start.",
                [
                    _asked("days", {"type": "integer", "enum": [*DAYS], "default": DAYS[0]}),
                    _asked("sort", _one_of([*SORTS]), "The most first."),
                ],
                {"counted_at": _TIME},
            ),
            "/api/v1/outbox": _list(
                "outbox",
                "Notification",
                "What waits, and what was refused.",
                [_asked("state", _one_of(("pending", "leased", "dead"))), _asked("sink", _TEXT)],
            ),
            "/api/v1/outbox/{id}/retry": _change("retry", "Try it at once.", NoteBody, "Delivery"),
            "/api/v1/outbox/{id}/discard": _change("discard", "Forget it, unsent.", NoteBody, "Delivery"),
        },
        "components": _COMPONENTS,
    }
