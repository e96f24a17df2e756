"""What a sink receives, what it answers, and how it fails. Nothing here can hold a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "Action",
    "Credential",
    "CredentialError",
    "Incident",
    "Location",
    "Notification",
    "Reason",
    "Receipt",
    "Severity",
    "Sink",
    "SinkConfig",
    "SinkError",
    "resolve",
]

Severity = Literal["critical", "high", "medium", "low", "info"]
State = Literal["open", "acknowledged", "resolved"]
Reason = Literal[
    "new",  # first notification of an incident
    "update",  # known incident, seen again (grouped by group_interval)
    "repeat",  # nothing new, still open, repeat_interval elapsed
    "escalated",  # severity went up
    "reopened",  # seen again after it was resolved as revoked
    "acknowledged",
    "resolved",
    "digest",  # several new incidents folded into one (burst limit)
    "operational",  # about the monitor itself: disk full, bad rule file, bytes missed
    "test",  # `monitor sinks test`
]
Action = Literal["trigger", "acknowledge", "resolve"]
Receipt = Mapping[str, str]  # what the sink answered and needs for an update: Slack channel and ts, PagerDuty dedup_key


@dataclass(frozen=True, slots=True)
class Location:
    """One place the secret was seen. `offset` in bytes from the start of the file, `line` from 1 when known."""

    source: str
    path: str
    offset: int | None = None
    line: int | None = None
    time: datetime | None = None
    url: str | None = None  # a link to the place (GitHub); never carries credentials


@dataclass(frozen=True, slots=True)
class Incident:
    """An exposed secret as a sink may show it: fingerprint and masked preview, never the value."""

    id: str
    fingerprint: str
    rule: str
    name: str
    severity: Severity
    state: State
    masked: str
    first_seen: datetime
    last_seen: datetime
    occurrences: int
    locations: tuple[Location, ...] = ()  # newest first; bounded by the store, `occurrences` is the total
    owner: str | None = None
    first_step: str = ""  # what to do first, one sentence
    runbook: str | None = None  # link to the runbook page
    url: str | None = None  # link to the incident in the console
    labels: Mapping[str, str] = field(default_factory=dict)  # public facts: JWT role, AWS account id, …


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one sink. `id` stays the same over retries; `key` stays the same over the life of the group.

    `incidents` is empty for reasons `operational` and `test`; `title` and `text` then say what happened.
    `receipt` is what this sink answered last time for this `key`, for threads and updates.
    """

    id: str
    key: str
    reason: Reason
    incidents: tuple[Incident, ...] = ()
    url: str | None = None
    runbook: str | None = None
    title: str = ""
    text: str = ""
    severity: Severity = "info"  # the highest of its incidents, or that of the operational event
    receipt: Receipt | None = None
    version: int = 1

    @property
    def action(self) -> Action:
        """PagerDuty's view: resolve when every incident is resolved, acknowledge when none is open any more."""
        states = {incident.state for incident in self.incidents}
        if states == {"resolved"}:
            return "resolve"
        if states and "open" not in states:
            return "acknowledge"
        return "trigger"


class SinkError(Exception):
    """A send that failed. `retry`: try again later; `after`: not before so many seconds (Retry-After).

    The message is safe to log and store: no URL, no header, no body of ours.
    """

    def __init__(self, message: str, *, retry: bool, after: float | None = None) -> None:
        super().__init__(message)
        self.retry = retry
        self.after = after


class CredentialError(Exception):
    """A credential reference that cannot be resolved. Names the reference, never a value."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A reference to a secret: `env:NAME`, `file:PATH` or `credential:NAME` (systemd's $CREDENTIALS_DIRECTORY).

    Resolved on use, so that a rotated file is picked up; the value is never stored on the object.
    """

    reference: str
    SCHEMES: ClassVar[tuple[str, ...]] = ("env", "file", "credential")

    def __post_init__(self) -> None:
        scheme, _, name = self.reference.partition(":")
        if scheme not in self.SCHEMES or not name:
            # ValueError so that pydantic reports it under the key's path; the literal itself is never shown.
            raise ValueError("must be a reference (env:NAME, file:PATH or credential:NAME), not the value itself")

    def resolve(self) -> str:
        """The value, without surrounding white space. Raises CredentialError."""
        scheme, _, name = self.reference.partition(":")
        if scheme == "env":
            value = os.environ.get(name, "")
            if not value.strip():
                raise CredentialError(f"environment variable {name} is not set")
            return value.strip()
        if scheme == "credential":
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise CredentialError(
                    f"{self.reference}: $CREDENTIALS_DIRECTORY is not set; "
                    f"run under systemd with LoadCredential={name}:PATH, or use file:PATH"
                )
            path = Path(folder) / name
        else:
            path = Path(name)
        try:
            value = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CredentialError(f"{self.reference}: {error.strerror or type(error).__name__}") from None
        except UnicodeDecodeError:
            raise CredentialError(f"{self.reference}: not UTF-8 text") from None
        if not value:
            raise CredentialError(f"{self.reference}: empty")
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parse(value: object) -> Credential:
            if isinstance(value, cls):
                return value
            if not isinstance(value, str):
                raise ValueError("must be a reference such as env:NAME, file:PATH or credential:NAME")
            return cls(value)

        return core_schema.no_info_plain_validator_function(parse)


class SinkConfig(BaseModel):
    """Keys every sink has; each sink's `Config` adds its own beside its code."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: str
    fallback: str | None = None  # name of the sink that takes what this one refuses for good


class Sink(Protocol):
    """Built as `Class(config: Class.Config, http: sinks.http.Http)`; the class carries its `Config`."""

    Config: ClassVar[type[SinkConfig]]

    async def send(self, notification: Notification) -> Receipt | None:
        """Deliver, or raise SinkError. Must be safe to repeat with the same notification id."""
        ...

    async def close(self) -> None: ...


def resolve(credential: Credential, key: str) -> str:
    """The value behind the configuration key `key`, for use in `send`. Raises SinkError, which does not show it.

    To be tried again: `monitor check` finds a wrong reference at the start, so later it is a rotation under way.
    """
    try:
        return credential.resolve()
    except CredentialError as error:
        raise SinkError(f"{key}: {error}", retry=True) from None
