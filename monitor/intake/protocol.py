"""What a source sees of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from detectors.rules.rule import Rule
from monitor.common.inbound import HookDelivery
from monitor.domain.model import Alert, Block, Finding, KnownAlert, Position, WriteBack

__all__ = ["AlertIntake", "Behind", "Intake", "RequestQuota", "ScanError"]


class ScanError(Exception):
    """The engine failed on a block that settles these bytes (offsets in the stream, which is one `generation`). Names
    the place, shows no content."""

    def __init__(self, message: str, start: int, end: int, generation: str = "") -> None:
        super().__init__(message)
        self.start, self.end, self.generation = start, end, generation


@dataclass(frozen=True, slots=True)
class Behind:
    """One place with something unread: how many bytes, and for how many seconds there may have been any."""

    place: str
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestQuota:
    """What another system still answers of one kind of question: `remaining` of `limit`, all of it again in so many
    seconds."""

    resource: str
    limit: int
    remaining: int
    seconds: float


class Intake(Protocol):
    """What the daemon hands to a source. Safe to call from many tasks of one source at once."""

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        """Pull `blocks` in a worker thread (so the iterator may read the disk), scan them, then commit findings and
        `positions()` in one transaction. Returns the number of findings once that is safe to acknowledge.
        Raises ScanError with nothing committed, and whatever the iterator raises.

        `positions` is called after the last block was taken, which with thousands of findings is not the iterator's
        last. Waits (back-pressure) while the store cannot write.
        Even when cancelled it returns only after the iterator is closed, so that files may be closed afterwards.
        """

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        """Commit ready-made findings (alerts of another system) with their positions."""

    @property
    def present(self) -> Mapping[str, tuple[int, int]] | None:
        """What the class of the source told when the monitor started, before its rules were compiled: path → inode and
        size. None for a source that was added later."""

    @property
    def handles(self) -> dict[tuple[int, int], int]:
        """Descriptors that outlive a source, by device and inode: files that were open when it was stopped for another
        configuration, for the source that takes its place, as they may be deleted before it opens them. Of sockets of
        datagrams by what `Drops` knows and inode: they go on to listen meanwhile."""

    async def started(self) -> None:
        """What was recorded so far is durable when this returns, and what is written from now on will be read. For
        sources whose class can tell what is `present`: the monitor is not ready before."""

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        """The saved positions of this source: key → state."""

    def backlog(self, tell: Callable[[], Sequence[Behind]]) -> None:
        """`tell` says what is there and not read yet; asked when somebody looks."""

    def quotas(self, tell: Callable[[], Sequence[RequestQuota]]) -> None:
        """`tell` says how much it may still ask; asked when somebody looks."""

    def missed(self, reason: str, count: int, path: str = "", unit: str = "bytes") -> None:
        """Enter what was lost into the ledger (`bytes_missed_total{reason}`) and raise an operational alert. `count` 0:
        nobody can know how many, if any.

        `unit`: of `count`, where nobody can know the bytes (journal records, datagrams); always the same for a reason.
        """

    def degraded(self, what: str, message: str | None) -> None:
        """Say that part `what` of the source cannot work (message), or works again (None)."""

    async def every(
        self, seconds: float, work: Callable[[], Awaitable[object]], *, wake: asyncio.Event | None = None
    ) -> NoReturn:
        """Come round by the daemon's schedule (common/scheduler.py), for as long as the source runs."""

    def malformed(self, what: str) -> None:
        """Count what was sent to us and could not be used; `what` names the kind, never the content."""


class AlertIntake(Intake, Protocol):
    """What the daemon hands to a source of ready-made alerts."""

    async def record_alerts(
        self,
        alerts: Sequence[Alert],
        findings: Iterable[Finding],
        positions: Iterable[Position],
        *,
        handled: Iterable[str] = (),
        again: Iterable[HookDelivery] = (),
        summary: str | None = None,
    ) -> int:
        """Commit alerts with their findings and positions, the deliveries they answer, and work to do `again`, in one
        transaction. `summary`: its title; tell once, in one notification, of all alerts that opened quietly so far.
        """

    async def notify(
        self, title: str, text: str, positions: Iterable[Position], *, incidents: Sequence[str] = ()
    ) -> None:
        """Commit a notification of medium severity, which goes where routes send that, with the positions that say
        that it was sent; without a title only those."""

    async def note(self, incident: str, text: str, *, actor: str) -> None:
        """Into the history of an incident, unless it stands there."""

    async def known_alerts(self, ids: Iterable[str]) -> Mapping[str, KnownAlert]:
        """Those of `ids` that the store has."""

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        """Hook deliveries of this source that are due, oldest first."""

    async def postpone(self, delivery: str, seconds: float) -> None:
        """Try a delivery again later."""

    async def write_backs(self, limit: int = 50) -> Sequence[WriteBack]:
        """Alerts of this source to resolve where they came from."""

    async def identify(self, text: bytes) -> Sequence[Finding]:
        """What the rules find in a text. Nothing is stored; places in the findings mean nothing."""

    def rule(self, id: str) -> Rule | None:
        """A rule in use."""
