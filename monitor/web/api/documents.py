"""What is sent and answered, as JSON: bodies, by what they ask for, and rows of lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.common import payload
from monitor.common.condition import sink_state, source_state
from monitor.common.inbound import Verb
from monitor.common.notification import IncidentView
from monitor.common.severity import Severity
from monitor.common.text import clean
from monitor.common.wording import stamp
from monitor.domain.model import Resolution
from monitor.report.silenced import rule_row
from monitor.runbook.book import Order
from monitor.runbook.progress import RunbookRun
from monitor.store.cases import IncidentCase
from monitor.store.records import AuditEntry, OutboxEntry
from monitor.web.console.noise import NoiseRow

__all__ = [
    "BODIES",
    "_MANY",
    "BulkBody",
    "NoteBody",
    "SilenceRuleBody",
    "fields",
    "incident",
    "noise",
    "notification",
    "sink",
    "source",
]

_MANY = 3000  # incidents: as many as a body of 64 KiB holds
_Note = Annotated[str, Field(max_length=4000, description="In the history; secrets in it are masked first.")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_Span = Annotated[str, Field(max_length=40, description='Such as "4h"; "0" ends it.', alias="for")]


class NoteBody(BaseModel):
    """All of them may have a note."""

    model_config = ConfigDict(extra="forbid", strict=True)
    note: _Note = ""


class RemarkBody(NoteBody):
    note: Annotated[_Note, Field(min_length=1)]


class ReopenBody(NoteBody):
    step: Annotated[_Name | None, Field(description="Take back this step of the run instead.")] = None


class ResolveBody(NoteBody):
    as_: Resolution = Field(alias="as")


class AssignBody(NoteBody):
    to: Annotated[str, Field(min_length=1, max_length=64)]


class SilenceBody(NoteBody):
    for_: _Span


class SuppressBody(NoteBody):
    for_: _Span
    as_: Literal["wont_fix", "false_positive", "used_in_tests"] = Field(default="wont_fix", alias="as")


class MergeBody(NoteBody):
    other: _Id
    into: Annotated[bool, Field(description="The other one stays.")] = False


class StartBody(NoteBody):
    book: Annotated[str | None, Field(pattern=r"^(?:[a-z0-9-]{1,64}/)?[a-z0-9-]{1,64}$")] = None
    order: Order | None = None


class StepBody(NoteBody):
    step: _Name


class ClaimBody(StepBody):
    over: Annotated[bool, Field(description="Take it over from who has it.")] = False


class RunBody(NoteBody):
    action: _Name


class BulkBody(NoteBody):
    """Of `verb`: `to` of assign, `for` of silence, `as` of resolve. Either `ids`, or `filter` and `expected`."""

    verb: Literal["ack", "assign", "silence", "resolve"]
    ids: Annotated[list[_Id] | None, Field(min_length=1, max_length=_MANY)] = None
    filter: Annotated[
        dict[str, str] | None,
        Field(description="Parameters of the list of incidents: all that it has and that this can be done to."),
    ] = None
    expected: Annotated[
        int | None, Field(ge=0, description="How many that is; where it is another number nothing is done.")
    ] = None
    to: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    for_: Annotated[str | None, Field(max_length=40, description='Such as "4h".', alias="for")] = None
    as_: Annotated[Resolution | None, Field(alias="as")] = None


class SilenceRuleBody(NoteBody):
    matchers: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=20)]
    for_: Annotated[str, Field(max_length=40, description='Such as "4h".', alias="for")]
    note: Annotated[_Note, Field(min_length=1)]
    severity: Annotated[
        Severity | None,
        Field(description="Alert, but open what comes of the one rule no worse than this; for a token of an admin."),
    ] = None


BODIES: Mapping[Verb, type[NoteBody]] = {
    "ack": NoteBody,
    "reopen": ReopenBody,
    "resolve": ResolveBody,
    "note": RemarkBody,
    "assign": AssignBody,
    "silence": SilenceBody,
    "suppress": SuppressBody,
    "merge": MergeBody,
    "start": StartBody,
    "claim": ClaimBody,
    "done": StepBody,
    "skip": StepBody,
    "run": RunBody,
}


def fields(body: type[NoteBody], sent: Mapping[str, Any]) -> dict[str, str]:
    """As a form of the page would say it. Raises ValueError, which repeats nothing of what was sent."""
    try:
        said = body.model_validate(sent).model_dump(by_alias=True, exclude_none=True)
    except ValidationError as error:
        raise ValueError("; ".join(_wrong(one, body) for one in error.errors(include_input=False))) from None
    if said.pop("into", False):
        said["way"] = "into"
    if "filter" in said:
        said["list"] = f"?{urlencode(said.pop('filter'))}"
    return {name: _field(value) for name, value in said.items() if value is not False}


def _field(value: object) -> str:
    return "1" if value is True else "\n".join(value) if isinstance(value, list) else str(value).strip()


def _wrong(error: Any, body: type[NoteBody]) -> str:
    known = [field.alias or name for name, field in body.model_fields.items()]
    if error["type"] == "extra_forbidden":
        return f"there is a member beside {', '.join(known)}"
    return f"{error['loc'][0]}: {error['msg']}"


def incident(shown: IncidentView, case: IncidentCase, *, steps: bool, history: bool) -> dict[str, Any]:
    """The record of the webhook's payload, and what is of the moment."""
    out = payload.record(shown) | {
        "drill": shown.drill,
        "merged_into": shown.merged,
        "silenced_until": stamp(case.silenced),
        "suppressed_until": stamp(case.suppressed.until) if case.suppressed else None,
    }
    if steps:
        out["steps"] = _steps(case.joined.runs.get(case.incident.id))
    if history:
        out["history"] = [_event(entry) for entry in case.trail]
        out["history_total"] = case.entries
    return out


def _steps(run: RunbookRun | None) -> list[dict[str, Any]]:
    return [
        {
            "id": task.id,
            "title": clean(task.title),
            "state": task.state,
            "owner": task.owner,
            "since": stamp(task.since),
            "deadline": stamp(task.deadline),
            "note": clean(task.note),
        }
        for task in (run.tasks if run else ())
    ]


def _event(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": stamp(entry.at, "milliseconds"),
        "actor": clean(entry.actor),
        "action": entry.action,
        "state": entry.state,
        "resolution": entry.resolution,
        "note": clean(entry.note),
        "step": entry.step or None,
    }


def notification(entry: OutboxEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "sink": clean(entry.sink),
        "state": entry.state,
        "reason": entry.reason,
        "severity": entry.severity,
        "incidents": list(entry.incidents),
        "title": clean(entry.title),
        "created_at": stamp(entry.created_at, "milliseconds"),
        "next_at": stamp(entry.next_at, "milliseconds") if entry.state == "pending" else None,
        "attempts": entry.attempts,
        "error": None if entry.error is None else clean(entry.error),
        "finished_at": stamp(entry.finished_at, "milliseconds"),
    }


def noise(row: NoiseRow) -> dict[str, Any]:
    counted = row.noise
    return {
        "rule": clean(counted.rule),
        "name": clean(counted.name),
        "alerts": counted.alerts,
        "incidents": counted.incidents,
        "unresolved": counted.unresolved,
        "resolved": counted.resolved,
        "no_secret": counted.harmless,
        "sightings": counted.sightings,
        "looks": row.looks,
        "seconds": row.seconds,
        "silences": [rule_row(one) for one in row.said],
    }


_OF_A_SOURCE = (
    *("name", "type", "position", "behind_bytes", "lag_seconds", "bytes", "bytes_per_second", "restarts", "malformed"),
    *("problems", "lost"),
)
_OF_A_SINK = ("name", "type", "pending", "leased", "dead", "sent", "failed", "last_error")


def source(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Of the document about the monitor; `now`: as it says."""
    lost = [dict(one) | {"first": stamp(one["first"]), "last": stamp(one["last"])} for one in row["lost"]]
    when = {"last_success": stamp(row["last_success"]), "read_up_to": stamp(row["read_up_to"])}
    return {name: row[name] for name in _OF_A_SOURCE} | when | {"state": source_state(row, now), "lost": lost}


def sink(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    when = {"last_success": stamp(row["last_success"])}
    return {name: row[name] for name in _OF_A_SINK} | when | {"state": sink_state(row, now)}
