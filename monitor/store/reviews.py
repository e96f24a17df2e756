"""Once after an upgrade: refusals that were kept while a status alone was taken for one do not count any more.

What they closed is open again, with a line in the trail of each incident, and one notice tells of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, select, update

from monitor.common import wording
from monitor.common.severity import Severity, rank
from monitor.domain.incidents import Verified
from monitor.routing.routes import labels
from monitor.store import actions, runs
from monitor.store.changes import newest_place
from monitor.store.incidents import update_incidents
from monitor.store.outbox import add_notice
from monitor.store.records import Notice
from monitor.store.rows import apply_all, incident_from, upsert
from monitor.store.schema import asks, incidents, members, meta
from monitor.store.trail import append, entry
from monitor.store.transaction import Transaction

__all__ = ["enqueue", "review", "reviewed"]

_MARK = "refusals"  # key in `meta`: how far, or that it is done
_DONE = "done"
_ASK = upsert(asks, ("incident", "node", "due", "attempts"), on=("incident", "node"))
_NOTE = upsert(meta, ("key", "value"), on=("key",), changing=("value",))
_AT_A_TIME = 100

Worth = Callable[[dict[str, str]], Severity | None]


def reviewed(connection: Connection) -> bool:
    """Whether nothing is left to look at."""
    return _mark(connection).get("after") == _DONE


def review(tx: Transaction, stands: Collection[str], wanted: Callable[[dict[str, str]], bool], worth: Worth) -> bool:
    """Look at some more refusals, from where it was left. `stands`: providers whose refusals count as they are;
    `wanted`: who is asked about again by itself; `worth`: as for a verdict. Returns whether there are more."""
    mark = _mark(tx.connection)
    if mark.get("after") == _DONE:
        return False
    query = select(incidents).where(incidents.c.validity == "refused", incidents.c.id > mark.get("after", ""))
    rows = tx.connection.execute(query.order_by(incidents.c.id).limit(_AT_A_TIME)).all()
    doubted = [doubt for row in rows if (doubt := _doubt(tx, row, stands, wanted, worth)) is not None]
    total = mark.get("found", 0) + len(doubted)
    worst = max([mark.get("worst", "info"), *doubted], key=rank)
    more = len(rows) == _AT_A_TIME
    now = {"after": rows[-1].id if more else _DONE, "found": total, "worst": worst}
    tx.connection.execute(_NOTE, {"key": _MARK, "value": json.dumps(now)})
    if not more and total:
        add_notice(tx, _notice(total, worst))
    return more


def _doubt(
    tx: Transaction,
    row: Row[Any],
    stands: Collection[str],
    wanted: Callable[[dict[str, str]], bool],
    worth: Worth,
) -> Severity | None:
    """Take one back; the severity of its incident from then on. None: it counts."""
    was = incident_from(row)
    said = was.verified
    if said is None or not said.provider or said.provider in stands:
        return None
    why = f"refused on {wording.moment(said.at)} by an answer that may mean something else: ask again"
    place = newest_place(tx.connection, was.id)
    seen = labels(was, *place) | {"validity": "unknown", "severity": was.own_severity}
    severity = worth(seen) or was.own_severity
    base = was.own_severity if severity != was.own_severity else None
    verified = Verified("unknown", said.at, why, said.provider)
    now = replace(was, verified=verified, severity=severity, base=base)
    update_incidents(tx, [(now, row.kept)])
    # Known already, to whoever was told of it: the one notice says what changed, not a message each.
    mine = (members.c.incident == was.id) & members.c.told_state.is_not(None)
    tx.connection.execute(update(members).where(mine).values(told_severity=severity, told_validity="unknown"))

    again = runs.doubt(tx, now) if was.state != "resolved" else []
    done = actions.doubt(tx, was.id)
    steps = f"; open again: {', '.join(again)}" if again else ""
    acts = f"; not known to have worked: {', '.join(done)}" if done else ""
    append(tx, [entry(now, was, "doubted", actor="monitor", note=f"{why}{steps}{acts}", now=tx.now)])
    if was.state != "resolved" and rank(severity) > rank(was.severity):
        runs.follow(tx, [runs.RunTrigger(now, place, starts=True)])
    if was.state != "resolved" and wanted(seen | {"severity": severity}):
        enqueue(tx, [(now.id, place.host or tx.node)])  # on the host that saw it last
    return severity


def enqueue(tx: Transaction, hosts: Sequence[tuple[str, str]]) -> None:
    """Issuers are to be asked about these incidents, each by a host that has seen it."""
    rows = [{"incident": incident, "node": node, "due": tx.now, "attempts": 0} for incident, node in hosts]
    apply_all(tx.connection, _ASK, rows)


def _notice(found: int, worst: Severity) -> Notice:
    many = f"{found} secrets that were taken for refused" if found != 1 else "A secret that was taken for refused"
    text = (
        "An issuer's answer had been taken for a refusal that may mean something else: a restricted key, another "
        "server or address. Severities are what they were before; steps and actions that this answer alone had closed "
        "are open again; each incident's timeline says so. With verify.automatic they are asked about again by "
        "themselves, else by `monitor verify ID`: `monitor incidents list` shows them as unknown."
    )
    return Notice(f"{many} may be live", text, severity=worst, key="refusals")


def _mark(connection: Connection) -> dict[str, Any]:
    stored = connection.execute(select(meta.c.value).where(meta.c.key == _MARK)).scalar()
    return dict(json.loads(stored)) if stored else {}
