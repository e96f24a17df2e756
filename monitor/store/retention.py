"""Forgetting: what is old and what nobody waits for goes, a little at a time, so that no commit waits for it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Column, ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from monitor.domain.retention import RetentionConfig as Ages
from monitor.store import changes, drills, runs, trail
from monitor.store.rows import any_of, narrowed, rows_among
from monitor.store.schema import (
    alerts,
    batches,
    findings,
    groups,
    habits,
    hooks,
    incidents,
    marks,
    members,
    outbox,
    read_ids,
    reads,
    receipts,
    requests,
    sessions,
    silence_rules,
    tokens,
    unsent,
    wrappings,
)
from monitor.store.transaction import StoreRepository, Transaction

__all__ = ["RetentionRepository"]

log = structlog.get_logger(__name__)

KEEP_SENT_ROWS = 10_000
KEEP_READS, KEEP_READ_IDS, KEEP_HABITS = 200_000, 200_000, 50_000  # rows
_SILENCES = 30 * 86_400.0  # seconds after their end
_TOKENS = 30 * 86_400.0  # likewise
_READS = 400 * 86_400.0  # seconds; a year and what an auditor is late
_PAUSE = 0.05  # seconds between two transactions: commits come first
_AT_A_TIME = 200  # rows; incidents: so many findings and not less than one incident
_MARKS = 7 * 86_400.0  # seconds; a writer asks for its own within minutes


class RetentionRepository(StoreRepository):
    """Forgetting."""

    async def sweep(self, ages: Ages) -> Mapping[str, int]:
        """Forget everything that is old enough. Returns what → how many rows."""
        gone: Counter[str] = Counter()
        for step in _steps(self._session.now(), ages):
            gone[step.name] += await self._run(step)
        await self._session.write(_clear)
        if gone := +gone:
            log.info("forgot what is old", **gone)
        return gone

    async def _run(self, step: _Step) -> int:
        """Looks without a lock; what it then deletes must still be old at that moment."""
        total = 0
        last: Any = None
        while True:
            ids, spared = await self._session.read(partial(step.page, after=last))
            if not ids:
                return total
            last = ids[-1]
            if going := [id_ for id_ in ids if id_ not in spared]:
                total += await self._session.write(lambda tx: step.drop(tx, going))
                await asyncio.sleep(_PAUSE)


@dataclass(frozen=True, slots=True)
class _Step:
    """One kind of rows: those that `old` fits, except those that `spare` names."""

    name: str
    key: Column[Any]
    old: ColumnElement[bool]
    spare: Callable[[Connection, Sequence[Any]], Collection[Any]] = lambda connection, ids: ()
    size: Column[Any] | None = None  # how many rows go along with one
    forget: Callable[[Transaction, Sequence[Any]], object] | None = None  # instead of deleting

    def page(self, connection: Connection, after: Any) -> tuple[list[Any], Collection[Any]]:
        """The next keys beyond `after`, and those of them to be spared."""
        query = narrowed(
            select(self.key, self.key if self.size is None else self.size).where(self.old),
            None if after is None else self.key > after,
        )
        found: list[Any] = []
        rows = 0
        for key, size in connection.execute(query.order_by(self.key).limit(_AT_A_TIME)):
            if found and self.size is not None and rows + size > _AT_A_TIME:
                break
            found.append(key)
            rows += size if self.size is not None else 1
        return found, self.spare(connection, found) if found else ()

    def drop(self, tx: Transaction, ids: Sequence[Any]) -> int:
        still = (self.key.in_(ids), self.old)
        if self.forget is None:
            return tx.connection.execute(delete(self.key.table).where(*still)).rowcount
        ids = list(tx.connection.execute(select(self.key).where(*still)).scalars())
        self.forget(tx, ids)
        return len(ids)


def _steps(now: float, ages: Ages) -> Iterator[_Step]:
    """In this order: what goes first may be what the next is kept for."""
    about = outbox.c
    newest = select(about.seq).where(about.state == "sent").order_by(about.seq.desc())
    beyond = newest.offset(KEEP_SENT_ROWS).limit(1).scalar_subquery()
    sent = and_(about.state == "sent", or_(about.finished_at < now - ages.sent, about.seq <= beyond))
    yield _Step("notifications", about.seq, sent)
    refused = and_(about.state == "dead", about.finished_at < now - ages.refused)
    yield _Step("refused", about.seq, refused, spare=_about_open)
    yield _Step("hooks", hooks.c.id, hooks.c.done_at < now - ages.hooks)
    yield _Step("requests", requests.c.id, requests.c.done_at < now - ages.hooks)

    case = incidents.c
    whole = and_(_over(now - ages.incidents), case.kept > 0)
    yield _Step("incidents", case.id, whole, spare=_undelivered, size=case.kept, forget=_forget_details)
    yield _Step("groups", groups.c.id, _settled(now - ages.groups))
    yield _Step("receipts", receipts.c.key, _loose(now - ages.receipts))
    # One that another system has an alert about would come back with it, as new.
    known = and_(_over(now - ages.fingerprints), case.merged.is_(None), ~exists().where(alerts.c.incident == case.id))
    yield _Step("fingerprints", case.id, known, spare=_undelivered, size=case.kept, forget=_forget_incidents)

    yield _Step("sessions", sessions.c.id, sessions.c.ends < now)
    yield _Step("tokens", tokens.c.id, tokens.c.ends < now - _TOKENS)
    yield _Step("silences", silence_rules.c.id, silence_rules.c.ends < now - _SILENCES)
    yield _Step("readings", reads.c.last, reads.c.last < now - _READS)
    bounds = (
        (reads, reads.c.last, KEEP_READS),
        (read_ids, read_ids.c.at, KEEP_READ_IDS),
        (habits, habits.c.last, KEEP_HABITS),
        (marks, marks.c.last, KEEP_HABITS),
        (wrappings, wrappings.c.at, KEEP_HABITS),
    )
    for table, when, most in bounds:
        newest = select(when).order_by(when.desc())
        yield _Step(table.name, when, when <= newest.offset(most).limit(1).scalar_subquery())


def _over(before: float) -> ColumnElement[bool]:
    """Incidents that were resolved, and seen for the last time, before then."""
    return and_(incidents.c.state == "resolved", incidents.c.resolved_at < before, incidents.c.last_seen < before)


def _settled(before: float) -> ColumnElement[bool]:
    """Groups that wait for nothing and in which all has been resolved since before then."""
    alive = exists().where(
        members.c.group == groups.c.id,
        members.c.incident == incidents.c.id,
        or_(incidents.c.state != "resolved", incidents.c.resolved_at >= before),
    )
    waiting = exists().where(outbox.c.sink == groups.c.sink, outbox.c.key == groups.c.key, unsent())
    told = func.coalesce(groups.c.sent_at, groups.c.created_at)
    return and_(groups.c.due_at.is_(None), told < before, ~alive, ~waiting)


def _loose(before: float) -> ColumnElement[bool]:
    """Receipts from before then that no group, and nothing that waits, would refer to."""
    group = exists().where(groups.c.sink == receipts.c.sink, groups.c.key == receipts.c.key)
    waiting = exists().where(outbox.c.sink == receipts.c.sink, outbox.c.key == receipts.c.key, unsent())
    return and_(receipts.c.at < before, ~group, ~waiting)


def _undelivered(connection: Connection, ids: Sequence[str]) -> Collection[str]:
    """Incidents that a notification is about which waits or was refused."""
    query = select(outbox.c.incidents).where(outbox.c.state.in_(("pending", "leased", "dead")))
    return {id_ for text in connection.execute(query).scalars() for id_ in json.loads(text)}


def _about_open(connection: Connection, seqs: Sequence[int]) -> Collection[int]:
    """Notifications about an incident that is not resolved: nobody may have heard of it."""
    about = {
        seq: json.loads(text)
        for seq, text in connection.execute(select(outbox.c.seq, outbox.c.incidents).where(outbox.c.seq.in_(seqs)))
    }
    unresolved = select(incidents.c.id).where(any_of(incidents.c.id), incidents.c.state != "resolved")
    alive = {row.id for row in rows_among(connection, unresolved, (id_ for ids in about.values() for id_ in ids))}
    return {seq for seq, ids in about.items() if not alive.isdisjoint(ids)}


def _forget_details(tx: Transaction, ids: Sequence[str]) -> None:
    """What remains of them is what a new finding of the same secret needs."""
    for column in (findings.c.incident, members.c.incident):
        tx.connection.execute(delete(column.table).where(column.in_(ids)))
    trail.forget(tx, ids)
    changes.rewind(tx)
    runs.forget(tx, ids)
    tx.connection.execute(update(incidents).where(incidents.c.id.in_(ids)).values(kept=0))


def _forget_incidents(tx: Transaction, ids: Sequence[str]) -> None:
    """With those that were merged into them."""
    ids = [*ids, *tx.connection.execute(select(incidents.c.id).where(incidents.c.merged.in_(ids))).scalars()]
    _forget_details(tx, ids)
    drills.forget(tx, ids)
    tx.connection.execute(delete(incidents).where(incidents.c.id.in_(ids)))


def _clear(tx: Transaction) -> None:
    """Marks of writers that are gone."""
    tx.connection.execute(delete(batches).where(batches.c.at < tx.now - _MARKS))
