"""Asks about incidents: takes the secret again, asks its issuer, keeps the answer. Also by itself, from a queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Protocol, runtime_checkable

import structlog

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from monitor.common.backoff import backoff
from monitor.common.failure import failure
from monitor.common.tasks import whenever
from monitor.domain.incidents import Incident
from monitor.domain.model import CANARY
from monitor.github.client import GitHubClient
from monitor.github.value import values_of
from monitor.sources.base import SourceConfig
from monitor.store import Store, StoreError
from monitor.verify.config import VerifyConfig
from monitor.verify.probe import probe_of
from monitor.verify.request import public
from monitor.verify.take import Taken, find, plain, take
from monitor.verify.verifier import ProbeVerdict, Verifier

__all__ = ["ACTOR", "Asker", "WrongValueError", "surroundings"]

log = structlog.get_logger(__name__)

ACTOR = "monitor"
_FIRST, _LONGEST = 30.0, 3600.0  # seconds until an issuer that gave no answer is asked again
_ATTEMPTS = 10
_LOOK = 30.0  # seconds between looks at the queue that nothing calls for
_PATIENCE = 15.0  # seconds for GitHub
_FROM = "asked_from"  # a fact: the host that an issuer took it from, where that matters
_READS = ("file", "container")  # types of sources whose files a secret can be taken from again


def _failed(error: Exception) -> None:
    if not isinstance(error, StoreError):  # which the store itself reports; the queue is as it was
        log.error("asking issuers failed", **failure(error))


@runtime_checkable
class Reachable(Protocol):
    """The configuration of a source whose alerts can be asked for again."""

    def client(self, **options: Any) -> GitHubClient: ...


class WrongValueError(Exception):
    """A value that is not the incident's. The message shows nothing of it."""


def surroundings(incident: Incident) -> list[str]:
    """What is stored of where its secret stood: lines, masked, and links to its alerts, which for a token of GitHub say
    as much as a login at their host."""
    links = [place.url for place in incident.locations if place.url]
    if incident.rule.startswith("github-"):
        links = [link.replace("://", "://alert@", 1) for link in links]
    return [*(place.context for place in incident.locations if place.context), *links]


class AskerTables(Protocol):
    """What is taken of the configuration."""

    @property
    def sources(self) -> Sequence[SourceConfig]: ...
    @property
    def verify(self) -> VerifyConfig: ...


class Asker:
    """In the daemon, and in a command."""

    def __init__(
        self,
        store: Store,
        verifier: Verifier,
        key: bytes,
        engine: Callable[[], Engine],
        tables: Callable[[], AskerTables],
        *,
        count: Callable[[ProbeVerdict], object] = lambda verdict: None,
    ) -> None:
        """`engine`, `tables`: those in force. `count`: told each verdict of somebody who was asked."""
        self._count = count
        self._store, self._verifier, self._key = store, verifier, key
        self._engine, self._tables = engine, tables
        self._wake = asyncio.Event()

    async def ask(
        self,
        incident: Incident,
        *,
        actor: str,
        value: str | None = None,
        parts: Mapping[str, str] | None = None,
        taken: bool = False,
    ) -> ProbeVerdict:
        """Ask now, and keep the answer with the incident. `value`: None takes it again from where it lies; `parts`,
        `taken`: see `Verifier.ask`; that it was, is also known of an answer before. Raises WrongValueError, LookupError
        (the incident is gone) and StoreError.
        """
        verdict = await self._verdict(incident, value, parts or {}, taken=taken)
        worth = self._tables().verify.worth
        await self._store.verdicts.record(incident.id, verdict.verified(), actor=actor, worth=worth)
        return verdict

    async def ask_replacement(
        self, incident: Incident, value: str, *, actor: str, parts: Mapping[str, str] | None = None
    ) -> ProbeVerdict:
        """Ask about the secret that came for the incident's, of which nothing is kept but that it works: that finishes
        the steps of its run that wait for it. What is known of the old one is not used. Raises WrongValueError (it is
        the exposed secret itself), LookupError and StoreError.
        """
        if fingerprint(self._key, value.encode()) == incident.fingerprint:
            raise WrongValueError("this is the exposed secret itself: give the one that replaces it")
        verdict = await self._ask(incident.rule, value, parts or {})
        if verdict.status == "valid":
            note = f"{verdict.reason}, asked by {actor}"
            await self._store.runs.prove(incident.id, "valid", note, verdict.provider)
        return verdict

    async def _verdict(
        self, incident: Incident, value: str | None, parts: Mapping[str, str], *, taken: bool = False
    ) -> ProbeVerdict:
        rule, labels = incident.rule, dict(incident.labels)
        lines = surroundings(incident)
        if rule == CANARY:
            return ProbeVerdict("unknown", "a canary is nobody's: there is no issuer to ask", self._store.now(), "")
        if value is None:
            again = await self.take(incident)
            if again is None:
                why = "the secret lies in no file that is read here any more: give it with --value-from -"
                probe = probe_of(rule)
                return ProbeVerdict("unknown", why, self._store.now(), probe.provider if probe else "")
            value, labels = again.value, {**labels, **again.labels}
            lines.append(again.around)
            if probe_of(rule) is None:
                rule = again.rule
        else:
            self.check(incident, value)
        before = incident.verified
        known = before.facts if before is not None else {}
        taken = taken or known.get(_FROM) == self._store.node
        return await self._ask(rule, value, {**public(labels), **parts}, taken=taken, known=known, lines=lines)

    async def _ask(self, rule: str, value: str, parts: Mapping[str, str], **more: Any) -> ProbeVerdict:
        self._verifier.settings = self._tables().verify
        verdict = await self._verifier.ask(rule, value, parts, **more)
        probe = probe_of(rule)
        if verdict.status == "valid" and probe is not None and probe.doubtful:
            verdict = replace(verdict, facts={**verdict.facts, _FROM: self._store.node})
        if verdict.provider:
            self._count(verdict)
        return verdict

    def check(self, incident: Incident, value: str) -> None:
        """Raises WrongValueError when a value is not the incident's."""
        if fingerprint(self._key, value.encode()) != incident.fingerprint:
            raise WrongValueError("this is not the secret of that incident: its fingerprint is another")

    async def take(self, incident: Incident) -> Taken | None:
        """Its secret, from the log that it was found in, or from GitHub's alert; None: it is there no more."""
        sources = [source.name for source in self._tables().sources if source.type in _READS]

        def work() -> Taken | None:
            worker = self._engine().worker()
            return take(worker, self._key, incident, node=self._store.node, sources=sources)

        return await asyncio.to_thread(work) or await self._of_alert(incident)

    async def _of_alert(self, incident: Incident) -> Taken | None:
        alert, where = incident.labels.get("github"), {place.source for place in incident.locations}
        for source in self._tables().sources:
            if alert is None or source.name not in where or not isinstance(source, Reachable):
                continue
            told = await values_of(source.client(timeout=_PATIENCE), alert)
            if told is None:
                continue
            value, text = told
            if fingerprint(self._key, value) == incident.fingerprint:
                return Taken(plain(value), incident.rule, {})
            worker = self._engine().worker()
            found = await asyncio.to_thread(find, worker, self._key, incident.fingerprint, text)
            if found is not None:
                return found
        return None

    # By itself

    def wake(self) -> None:
        """Something was committed: look at it now."""
        self._wake.set()

    async def look(self) -> None:
        """Queue what is new. Raises StoreError."""
        if self._tables().verify.automatic:
            while await self._store.verdicts.gather(self._tables().verify.wants):
                pass

    async def once(self) -> float:
        """Ask about what is new and due now, if `[verify]` says so. Returns the seconds until the next look. Raises
        StoreError."""
        return await self._round() if self._tables().verify.automatic else _LOOK

    async def run(self) -> NoReturn:
        """Ask about what is new, for as long as `[verify]` says so. Until cancelled."""
        await whenever(self._wake, self.once, longest=_LOOK, failed=_failed)

    async def _round(self) -> float:
        """One look at trail and queue. Returns the seconds until the next."""
        verdicts = self._store.verdicts
        await self.look()
        while waiting := await verdicts.due():
            for one in waiting:
                try:
                    await self._one(one.incident, one.attempts)
                except StoreError:
                    raise
                except Exception as error:  # noqa: BLE001 - a boundary: whoever waits behind it is asked about
                    log.error("asking about a secret failed", incident=one.incident.id, **failure(error))
                    await verdicts.postpone(one.incident.id, backoff(one.attempts + 1, _FIRST, _LONGEST))
        due = await verdicts.next_due()
        return _LOOK if due is None else min(max(due - self._store.now(), 0.1), _LOOK)

    async def _one(self, incident: Incident, attempts: int) -> None:
        verdicts = self._store.verdicts
        if incident.state == "resolved":
            await verdicts.drop(incident.id)
            return
        verdict = await self._verdict(incident, None, {})
        if verdict.after is not None and attempts + 1 < _ATTEMPTS:
            await verdicts.postpone(incident.id, max(verdict.after, backoff(attempts + 1, _FIRST, _LONGEST)))
            return
        worth = self._tables().verify.worth
        with contextlib.suppress(LookupError):  # forgotten meanwhile
            await verdicts.record(incident.id, verdict.verified(), actor=ACTOR, worth=worth)
        await verdicts.drop(incident.id)
