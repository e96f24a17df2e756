"""The words of the design as small frozen data. Types at each stage differ by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from detectors.rules.rule import Confidence
from monitor.common.severity import Severity

__all__ = [
    "CANARY",
    "Alert",
    "Block",
    "Confidence",
    "Finding",
    "KnownAlert",
    "OwnedSecret",
    "Position",
    "Predecessor",
    "Print",
    "Resolution",
    "SecretVersion",
    "Standing",
    "WriteBack",
]

Resolution = Literal["revoked", "false_positive", "wont_fix", "used_in_tests"]

Standing = Literal["current", "previous", "retired"]  # of a value of a secret of our own

CANARY = "canary"  # the rule of a canary's alarm: no issuer is asked about one, and no action takes it back unasked


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The file that another one goes on from, and where it ends: what lies before the beginning of that one."""

    path: str
    generation: str
    end: int
    before: Predecessor | None = None  # its own

    def place(self, offset: int) -> tuple[str, str, int]:
        """Path, generation and offset in that of an offset in this file, which below 0 lies in the one before."""
        if offset >= 0 or self.before is None:
            return self.path, self.generation, offset
        return self.before.place(self.before.end + offset)


@dataclass(frozen=True, slots=True)
class Block:
    """A run of bytes with its provenance. `data` may be a view on a reused buffer: valid until the next block is taken.

    Only matches that end in `fresh < end <= limit` count: bytes before `fresh` are context that an earlier block has
    settled, bytes after `limit` are settled by the next block. So every match is reported by exactly one block, but for
    those that need a companion (`Rule.awaits`): they may be told again, as the same finding.
    """

    source: str
    path: str
    generation: str  # one life of one file (or stream): changes when its content starts anew
    offset: int  # absolute position of data[0]
    data: bytes | bytearray | memoryview
    time: float  # seconds since the epoch when it was read
    fresh: int = 0
    limit: int | None = None  # None: len(data)
    line: int | None = None  # line number (from 1) of data[0] when known
    column: int | None = None  # of data[0] in that line, in characters (from 1), when known
    # Absolute offset → its line number, counted only when a finding asks for it; valid until the next block is taken.
    line_at: Callable[[int], int | None] | None = None
    # Place in `data` → absolute offset, where one does not simply follow from the other.
    offset_at: Callable[[int], int] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)  # journal unit, MQTT topic, syslog host, …
    # Absolute offset → what more is known of that place, asked only when a finding is there (a step of a job).
    attributes_at: Callable[[int], Mapping[str, str]] | None = None
    logged_at: float | None = None  # when it was written, where its source knows
    url: str | None = None  # where a person can read it
    # Where in `data` each of the records begins that the block was made of, and that record: there its matches lie, and
    # none reaches from one into the next. Empty: the block is one text.
    parts: Sequence[tuple[int, Block]] = ()
    predecessor: Predecessor | None = None  # in which all absolute offsets below 0 lie
    # Where in `data` an open line of the predecessor ends. Perhaps it does not go on behind it: what is found on either
    # side alone counts, too, unless something that was found in the whole covers it.
    seam: int = 0
    head: bytes = field(default=b"", repr=False)  # first line of the stream, if it stands before `data`
    # Absolute offsets from and up to which it settles, where `data` are not the stream's own bytes but unwrapped.
    raw: tuple[int, int] | None = None

    def place(self, offset: int) -> tuple[str, str, int]:
        """Path, generation and offset in that of an absolute offset."""
        return Predecessor(self.path, self.generation, 0, self.predecessor).place(offset)

    @property
    def end(self) -> int:
        """Place in `data` up to which it settles."""
        return len(self.data) if self.limit is None else self.limit

    @property
    def span(self) -> tuple[int, int]:
        """Offsets in the stream from and up to which it settles. What lies in a predecessor is of another stream."""
        start, end = self.raw or (self.offset + self.fresh, self.offset + self.end)
        return max(0, start), max(0, end)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has come; committed with the findings up to there. `state` is the source's own JSON object.

    `state=None` deletes the position (a file that is gone and drained).
    """

    source: str
    key: str
    state: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One occurrence of one secret at one place. Has no field that could hold the secret."""

    id: str  # hex, from generation, absolute offset, rule and fingerprint: a replay gives the same id
    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    fingerprint: str
    masked: str
    source: str
    path: str
    generation: str
    offset: int
    time: float
    line: int | None = None
    column: int | None = None
    decode: tuple[str, ...] = ()  # chain of decoders, outermost first
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str | None = None  # name of the runbook, from the rule
    url: str | None = None
    service: str | None = None
    logged_at: float | None = None  # what the record itself says; `time` is when it was read
    context: str | None = None  # the line around it, masked


@dataclass(frozen=True, slots=True)
class OwnedSecret:
    """Whose secret a fingerprint is of."""

    fingerprint: str
    entry: str
    name: str
    part: str
    environment: str
    owner: str
    consumers: tuple[str, ...]
    tags: tuple[str, ...]
    standing: Standing


@dataclass(frozen=True, slots=True)
class Alert:
    """Another system's alert about one secret, as it stands there now. Has no field that could hold the secret.

    Its findings have its `id` as their `generation`. Times are that system's, in seconds since the epoch.
    """

    id: str  # "github.com/acme/web#42": one row in the store
    system: str  # what people call it, such as "GitHub": who speaks in the history of an incident
    source: str
    url: str
    fingerprint: str  # of the value; of the alert's id while the value is not known
    provisional: bool  # the value is not known
    severity: Severity
    state: Literal["open", "resolved"]
    created: float
    updated: float
    resolution: Resolution | None = None  # set exactly when resolved
    resolved: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False  # old: opens without a notification of its own
    base: Severity = "high"  # of the secret itself, before what the other system knows of it
    read: float = 0.0  # when it was read, by the other system's clock


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """What the store knows of an alert, and how its incident is shown. Spares asking for the value again."""

    fingerprint: str
    provisional: bool
    updated: float
    incident: str = ""
    base: Severity = "high"
    rule: str = ""
    name: str = ""
    masked: str = ""
    confidence: Confidence = "high"
    runbook: str | None = None
    read: float = 0.0


@dataclass(frozen=True, slots=True)
class WriteBack:
    """An alert that is still open where it came from although its incident is resolved as revoked."""

    alert: str
    incident: str


@dataclass(frozen=True, slots=True)
class Print:
    """A value, or the part of one that is secret, as it is kept: its keyed fingerprint, and what it is made of."""

    fingerprint: str
    part: str
    length: int
    alphabet: str


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of one secret as a manager gave it. `mark`: what tells it from other versions; `digest`: keyed.

    `refused`: why its value is not enrolled; `unread`: the manager does not give it; `sole`: any value before it is
    refused by its issuer. Times: seconds since 1970.
    """

    name: str
    mark: str
    version: str = ""
    standing: Standing = "current"
    created: float | None = None
    rotated: float | None = None
    expires: float | None = None
    environment: str = ""
    owner: str = ""
    consumers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    digest: str = ""
    refused: str = ""
    unread: bool = False
    prints: tuple[Print, ...] = ()
    sole: bool = False
