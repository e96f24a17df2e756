"""What a site gives to a source: scans, commits, what it knows of before, and the ledger of what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from detectors.rules.rule import Rule
from monitor.access.reader import Reader
from monitor.access.reading import Reading
from monitor.common.inbound import HookDelivery
from monitor.common.outside import NAME, PATH, let_in
from monitor.common.scheduler import Scheduler
from monitor.domain.model import Alert, Block, Finding, KnownAlert, Position, WriteBack
from monitor.intake import ledger
from monitor.intake.encrypt_position import Sealer
from monitor.intake.ledger import Ledger, Loss
from monitor.intake.protocol import Behind, RequestQuota
from monitor.inventory.wrong_environment import elsewhere, placed
from monitor.scanning.scanner import Gap
from monitor.site import Site
from monitor.store import StoreError
from monitor.store.records import AlertBatch, Notice

__all__ = ["SourceIntake"]

log = structlog.get_logger(__name__)

_LINE = 1000  # characters of a line of what a source reports
_AT_ONCE = 4096  # findings of one transaction, which holds up all others
_REMEMBERED = 1000  # places of losses, as they may be shown
_TOGETHER = 1.0  # seconds in which parts of a source that have the same to say are gathered
_REST = 600.0  # seconds to the next try to tell of what was lost soon after the last notice


class _Watched:
    """Blocks on their way to the scanner; `logged_at`: when the last of them was written, where its source knows;
    `bytes`: that they settle. `reader`: what takes the audit records out of them, once there was one."""

    def __init__(self, blocks: Iterable[Block], reader: Callable[[], Reader] | None) -> None:
        self._blocks = iter(blocks)
        self._make_reader = reader
        self.reader: Reader | None = None
        self.logged_at: float | None = None
        self.bytes = 0

    def __iter__(self) -> Iterator[Block]:
        return self

    def __next__(self) -> Block:
        block = next(self._blocks)
        last = block.parts[-1][1] if block.parts else block
        self.logged_at = last.logged_at
        self.bytes += block.end - block.fresh
        if self._make_reader is not None:
            self.reader = self.reader or self._make_reader()  # here, as it belongs to the thread that scans
            self.reader.read(block)
        return block

    def close(self) -> None:
        if close := getattr(self._blocks, "close", None):
            close()


class SourceIntake:
    """What one source sees of its site (an AlertIntake)."""

    def __init__(
        self,
        site: Site,
        name: str,
        *,
        audit: str | None = None,
        environment: str = "",
        present: Mapping[str, tuple[int, int]] | None = None,
        handles: dict[tuple[int, int], int] | None = None,
        entries: Ledger | None = None,
        on_started: Callable[[], object] = lambda: None,
        schedule: Scheduler | None = None,
    ) -> None:
        """`audit`: the form of the audit records that the source reads (monitor.access.forms). `environment`: of who
        writes what it reads. `entries`: its ledger, when it ran before in this process."""
        self._site = site
        self._name = name
        self._audit = audit
        self._environment = environment
        self.present = present
        self.handles = {} if handles is None else handles
        self._on_started = on_started
        self.every = (schedule or Scheduler()).every
        self._changes: dict[str, str | None] = {}  # part → message, not told yet
        self._telling: asyncio.TimerHandle | None = None
        self._sealer = Sealer(site.scanner.key, site.scanner.redact)
        self._ledger = Ledger(name) if entries is None else entries
        self._places: dict[str, str] = {}  # of losses → without what these rules take for secrets
        self._rules: object = None
        self._said: dict[str, tuple[Loss, ...]] = {}  # reason → what the last notice says, which may be on its way
        self._too_soon: set[str] = set()  # reasons of losses that wait, as something like them was told not long ago
        self._telling_losses: asyncio.TimerHandle | None = None
        self._soon = False  # whether that is in a moment
        self._closed = False

    async def open(self) -> None:
        """Go on with the ledger of before. What is lost meanwhile is added to it."""
        if not self._ledger.restored:
            with contextlib.suppress(StoreError):
                self._ledger.restore(await self._site.store.positions.of(ledger.place(self._name)))
                await self._keep_losses()
        if self._ledger.untold():  # the process, or the source, ended before anybody had heard of it
            self._tell_losses_in(_TOGETHER)

    async def close(self) -> None:
        """Tell what is not told yet."""
        self._closed = True
        self.told()
        if self._telling_losses is not None:
            self._telling_losses.cancel()
            await self._tell_losses()

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        gaps: list[Gap] = []
        watched = _Watched(blocks, self._reader if self._audit else None)
        findings = await self._site.scanner.scan(watched, gaps)
        findings += elsewhere(findings, self._environment, self._site.scanner.key)
        findings = placed(findings, self._environment)
        count = 0
        for gap in gaps:
            self.missed(gap.reason, gap.bytes, gap.path)
        # A block may hold tens of thousands. Read again after a kill in between, they have the same ids.
        while len(findings) > _AT_ONCE:
            part, findings = findings[:_AT_ONCE], findings[_AT_ONCE:]
            await self._site.store.commit(part)
            count += len(part)
        readings = self._readings(watched.reader) if watched.reader else ()
        moved = [*self._sealer.seal(positions()), *self._ledger.changed()]
        await self._site.store.commit(findings, moved, readings=readings, source=self._name)
        self._kept()
        self._site.snapshot.read[self._name] += watched.bytes
        if watched.logged_at is not None:
            self._site.snapshot.lag[self._name] = max(0.0, time.time() - watched.logged_at)
        return count + len(findings)

    def _reader(self) -> Reader:
        assert self._audit is not None
        return Reader(self._audit, self._site.scanner.redactor())

    def _readings(self, reader: Reader) -> Sequence[Reading]:
        """What was read; and of what could not be, a word where it is all there is."""
        if reader.malformed:
            self._site.snapshot.malformed[self._name, "audit"] += reader.malformed
        if reader.understood:
            self.degraded("audit records", None)
        elif reader.malformed:
            self.degraded(
                "audit records", f'no line is an audit record of the form "{self._audit}"; set another `audit`'
            )
        return reader.readings

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        redactor = self._site.scanner.redactor()
        # They are about a fact, so that what they call masked is a text like any other.
        clean = [replace(redactor.finding(one), masked=let_in(one.masked, redactor, NAME)) for one in findings]
        new = await self._site.store.commit(clean, [*self._sealer.seal(positions), *self._ledger.changed()])
        self._kept()
        return new

    def _kept(self) -> None:
        self._site.snapshot.committed[self._name] = time.time()

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        return self._sealer.open(await self._site.store.positions.of(self._name))

    async def started(self) -> None:
        await self._site.store.flush()
        self._on_started()

    def backlog(self, tell: Callable[[], Sequence[Behind]]) -> None:
        self._site.snapshot.backlog[self._name] = tell

    def quotas(self, tell: Callable[[], Sequence[RequestQuota]]) -> None:
        self._site.snapshot.quotas[self._name] = tell

    def missed(self, reason: str, count: int, path: str = "", unit: str = "bytes") -> None:
        self._site.snapshot.missed[self._name, reason] += count
        self._site.snapshot.losses[self._name, reason] += 1
        self._ledger.enter(reason, count, self._redacted(path), unit, time.time())
        if not self._soon and reason not in self._too_soon:
            self._soon = True
            self._tell_losses_in(_TOGETHER)

    def _tell_losses_in(self, seconds: float) -> None:
        if self._telling_losses is not None:
            self._telling_losses.cancel()
        loop = asyncio.get_running_loop()
        self._telling_losses = loop.call_later(seconds, lambda: _in_background(self._tell_losses()))

    def _redacted(self, path: str) -> str:
        """The rules over each of a flood of losses would cost more than what is lost."""
        rules = self._site.scanner.engine
        if self._rules is not rules or len(self._places) >= _REMEMBERED:
            self._places.clear()
            self._rules = rules
        if path not in self._places:
            self._places[path] = let_in(path, self._site.scanner.redact, PATH)
        return self._places[path]

    async def _tell_losses(self) -> None:
        """One word for all of a second: there may be thousands. What is lost soon after it is in the next one."""
        self._soon = False
        self._too_soon.clear()
        for reason, lost in self._ledger.untold().items():
            if self._said.get(reason) == lost:
                continue
            title = f"Source {self._name} missed {lost[0].unit}"
            told = self._site.tell(title, self._words(lost), key=f"missed:{self._name}:{reason}")
            if told is None:
                self._too_soon.add(reason)
            else:
                self._said[reason] = lost
                told.add_done_callback(functools.partial(self._heard, lost))
        if self._too_soon and not self._closed:
            self._tell_losses_in(_REST)
        await self._keep_losses()

    def _words(self, lost: Sequence[Loss]) -> str:
        count = sum(loss.untold or 0 for loss in lost)
        amount = f"{count} {lost[0].unit}" if count else f"An unknown number of {lost[0].unit}"
        others = " and others" if len(lost) > 1 else ""
        place = lost[0].place or self._name
        return f"{amount} of {place}{others} ({lost[0].reason}). See docs/sources.md for what can be done."

    def _heard(self, lost: Sequence[Loss], _told: asyncio.Future[None]) -> None:
        self._ledger.told(lost)
        _in_background(self._keep_losses())

    async def _keep_losses(self) -> None:
        with contextlib.suppress(StoreError):  # closed: what is not in the ledger was told
            await self._site.store.commit((), self._ledger.changed())

    def degraded(self, what: str, message: str | None) -> None:
        message = message and self._site.scanner.redact(message)
        known = self._site.snapshot.degraded
        if known.get((self._name, what)) == message:
            return
        if message is None:
            del known[self._name, what]
        else:
            known[self._name, what] = message
        if not self._changes:
            self._telling = asyncio.get_running_loop().call_later(_TOGETHER, self.told)
        self._changes.pop(what, None)  # what has changed since is told as it is now
        self._changes[what] = message

    def told(self) -> None:
        """Log what has been said of parts since: those with the same to say in one line, however many."""
        if self._telling is not None:
            self._telling.cancel()
        alike: dict[str | None, list[str]] = {}
        for what, message in self._changes.items():
            alike.setdefault(message, []).append(what)
        self._changes.clear()
        for message, (first, *more) in alike.items():
            part = f"{first} and {len(more):,} more" if more else first
            if message is None:
                log.info("works again", source=self._name, part=part)
            else:
                log.warning("cannot work", source=self._name, part=part, reason=message)

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
        redactor = self._site.scanner.redactor()
        batch = AlertBatch(
            source=self._name,
            alerts=tuple(redactor.alert(alert) for alert in alerts),
            findings=tuple(redactor.finding(finding) for finding in findings),
            positions=tuple(self._sealer.seal(positions)),
            handled=tuple(handled),
            again=tuple(again),
            summary=summary,
        )
        new = await self._site.store.alerts.record(batch)
        self._kept()
        return new

    async def notify(
        self, title: str, text: str, positions: Iterable[Position], *, incidents: Sequence[str] = ()
    ) -> None:
        redact = self._site.scanner.redact
        # Line by line: one that is too long to be searched must not withhold the others.
        lines = "\n".join(let_in(line, redact, _LINE) for line in text.splitlines())
        notice = Notice(
            let_in(title, redact, NAME), lines, "medium", key=f"source:{self._name}", incidents=tuple(incidents)
        )
        moved = self._sealer.seal(positions)
        await self._site.store.commit((), list(moved), notices=[notice] if title else ())

    async def note(self, incident: str, text: str, *, actor: str) -> None:
        with contextlib.suppress(LookupError):  # it was forgotten meanwhile
            await self._site.store.incidents.note(incident, let_in(text, self._site.scanner.redact, PATH), actor=actor)

    async def known_alerts(self, ids: Iterable[str]) -> Mapping[str, KnownAlert]:
        return await self._site.store.alerts.known(list(ids))

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        return await self._site.store.hooks.due(self._name, limit)

    async def postpone(self, delivery: str, seconds: float) -> None:
        await self._site.store.hooks.postpone(delivery, seconds)

    async def write_backs(self, limit: int = 50) -> Sequence[WriteBack]:
        return await self._site.store.alerts.write_backs(self._name, limit)

    async def identify(self, text: bytes) -> Sequence[Finding]:
        return await self._site.scanner.identify(text)

    def rule(self, id: str) -> Rule | None:
        engine = self._site.scanner.engine
        try:
            return engine.rules[engine.number(id)]
        except KeyError:
            return None

    def malformed(self, what: str) -> None:
        self._site.snapshot.malformed[self._name, what] += 1


_tasks: set[asyncio.Task[None]] = set()


def _in_background(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
