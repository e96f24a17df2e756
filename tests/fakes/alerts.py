"""An intake in memory: what the store does for a source of alerts, as simply as it can be said."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from detectors.rules.rule import Rule
from monitor.common.inbound import HookDelivery
from monitor.common.scheduler import Scheduler
from monitor.domain.model import Alert, Block, Finding, KnownAlert, Position, WriteBack
from monitor.intake.protocol import Behind, RequestQuota, ScanError


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class MemoryIntake:
    """Everything handed over, to be looked at. `crash_after` raises KilledError instead of one commit more."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.findings: dict[str, Finding] = {}
        self.saved: dict[str, Mapping[str, Any]] = {}
        self.queue: dict[str, HookDelivery] = {}
        self.handled: set[str] = set()
        self.summaries: list[tuple[str, int]] = []
        self.summarised: set[str] = set()
        self.writes: list[WriteBack] = []
        self.problems: dict[str, str] = {}
        self.malformed_counts: Counter[str] = Counter()
        self.lost: list[tuple[str, int, str]] = []
        self.blocks: list[tuple[str, bytes]] = []
        self.links: dict[str, str | None] = {}  # of blocks, by path
        self.known_rules: dict[str, Rule] = {}
        self.broken: bytes | None = None  # texts with this break the engine
        self.identifies: Callable[[bytes], Sequence[Finding]] = lambda text: []
        self.notices: list[tuple[str, str, tuple[str, ...]]] = []
        self.notes: list[tuple[str, str]] = []
        self.incidents: dict[str, str] = {}  # alert → incident
        self.commits = 0
        self.every = Scheduler().every
        self.crash_after: int | None = None

    def _commit(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        if self.crash_after is not None:
            if self.crash_after <= 0:
                raise KilledError
            self.crash_after -= 1
        self.commits += 1
        fresh = [finding for finding in findings if self.findings.setdefault(finding.id, finding) is finding]
        for position in positions:
            if position.state is None:
                self.saved.pop(position.key, None)
            else:
                self.saved[position.key] = position.state
        return len(fresh)

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        for block in blocks:
            self._engine(bytes(block.data))
            self.blocks.append((block.path, bytes(block.data)))
            self.links[block.path] = block.url
        return self._commit([], positions())

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        return self._commit(findings, positions)

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        return self.saved

    def backlog(self, tell: Callable[[], Sequence[Behind]]) -> None:
        self.behind = tell

    def quotas(self, tell: Callable[[], Sequence[RequestQuota]]) -> None:
        self.asked = tell

    def missed(self, reason: str, count: int, path: str = "", unit: str = "bytes") -> None:
        self.lost.append((reason, count, path))

    def degraded(self, what: str, message: str | None) -> None:
        if message is None:
            self.problems.pop(what, None)
        else:
            self.problems[what] = message

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
        count = self._commit(findings, positions)
        for alert in alerts:
            before = self.alerts.get(alert.id)
            if before is None or alert.updated >= before.updated:
                self.alerts[alert.id] = alert
        self.handled.update(handled)
        for delivery in again:
            if delivery.id not in self.handled:
                self.queue.setdefault(delivery.id, delivery)
        for name in self.handled:
            self.queue.pop(name, None)
        quiet = {alert.id for alert in self.alerts.values() if alert.quiet} - self.summarised
        if summary is not None and quiet:
            self.summaries.append((summary, len(quiet)))
            self.summarised |= quiet
        return count

    async def known_alerts(self, ids: Iterable[str]) -> Mapping[str, KnownAlert]:
        shown = {finding.generation: finding for finding in reversed(self.findings.values())}
        return {
            name: KnownAlert(
                alert.fingerprint, alert.provisional, alert.updated, self.incidents.get(name, ""), alert.base,
                shown[name].rule, shown[name].name, shown[name].masked, shown[name].confidence, shown[name].runbook,
                alert.read,
            )
            for name in ids
            if (alert := self.alerts.get(name)) is not None
        }  # fmt: skip

    async def notify(
        self, title: str, text: str, positions: Iterable[Position], *, incidents: Sequence[str] = ()
    ) -> None:
        self._commit([], positions)
        if title:
            self.notices.append((title, text, tuple(incidents)))

    async def note(self, incident: str, text: str, *, actor: str) -> None:
        if (incident, text) not in self.notes:
            self.notes.append((incident, text))

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        return [delivery for delivery in self.queue.values() if delivery.due <= time.time()][:limit]

    async def postpone(self, delivery: str, seconds: float) -> None:
        one = self.queue[delivery]
        due = time.time() + seconds
        self.queue[delivery] = HookDelivery(one.id, one.source, one.event, one.repo, one.number, due, one.attempts + 1)

    async def write_backs(self, limit: int = 50) -> Sequence[WriteBack]:
        return [write for write in self.writes if self.alerts[write.alert].state == "open"][:limit]

    def _engine(self, text: bytes) -> None:
        if self.broken is not None and self.broken in text:
            raise ScanError("engine failed", 0, len(text))

    async def identify(self, text: bytes) -> Sequence[Finding]:
        self._engine(text)
        return self.identifies(text)

    def rule(self, id: str) -> Rule | None:
        return self.known_rules.get(id)

    def malformed(self, what: str) -> None:
        self.malformed_counts[what] += 1
