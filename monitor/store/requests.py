"""Requests: what people asked for in other systems, until it is done and they know what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import structlog
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from monitor.common.duration import LONGEST
from monitor.common.inbound import InboundRequest, through
from monitor.common.severity import worst
from monitor.common.wording import moment
from monitor.domain.incidents import Action, Incident, TransitionError
from monitor.domain.model import Resolution
from monitor.runbook.progress import RunError
from monitor.store import actions, runs
from monitor.store.actions import ActionError
from monitor.store.incidents import change_state, remark
from monitor.store.pages import together
from monitor.store.reminders import TOGETHER
from monitor.store.rows import clean, incident_by_id, load_incidents, upsert
from monitor.store.schema import audit, groups, incidents, members, receipts, requests
from monitor.store.silences import hush, silenced_among
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = ["TELL", "Needed", "RequestAnswer", "RequestRepository"]

log = structlog.get_logger(__name__)

_AT_A_TIME = 50
TELL = 60.0  # seconds to tell of it; then any process may
_STALE = 900.0  # seconds after which nobody waits any more for what takes something back
_SKEW = 120.0  # seconds by which another clock may differ from ours
_TOO_OLD = 3 * 86_400.0  # seconds; a repeat that comes later would not be known as one any more (retention.hooks)
_REOPENINGS = ("opened", "reopened", "reopened_by_hand", "escalated")

_LATER = ("done_at", "refused", "told_at")  # columns that say what came of it
Needed = Callable[[Incident, str], int | None]  # how many have to approve this action for it; None: it is not to be had

_REFUSALS = (LookupError, TransitionError, RunError, ActionError, ValueError)
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
    row = {
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
    return tx.connection.execute(_ENTER, row).rowcount == 1


def _any_left(connection: Connection) -> bool:
    return connection.execute(select(requests.c.id).where(requests.c.done_at.is_(None)).limit(1)).first() is not None


def _apply(tx: Transaction, needed: Needed) -> list[RequestAnswer]:
    query = select(requests).where(requests.c.done_at.is_(None)).order_by(requests.c.received_at, requests.c.id)
    answers = []
    for row in tx.connection.execute(query.limit(_AT_A_TIME)).all():
        asked = _request(row)
        passed = tx.now - (asked.at or row.received_at)
        if asked.verb == "run" and not asked.refusal and passed > _STALE:
            asked = replace(
                asked, refusal=f"{passed / 60:.0f} min passed before anything could be done: ask for it again"
            )
        try:
            with tx.attempt():
                done, text = True, _do(tx, asked, needed)
        except _REFUSALS as error:
            done, text = False, str(error)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - a boundary: what others ask for behind it is done all the same
            log.error("a request could not be done", verb=asked.verb, error_type=type(error).__name__)
            done, text = False, f"the monitor stumbled over it ({type(error).__name__}); please report it"
        # Without anybody to tell, it is told.
        told = None if asked.answer else tx.now
        _set(tx, row.id, done_at=tx.now, refused=int(not done), outcome=clean(text), due=tx.now, told_at=told)
        answers.append(RequestAnswer(asked, done, text))
    return answers


def _do(tx: Transaction, asked: InboundRequest, needed: Needed) -> str:
    """For each incident it is about; returns what came of it. Raises what refuses it, where all of them do."""
    if asked.refusal:
        raise TransitionError(asked.refusal)
    if asked.place and asked.key:
        _learn(tx, asked)
    if asked.verb == "link":
        return _weight(tx, asked)
    work = _DO.get(asked.verb)
    if work is None:
        raise ValueError(f"{asked.verb!r} is not known to this version")
    said: list[str] = []
    refusals: list[Exception] = []
    for id_ in _about(tx.connection, asked, tx.now):
        try:
            with tx.attempt():
                _in_time(tx, asked, id_)
                said.append(work(tx, asked, id_, needed))
        except _REFUSALS as error:
            refusals.append(error)
    if not said:
        raise refusals[0]
    return "; ".join(dict.fromkeys(said))


def _about(connection: Connection, asked: InboundRequest, now: float) -> list[str]:
    """Ids of incidents, at least one. Raises LookupError."""
    if asked.incident:
        return [asked.incident]
    if asked.key == TOGETHER and (several := together(connection, asked.sink)):
        return several
    key = asked.key or _known_as(connection, asked)
    query = (
        select(members.c.incident, members.c.told_state, members.c.held, incidents.c.state)
        .join(groups, groups.c.id == members.c.group)
        .join(incidents, incidents.c.id == members.c.incident)
        .where(groups.c.sink == asked.sink, groups.c.key == key)
        .order_by(members.c.incident)
    )
    found: Sequence[Row[Any]] = connection.execute(query).all()
    # What has joined since and was not told yet nobody has looked at: it is told by itself.
    found = [row for row in found if row.told_state is not None] or found
    if asked.verb == "ack" and asked.detail.isdigit():
        found = _shown(connection, found, int(asked.detail), now) or [row for row in found if row.state == "resolved"]
    if not found:
        raise LookupError("there is no incident here any more that this is about")
    return [row.incident for row in found]


def _shown(connection: Connection, found: Sequence[Row[Any]], count: int, now: float) -> Sequence[Row[Any]]:
    """Of the members of a group those that were shown unresolved, `count` of them; none: all are resolved. What has
    joined and was not told yet is told by itself. Raises LookupError where more were told since."""
    told = [row for row in found if row.state != "resolved" and row.told_state is not None]
    if len(told) > count:  # perhaps by what is held back or silenced: a message does not show that
        silenced = silenced_among(connection, (row.incident for row in told), now)
        told = [row for row in told if row.held is None and row.incident not in silenced]
    if len(told) > count:
        raise LookupError(f"there are {len(told)} by now, and {count} were shown: look again")
    return told


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
    return worst(one.severity for one in load_incidents(tx.connection, _about(tx.connection, asked, tx.now)))


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


def _note(asked: InboundRequest) -> str:
    return asked.note or through(asked.sink)


def _change(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    action: Action = "ack" if asked.verb == "ack" else "reopen"
    change_state(tx, id_, action, actor=asked.actor, resolution=None, note=_note(asked))
    return f"{id_} is {'acknowledged' if action == 'ack' else 'open again'}"


def _resolve(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    resolution: Resolution | None = next((one for one in get_args(Resolution) if one == asked.detail), None)
    known, _ = incident_by_id(tx.connection, id_)
    if known.state == "resolved":  # what was decided is changed by who sees it, not by an old button
        raise TransitionError(f"incident {id_} is already resolved as {known.resolution}")
    change_state(tx, id_, "resolve", actor=asked.actor, resolution=resolution, note=_note(asked))
    return f"{id_} is resolved as {resolution}"


def _silence(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    known, _ = incident_by_id(tx.connection, id_)
    if known.state == "resolved":
        raise TransitionError(f"incident {id_} is resolved: there is nothing to silence")
    seconds = float(asked.detail)
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"an incident is silenced for {LONGEST / 86400:.0f} days at most")
    return f"{id_} is silenced until {moment(hush(tx, id_, seconds, actor=asked.actor, note=_note(asked)))}"


def _step(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    verb = asked.verb
    assert verb in ("claim", "done", "skip")
    if verb == "skip" and not asked.note:
        raise RunError(f"say why step {asked.detail} is skipped: choose one of the reasons")
    note = "" if verb == "claim" else _note(asked)
    run = runs.do(tx, id_, asked.detail, verb, actor=asked.actor, note=note, anyway=False)
    return f"step {asked.detail} is {run.task(asked.detail).state}; {run.done} of {len(run.tasks)} done"


def _run(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    """Planned by the first who asks for it, approved by each; what has enough of them is run by the monitor."""
    about, _ = incident_by_id(tx.connection, id_)
    name = asked.detail
    if about.state == "resolved":
        raise TransitionError(f"incident {id_} is resolved: reopen it before an action runs")
    approvals = needed(about, name)
    if approvals is None:
        raise ActionError(f"no action {name!r} is configured for {about.rule}")
    planned = actions.ask(tx, id_, name, actor=asked.actor, needed=approvals)
    if planned.state == "planned":
        more = planned.needed - len(planned.approvals)
        return f"{name} is approved by {', '.join(planned.approvals)}; it waits for {more} more"
    return f"{name} runs now"


def _remark(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    known, _ = incident_by_id(tx.connection, id_)
    remark(tx, known, actor=asked.actor, note=asked.note)
    return f"{id_}: noted"


_DO: Mapping[str, Callable[[Transaction, InboundRequest, str, Needed], str]] = {
    "ack": _change,
    "reopen": _change,
    "resolve": _resolve,
    "silence": _silence,
    "claim": _step,
    "done": _step,
    "skip": _step,
    "run": _run,
    "note": _remark,
}


_UNTOLD = requests.c.done_at.is_not(None) & requests.c.told_at.is_(None)


def _untold(connection: Connection, sinks: Collection[str], now: float) -> list[RequestAnswer]:
    due = _UNTOLD & (requests.c.due <= now) & requests.c.sink.in_(list(sinks))
    rows = connection.execute(select(requests).where(due).order_by(requests.c.due).limit(_AT_A_TIME))
    return [RequestAnswer(_request(row), not row.refused, row.outcome, row.attempts) for row in rows]


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
