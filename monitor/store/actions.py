"""Actions: who planned and approved them, whether they ran, and what came of it. Each runs at most once."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select, update

from monitor.accounts.people import PROGRAM
from monitor.common.user_name import folded, named
from monitor.domain.incidents import Incident
from monitor.store.changes import gather, labels_of, newest_place
from monitor.store.drills import drills_among
from monitor.store.leases import lost_owners, owner_name
from monitor.store.records import ActionRun
from monitor.store.rows import action_from, chunks, clean, incident_by_id, narrowed
from monitor.store.schema import actions
from monitor.store.sealing import outdated, touch
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, StoreSession, Transaction, durably, read_only

__all__ = ["ActionError", "Actions", "UnsealedError", "abort", "approve", "ask", "complete", "plan", "refuse_resolved"]

_UNDONE = ("planned", "approved", "running", "accepted")
_LOST = "ended while it ran: whether it took effect cannot be known; verify the secret before you try again"
_LONGEST = 3600.0  # seconds; no action takes as long, whoever has its process's number by now


class ActionError(Exception):
    """What the state of an action does not allow. The message says why and what is possible."""


class UnsealedError(ActionError):
    """An action, or what it was approved for, is not as the monitor has written it."""


class Actions(StoreRepository):
    """Actions about incidents. `ref`: an id, or a start of it that fits only one."""

    def __init__(self, session: StoreSession) -> None:
        super().__init__(session)
        self._owner = owner_name(session.node)

    @read_only
    def find(
        self, connection: Connection, *, incident: str | None = None, states: Collection[str] = ()
    ) -> list[ActionRun]:
        """Newest first."""
        query = narrowed(
            select(actions).order_by(actions.c.planned_at.desc(), actions.c.id),
            None if incident is None else actions.c.incident == incident,
            actions.c.state.in_(list(states)) if states else None,
        )
        return [action_from(row) for row in connection.execute(query.limit(1000))]

    @read_only
    def get(self, connection: Connection, ref: str) -> ActionRun:
        """Raises LookupError."""
        return _get(connection, ref.strip())

    @durably
    def plan(
        self,
        tx: Transaction,
        incident: str,
        action: str,
        *,
        actor: str,
        needed: int,
        automatic: bool = False,
        parts: Mapping[str, str] | None = None,
    ) -> ActionRun:
        """Raises LookupError (no such incident) and ActionError (it is planned already, or running, or accepted).

        By itself (`automatic`) an action is planned once for an incident, whatever came of it.
        """
        return plan(tx, incident, action, actor=actor, needed=needed, automatic=automatic, parts=parts or {})

    async def gather(self, wanted: Callable[[dict[str, str]], Sequence[tuple[str, int]]]) -> bool:
        """Plan what `wanted` says (names, and how many have to approve) of the labels of each incident that was opened
        or came back since the last time. Returns whether there is more."""

        def all_of(tx: Transaction, fresh: Sequence[str]) -> None:
            for incident in fresh:
                for name, needed in wanted(labels_of(tx.connection, incident)):
                    with contextlib.suppress(ActionError):  # it was planned before
                        plan(tx, incident, name, actor="monitor", needed=needed, automatic=True)

        return await gather(self._session, "actions", all_of, durable=True)

    @read_only
    def ready(self, connection: Connection) -> list[ActionRun]:
        """Those the monitor of this host is to run that may run now, oldest first."""
        may = or_(actions.c.automatic == 1, actions.c.asked == 1) & (actions.c.state == "approved")
        return self._mine(connection, may)

    @read_only
    def unseen(self, connection: Connection) -> list[ActionRun]:
        """Those planned on this host that an issuer has accepted, and nobody has seen the end of."""
        return self._mine(connection, actions.c.state == "accepted")

    def _mine(self, connection: Connection, which: ColumnElement[bool]) -> list[ActionRun]:
        query = select(actions).where(which, actions.c.node == clean(self._session.node))
        return [action_from(row) for row in connection.execute(query.order_by(actions.c.planned_at, actions.c.id))]

    @durably
    def approve(self, tx: Transaction, id_: str, actor: str) -> ActionRun:
        """Raises LookupError and ActionError (the same person twice; it ran already)."""
        return approve(tx, id_, actor)

    @durably
    def start(self, tx: Transaction, incident: str, action: str, *, actor: str, automatic: bool) -> ActionRun:
        """`plan` and `begin` at once: of what no other process is to pick up in between. Raises as they do."""
        planned = plan(tx, incident, action, actor=actor, needed=0, automatic=automatic)
        return _begin(tx, planned.id, actor, self._owner)

    @durably
    def begin(self, tx: Transaction, id_: str, actor: str) -> ActionRun:
        """From now on it may have been done: no other process begins it, and none ever again. Raises LookupError and
        ActionError (not approved, or begun before)."""
        return _begin(tx, id_, actor, self._owner)

    @durably
    def step(self, tx: Transaction, ids: Collection[str], number: int) -> None:
        """This request of theirs is about to be sent."""
        for chunk in chunks(ids):
            rows = actions.c.id.in_(chunk) & (actions.c.owner == self._owner)
            tx.connection.execute(update(actions).where(rows).values(step=number))

    @durably
    def finish(self, tx: Transaction, id_: str, state: str, outcome: str, *, actor: str) -> ActionRun:
        """What came of it: accepted, failed or unknown."""
        return _finish(tx, _touched(tx, id_), state, outcome, actor)

    @durably
    def refuse(self, tx: Transaction, id_: str, why: str, *, actor: str) -> ActionRun:
        """What is approved cannot be run, and nothing was done: it has failed. Raises LookupError and ActionError."""
        row = _touched(tx, id_)
        _refuse_unsealed(tx, row)
        if row.state != "approved":
            raise ActionError(f"{row.action} is {row.state}")
        return _finish(tx, row, "failed", why, actor)

    @durably
    def put_back(self, tx: Transaction, id_: str, why: str) -> ActionRun:
        """Nothing was done: it may be begun again, as if it had not been."""
        row = _touched(tx, id_)
        back = {"state": "approved", "owner": None, "started_at": None, "step": 0, "outcome": clean(why)}
        return _change(tx, row, back, f"{row.action} put off: {why} ({id_})", "monitor")

    @durably
    def complete(self, tx: Transaction, incident: str, why: str) -> None:
        """As `complete` below, in a transaction of its own."""
        complete(tx, incident, why)

    @durably
    def abandon(self, tx: Transaction) -> list[str]:
        """What processes of this host were at when they ended cannot be known any more. Returns the actions' names."""
        running = tx.connection.execute(select(actions).where(actions.c.state == "running")).all()
        gone = set(lost_owners({row.owner for row in running}, self._owner))
        lost = [row for row in running if row.owner in gone or row.started_at < tx.now - _LONGEST]
        for row in lost:
            _finish(tx, row, "unknown", _LOST, "monitor")
        return [row.action for row in lost]


def ask(tx: Transaction, incident: str, action: str, *, actor: str, needed: int) -> ActionRun:
    """Plan it unless it waits for approval, and approve it: with enough of them the monitor of the host that saw the
    secret runs it. Raises LookupError and ActionError (it runs, or has run and is not known to have failed)."""
    query = select(actions).where(actions.c.incident == incident, actions.c.action == action)
    query = query.where(actions.c.state != "failed").order_by(actions.c.planned_at.desc()).limit(1)
    row = tx.connection.execute(query).first()
    if row is not None and row.state != "planned":
        again = f"; if it is meant to run once more: monitor action plan {incident} {action}"
        over = row.state in ("completed", "unknown")
        raise ActionError(f"{action} is {row.state} for this incident already{again if over else ''}")
    if row is not None:
        planned = action_from(row)
    else:
        planned = plan(tx, incident, action, actor=actor, needed=needed, automatic=False)
    touch(tx, [incident])
    node = newest_place(tx.connection, incident).host or tx.node
    tx.connection.execute(update(actions).where(actions.c.id == planned.id).values(asked=1, node=node))
    return approve(tx, planned.id, actor) if planned.state == "planned" else planned


def complete(tx: Transaction, incident: str, why: str) -> None:
    """Its issuer refuses the secret, or has another one: what was taken, or nobody knew of, is done."""
    query = select(actions).where(actions.c.incident == incident, actions.c.state.in_(("accepted", "unknown")))
    for row in tx.connection.execute(query).all():
        _finish(tx, row, "completed", why, "monitor")


def abort(tx: Transaction, incident: str, why: str) -> None:
    """What has not begun will not begin. Raises ActionError for what is under way."""
    query = select(actions).where(actions.c.incident == incident, actions.c.state.in_(_UNDONE))
    for row in tx.connection.execute(query).all():
        if row.state in ("running", "accepted"):
            raise ActionError(f"{row.action} is {row.state} for incident {incident} ({row.id}); see it through first")
        _finish(tx, row, "failed", why, "monitor")


def plan(
    tx: Transaction,
    incident: str,
    action: str,
    *,
    actor: str,
    needed: int,
    automatic: bool,
    parts: Mapping[str, str] = MappingProxyType({}),
) -> ActionRun:
    """As `Actions.plan`."""
    same = narrowed(
        select(actions).where(actions.c.incident == incident, actions.c.action == action),
        None if automatic else actions.c.state.in_(_UNDONE),
    )
    if before := tx.connection.execute(same).first():
        raise ActionError(f"{action} is {before.state} for this incident already: {before.id}")
    _refuse_incident(tx.connection, incident)
    row = {
        "id": secrets.token_hex(6),
        "incident": incident,
        "action": action,
        "state": "planned" if needed else "approved",
        "automatic": int(automatic),
        "asked": 0,
        "needed": needed,
        "approvals": "[]",
        "parts": json.dumps(dict(parts)),
        "planned_by": clean(actor),
        "planned_at": tx.now,
        "step": 0,
        "node": tx.node,
        "outcome": "",
    }
    touch(tx, [incident])
    _say(tx, incident, f"{action} planned ({row['id']})", actor)
    tx.connection.execute(insert(actions).values(**row))
    return _get(tx.connection, str(row["id"]))


def approve(tx: Transaction, id_: str, actor: str) -> ActionRun:
    """As `Actions.approve`."""
    row = _touched(tx, id_)
    _refuse_incident(tx.connection, row.incident)
    if row.state != "planned":
        raise ActionError(f"{row.action} is {row.state}: there is nothing to approve")
    people, actor = json.loads(row.approvals), clean(actor)
    if row.needed > 1 and not named(actor):
        # Or whoever makes a token, or a name that looks like theirs, would be the second of two.
        what = "a token" if actor.startswith(PROGRAM) else "who has no plain name"
        raise ActionError(f"{row.action} takes {row.needed} people, and {what} is none of them: approve it as one")
    if actor in map(folded, people):  # capitals are from before names had none
        raise ActionError(f"{actor} has approved it already: it takes {row.needed} different people")
    people.append(actor)
    changed = {"approvals": json.dumps(people), "state": "approved" if len(people) >= row.needed else "planned"}
    return _change(tx, row, changed, f"{row.action} approved, {len(people)} of {row.needed} ({id_})", actor)


def _begin(tx: Transaction, id_: str, actor: str, owner: str) -> ActionRun:
    row = _touched(tx, id_)
    _refuse_unsealed(tx, row)
    if row.state == "planned":
        left = row.needed - len(json.loads(row.approvals))
        raise ActionError(f"{row.action} waits for {left} more to approve it: monitor action approve {id_}")
    if row.state != "approved":
        raise ActionError(f"{row.action} is {row.state}, and runs once only; plan it again if that is meant")
    _refuse_incident(tx.connection, row.incident)
    begun = {"state": "running", "owner": owner, "started_at": tx.now}
    return _change(tx, row, begun, f"{row.action} begun ({id_})", actor)


def _refuse_unsealed(tx: Transaction, row: Row[Any]) -> None:
    """What the monitor has not written itself, as it stands, is not run. Raises UnsealedError."""
    was = tx.touched[row.incident]
    if was.existed and not (was.sealed and was.sound and was.actions is not None and was.actions[1]):
        wrong = "its plan or who approved it is not as it was sealed: it was changed beside the monitor"
    elif outdated(tx, row.incident):
        wrong = "the database is older than what this host has written of its incident, so that it may have run"
    else:
        return
    then = "then seal what you have looked at: monitor incidents verify --accept"
    raise UnsealedError(f"{row.action} ({row.id}) is not run: {wrong}; see `monitor incidents verify`, {then}")


def refuse_resolved(incident: Incident) -> None:
    """Nothing is taken back that somebody has found to be no secret, or dead. Raises ActionError."""
    if incident.state == "resolved":
        raise ActionError(f"incident {incident.id} is resolved: reopen it before an action runs")


def _refuse_incident(connection: Connection, incident: str) -> None:
    """Not when it is planned, nor what was planned before, whoever asks. Raises LookupError and ActionError."""
    about, _ = incident_by_id(connection, incident)
    refuse_resolved(about)
    # It is followed to the alert, and takes nothing back.
    if drills_among(connection, [about.fingerprint]):
        raise ActionError("a drill: nothing is sent to an issuer and no command is run, as no secret has leaked")


def _finish(tx: Transaction, row: Row[Any], state: str, outcome: str, actor: str) -> ActionRun:
    touch(tx, [row.incident])
    done = {"state": state, "outcome": clean(outcome), "owner": None, "finished_at": tx.now}
    return _change(tx, row, done, f"{row.action} {state}: {outcome} ({row.id})", actor)


def _change(tx: Transaction, row: Row[Any], values: Mapping[str, Any], note: str, actor: str) -> ActionRun:
    tx.connection.execute(update(actions).where(actions.c.id == row.id).values(**values))
    _say(tx, row.incident, note, actor)
    return _get(tx.connection, row.id)


def _say(tx: Transaction, incident: str, note: str, actor: str) -> None:
    """In the trail of the incident. Raises LookupError."""
    known, _ = incident_by_id(tx.connection, incident)
    append(tx, [entry(known, known, "acted", actor=actor, note=note, now=tx.now)])


def _touched(tx: Transaction, id_: str) -> Row[Any]:
    """The row, which is about to be changed. Raises LookupError."""
    row = tx.connection.execute(select(actions).where(actions.c.id == id_)).first()
    if row is None:
        raise LookupError(f"there is no action {id_!r}; `monitor action list` shows them")
    touch(tx, [row.incident])
    return row


def _get(connection: Connection, ref: str) -> ActionRun:
    rows = list(connection.execute(select(actions).where(actions.c.id.startswith(ref, autoescape=True)).limit(2)))
    if not ref or not rows:
        raise LookupError(f"there is no action {ref!r}; `monitor action list` shows them")
    if len(rows) > 1:
        raise LookupError(f"{ref!r} fits several actions; give more of the id")
    return action_from(rows[0])
