"""Requests: what people asked for in other systems, until it is done and they know what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from monitor.common.failure import failure
from monitor.common.inbound import TOLD, InboundRequest
from monitor.common.severity import worst
from monitor.common.wording import moment
from monitor.domain.incidents import TransitionError
from monitor.store.outbox_rows import shown
from monitor.store.pages import together
from monitor.store.reminders import TOGETHER
from monitor.store.rows import apply_all, clean, load_incidents, upsert
from monitor.store.schema import audit, groups, members, receipts, requests
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes
from monitor.store.verbs import REFUSALS, VERBS, Needed

__all__ = ["BULK", "TELL", "RequestAnswer", "RequestRepository", "enter"]

log = structlog.get_logger(__name__)

BULK = "bulk:"  # how ids begin of requests that are one of many
_AT_A_TIME = 50
_PIECE = 0.05  # seconds of a transaction for those that are many: what was found waits meanwhile
TELL = 60.0  # seconds to tell of it; then any process may
_STALE = 900.0  # seconds after which nobody waits any more for what takes something back
_SKEW = 120.0  # seconds by which another clock may differ from ours
_TOO_OLD = 3 * 86_400.0  # seconds; a repeat that comes later would not be known as one any more (retention.hooks)
_REOPENINGS = ("opened", "reopened", "reopened_by_hand", "escalated")

_LATER = ("done_at", "refused", "told_at")  # columns that say what came of it
_ENTER = upsert(requests, [column.name for column in requests.c if column.name not in _LATER], on=("id",))


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """What came of a request. `done` False: it was refused, and `text` says why."""

    request: InboundRequest
    done: bool
    text: str
    attempts: int = 0  # to tell of it


class RequestRepository(StoreRepository):
    """Requests until they are answered."""

    @durably
    def keep(self, tx: Transaction, asked: Sequence[InboundRequest]) -> bool:
        """Durable when it returns; False: all are known already."""
        new = [_keep(tx, request) for request in asked]
        if any(new):
            tx.announce()
        return any(new)

    async def apply(self, needed: Needed) -> list[RequestAnswer]:
        """Do what is asked for, oldest first, each once and together with the note that it was done. Returns what came
        of it, at most fifty; nothing: nothing is left."""
        if not await self._session.read(_any_left):
            return []
        return await self._session.write(lambda tx: _apply(tx, needed), durable=True)

    @durably
    def do(self, tx: Transaction, asked: InboundRequest, needed: Needed) -> RequestAnswer:
        """Keep it and do it, at once and together: for somebody who waits. Of a repeat, what came of the first."""
        _keep(tx, asked)
        row = tx.connection.execute(select(requests).where(requests.c.id == clean(asked.id))).one()
        if row.done_at is not None:
            return _answer(row)
        tx.announce()
        return _settle(tx, row, needed)

    @read_only
    def answer(self, connection: Connection, id_: str, actor: str) -> RequestAnswer | None:
        """What came of what this person asked for; None: nobody knows of it, or it is not done yet."""
        mine = (requests.c.id == clean(id_)) & (requests.c.actor == clean(actor)) & requests.c.done_at.is_not(None)
        row = connection.execute(select(requests).where(mine)).first()
        return None if row is None else _answer(row)

    async def take_untold(self, sinks: Collection[str]) -> list[RequestAnswer]:
        """Answers of these sinks that are due and that nobody was told: this process's to tell, for a minute."""
        if not await self._session.read(lambda connection: _untold(connection, sinks, self._session.now())):
            return []

        def take(tx: Transaction) -> list[RequestAnswer]:
            answers = _untold(tx.connection, sinks, tx.now)
            for answer in answers:
                _set(tx, answer.request.id, due=tx.now + TELL)
            return answers

        return await self._session.write(take)

    @read_only
    def next_untold(self, connection: Connection, sinks: Collection[str]) -> float | None:
        """Seconds until the next answer of these sinks is due; None: there is none."""
        query = select(func.min(requests.c.due)).where(_UNTOLD, requests.c.sink.in_(list(sinks)))
        due = connection.execute(query).scalar()
        return None if due is None else max(due - self._session.now(), 0.0)

    @writes
    def told(self, tx: Transaction, id_: str) -> None:
        """Somebody was told what came of it, or never can be."""
        _set(tx, id_, told_at=tx.now)

    @writes
    def postpone(self, tx: Transaction, id_: str, seconds: float) -> None:
        """Tell of it in so many seconds."""
        _set(tx, id_, due=tx.now + seconds, attempts=requests.c.attempts + 1)


def _keep(tx: Transaction, asked: InboundRequest) -> bool:
    return tx.connection.execute(_ENTER, _row(tx, asked)).rowcount == 1


def enter(tx: Transaction, asked: Sequence[InboundRequest]) -> None:
    """Very many, at once."""
    apply_all(tx.connection, _ENTER, [_row(tx, one) for one in asked])


def _row(tx: Transaction, asked: InboundRequest) -> dict[str, Any]:
    return {
        "id": clean(asked.id),
        "sink": clean(asked.sink),
        "verb": asked.verb,
        "actor": clean(asked.actor),
        "incident": clean(asked.incident),
        "key": clean(asked.key),
        "detail": clean(asked.detail),
        "note": clean(asked.note),
        "refusal": clean(asked.refusal),
        "answer": json.dumps(dict(asked.answer)),
        "place": clean(asked.place),
        "at": asked.at,
        "received_at": tx.now,
        "outcome": "",
        "due": tx.now,
        "attempts": 0,
    }


def _any_left(connection: Connection) -> bool:
    return connection.execute(select(requests.c.id).where(requests.c.done_at.is_(None)).limit(1)).first() is not None


def _apply(tx: Transaction, needed: Needed) -> list[RequestAnswer]:
    # What somebody waits for goes before what is asked for of very many.
    order = (requests.c.id.startswith(BULK), requests.c.received_at, requests.c.id)
    query = select(requests).where(requests.c.done_at.is_(None)).order_by(*order)
    answers: list[RequestAnswer] = []
    began = time.monotonic()
    for row in tx.connection.execute(query.limit(_AT_A_TIME)).all():
        # However slow all is, one gets done: nothing would mean that nothing is left.
        if answers and row.id.startswith(BULK) and time.monotonic() - began > _PIECE:
            break
        answers.append(_settle(tx, row, needed))
    return answers


def _settle(tx: Transaction, row: Row[Any], needed: Needed) -> RequestAnswer:
    """Do what a stored request asks for, or note why not."""
    asked = _request(row)
    passed = tx.now - (asked.at or row.received_at)
    if asked.verb == "run" and not asked.refusal and passed > _STALE:
        asked = replace(asked, refusal=f"{passed / 60:.0f} min passed before anything could be done: ask for it again")
    try:
        with tx.attempt():
            done, text = True, _do(tx, asked, needed)
    except REFUSALS as error:
        done, text = False, str(error)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - a boundary: what others ask for behind it is done all the same
        log.error("a request could not be done", verb=asked.verb, **failure(error))
        done, text = False, f"the monitor stumbled over it ({type(error).__name__}); please report it"
    # Without anybody to tell, it is told.
    told = None if asked.answer else tx.now
    _set(tx, row.id, done_at=tx.now, refused=int(not done), outcome=clean(text), due=tx.now, told_at=told)
    return RequestAnswer(asked, done, text)


def _do(tx: Transaction, asked: InboundRequest, needed: Needed) -> str:
    """For each incident it is about; returns what came of it. Raises what refuses it, where all of them do."""
    if asked.refusal:
        raise TransitionError(asked.refusal)
    if asked.place and asked.key:
        _learn(tx, asked)
    if asked.verb == "link":
        return _weight(tx, asked)
    work = VERBS.get(asked.verb)
    if work is None:
        raise ValueError(f"{asked.verb!r} is not known to this version")
    about = _about(tx.connection, asked)
    if len(about) > _AT_A_TIME:  # in pieces, as from a page
        each = replace(asked, key="", answer={})
        enter(tx, [replace(each, id=f"{BULK}{asked.id}:{id_}", incident=id_) for id_ in about])
        return f"{len(about)} incidents, one after the other"
    said: list[str] = []
    refusals: list[Exception] = []
    for id_ in about:
        try:
            with tx.attempt():
                _in_time(tx, asked, id_)
                said.append(work(tx, asked, id_, needed))
        except REFUSALS as error:
            refusals.append(error)
    if not said:
        raise refusals[0]
    return "; ".join(dict.fromkeys(said))


def _about(connection: Connection, asked: InboundRequest) -> list[str]:
    """Ids of incidents, at least one. Raises LookupError."""
    if asked.incident:
        return [asked.incident]
    if asked.key.startswith(TOLD):
        if several := shown(connection, asked.key.removeprefix(TOLD), asked.sink):
            return several
        raise LookupError("that message is forgotten by now: the console has what is not resolved")
    if asked.key == TOGETHER and (several := together(connection, asked.sink)):
        return several
    key = asked.key or _known_as(connection, asked)
    query = (
        select(members.c.incident, members.c.told_state)
        .join(groups, groups.c.id == members.c.group)
        .where(groups.c.sink == asked.sink, groups.c.key == key)
        .order_by(members.c.incident)
    )
    found: Sequence[Row[Any]] = connection.execute(query).all()
    # What has joined since and was not told yet nobody has looked at: it is told by itself.
    found = [row for row in found if row.told_state is not None] or found
    if not found:
        raise LookupError("there is no incident here any more that this is about")
    return [row.incident for row in found]


def _learn(tx: Transaction, asked: InboundRequest) -> None:
    """What the other system calls what the sink was told under this key, beside the sink's own receipt. That may not be
    there yet: it is noted after the other system has answered, which a kill can prevent."""
    mine = (receipts.c.sink == asked.sink) & (receipts.c.key == asked.key)
    row = tx.connection.execute(select(receipts.c.receipt).where(mine)).first()
    if row is not None:
        kept = json.loads(row.receipt) | {"place": asked.place}
        tx.connection.execute(update(receipts).where(mine).values(receipt=json.dumps(kept)))
        return
    told = select(groups.c.id).where(groups.c.sink == asked.sink, groups.c.key == asked.key).limit(1)
    if tx.connection.execute(told).first() is not None:
        new = {"sink": asked.sink, "key": asked.key, "receipt": json.dumps({"place": asked.place}), "at": tx.now}
        tx.connection.execute(insert(receipts), [new])


def _known_as(connection: Connection, asked: InboundRequest) -> str:
    """The key under which the sink was told of what its system calls so; the newest, as it may have two."""
    named = receipts.c.receipt.contains(json.dumps({"place": asked.place})[1:-1], autoescape=True)
    query = select(receipts.c.key).where(receipts.c.sink == asked.sink, named).order_by(receipts.c.at.desc())
    return connection.execute(query.limit(1)).scalar() or ""


def _weight(tx: Transaction, asked: InboundRequest) -> str:
    """The severity of what the page is about, by which the sink ranks it. Raises LookupError."""
    return worst(one.severity for one in load_incidents(tx.connection, _about(tx.connection, asked)))


def _in_time(tx: Transaction, asked: InboundRequest, id_: str) -> None:
    """An old word does not undo what happened since. Raises TransitionError."""
    if not asked.at or asked.verb not in ("ack", "resolve", "reopen"):
        return
    if asked.at < tx.now - _TOO_OLD:
        raise TransitionError(f"it was said {moment(asked.at)}, which is too long ago")
    since = _REOPENINGS if asked.verb != "reopen" else (*_REOPENINGS, "acknowledged", "resolved", "merged")
    later = (audit.c.incident == id_) & audit.c.action.in_(since) & (audit.c.at > asked.at + _SKEW)
    row = tx.connection.execute(select(audit.c.action, audit.c.at).where(later).limit(1)).first()
    if row is not None:
        raise TransitionError(
            f"it was said {moment(asked.at)}, before incident {id_} was {row.action.replace('_', ' ')} "
            f"{moment(row.at)}; do it again if it is meant, and compare the clocks"
        )


_UNTOLD = requests.c.done_at.is_not(None) & requests.c.told_at.is_(None)


def _untold(connection: Connection, sinks: Collection[str], now: float) -> list[RequestAnswer]:
    due = _UNTOLD & (requests.c.due <= now) & requests.c.sink.in_(list(sinks))
    rows = connection.execute(select(requests).where(due).order_by(requests.c.due).limit(_AT_A_TIME))
    return [_answer(row) for row in rows]


def _answer(row: Row[Any]) -> RequestAnswer:
    return RequestAnswer(_request(row), not row.refused, row.outcome, row.attempts)


def _set(tx: Transaction, id_: str, **values: Any) -> None:
    tx.connection.execute(update(requests).where(requests.c.id == id_).values(**values))


def _request(row: Row[Any]) -> InboundRequest:
    return InboundRequest(
        id=row.id,
        sink=row.sink,
        verb=row.verb,
        actor=row.actor,
        incident=row.incident,
        key=row.key,
        detail=row.detail,
        note=row.note,
        refusal=row.refusal,
        answer=json.loads(row.answer),
        place=row.place,
        at=row.at,
    )
