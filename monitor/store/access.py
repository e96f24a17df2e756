"""Access: what audit records say goes into the trail of readings and into habits; what is out of order is a finding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from detectors.fingerprint import fingerprint
from monitor.access.baseline import Habit
from monitor.access.judge import HABITUAL, KINDS, Habits, Odd, judge
from monitor.access.policy import audited
from monitor.access.reading import Outcome, Reading
from monitor.domain.incidents import Incident
from monitor.domain.model import Finding
from monitor.store.rows import any_of, apply_all, chunks, clean, insert_into, rows_among, upsert
from monitor.store.schema import habits, marks, read_ids, reads
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only
from monitor.store.wrappings import named

__all__ = ["Access", "Use", "take"]

_MOST = 10_000  # rows of an answer
_SHOWN = 120  # characters of a title

_BY_MARK = select(marks.c.secret).where(any_of(marks.c.mark))
_KEEP_MARK = upsert(marks, ("mark", "secret", "last"), on=("mark", "secret"), changing=("last",))
_KEEP_HABIT = upsert(
    habits, ("secret", "principal", "state", "last"), on=("secret", "principal"), changing=("state", "last")
)


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody's readings of one secret from one address within one hour. Times: seconds since 1970."""

    secret: str
    principal: str
    address: str
    outcome: Outcome
    source: str
    names: tuple[str, ...]
    agent: str
    first: float
    last: float
    times: int


class Access(StoreRepository):
    """Who read what."""

    @read_only
    def uses(
        self,
        connection: Connection,
        *,
        secrets: Sequence[str] | None = None,
        principal: str | None = None,
        since: float = 0.0,
        limit: int = 100,
    ) -> list[Use]:
        """Last first. `secrets`: only these, by their whole names."""
        query = select(reads).where(reads.c.last >= since)
        if secrets is not None:
            query = query.where(reads.c.secret.in_(list(secrets)[:_MOST]))
        if principal is not None:
            query = query.where(reads.c.principal == principal)
        rows = connection.execute(query.order_by(reads.c.last.desc(), reads.c.id).limit(min(limit, _MOST)))
        return [
            Use(
                row.secret, row.principal, row.address, row.outcome, row.source, tuple(json.loads(row.names)),
                row.agent, row.first, row.last, row.times,
            )
            for row in rows
        ]  # fmt: skip

    @read_only
    def names(self, connection: Connection, incident: Incident, marked: Iterable[str] = ()) -> list[str]:
        """What audit records call the secret of an incident: by its name in the inventory, by its own value where that
        is an id, by the id beside it, or by what somebody says stands for it there (an HMAC)."""
        key, labels = self._session.secret, incident.labels
        values = [*marked, labels["access_key_id"]] if labels.get("access_key_id") else list(marked)
        hashed = [incident.fingerprint, *(fingerprint(key, value.encode()) for value in values)]
        by_mark = {row.secret for row in rows_among(connection, _BY_MARK, hashed)}
        owned = bool(labels.get("inventory") or labels.get("entry"))
        return sorted(by_mark | _labelled(connection, labels.get("secret"), owned=owned))

    @durably
    def link(self, tx: Transaction, incident: Incident, names: Iterable[str]) -> None:
        """From now on audit records about these names are about the secret of the incident."""
        rows = [{"mark": incident.fingerprint, "secret": clean(name), "last": tx.now} for name in names]
        apply_all(tx.connection, _KEEP_MARK, rows)

    @read_only
    def known(self, connection: Connection) -> list[tuple[str, str, Habit]]:
        """Every secret with every principal that read it, and what is usual of that."""
        query = select(habits).where(habits.c.secret != "", habits.c.principal != "")
        rows = connection.execute(query.order_by(habits.c.secret, habits.c.principal))
        return [(row.secret, row.principal, Habit.of_json(json.loads(row.state))) for row in rows]

    @read_only
    def last(self, connection: Connection) -> float | None:
        """When the last record was read; None: none ever was."""
        return connection.execute(select(func.max(read_ids.c.at))).scalar()


def take(tx: Transaction, source: str, readings: Sequence[Reading]) -> list[Finding]:
    """Store what is new of them. Returns what is out of order."""
    if not readings:
        return []
    fresh = named(tx, _new(tx, readings))
    trail = ("", f"source {clean(source)}")  # beside the readers: it is known, too, for how long records were read
    usual = _load(tx.connection, fresh, trail[1])
    odd: dict[str, Finding] = {}
    singles: dict[str, tuple[str, int]] = {}  # by id, whose they are and of which hour
    broad: set[tuple[str, int]] = set()  # where they are parts of one matter
    for reading in fresh:
        for one in _judged(tx, reading, usual, trail):
            finding = _finding(tx, source, reading, one)
            odd.setdefault(finding.id, finding)
            if one.kind == "breadth":
                broad.add((reading.principal, _hour(reading)))
            elif one.kind in HABITUAL:
                singles.setdefault(finding.id, (reading.principal, _hour(reading)))

    _count(tx, source, fresh)
    states = [
        {"secret": secret, "principal": principal, "state": json.dumps(habit.as_json()), "last": habit.last}
        for (secret, principal), habit in usual.items()
    ]
    apply_all(tx.connection, _KEEP_HABIT, states)
    seen = {
        (fingerprint(tx.secret, mark.encode()), reading.secret): reading.at
        for reading in fresh
        for mark in reading.marks
    }
    rows = [{"mark": mark, "secret": secret, "last": at} for (mark, secret), at in seen.items()]
    apply_all(tx.connection, _KEEP_MARK, rows)
    return [finding for id_, finding in odd.items() if singles.get(id_) not in broad]


def _new(tx: Transaction, readings: Sequence[Reading]) -> list[Reading]:
    """Those whose records were not read before, with texts that the database takes."""
    once = {reading.id: reading for reading in readings}
    statement = insert_into(tx.connection, read_ids).on_conflict_do_nothing(index_elements=[read_ids.c.id])
    fresh: set[str] = set()
    for chunk in chunks(once):
        rows = [{"id": id_, "at": tx.now} for id_ in chunk]
        fresh.update(tx.connection.execute(statement.returning(read_ids.c.id), rows).scalars())
    return [
        replace(
            one,
            secret=clean(one.secret),
            principal=clean(one.principal),
            address=clean(one.address),
            agent=clean(one.agent),
            names=tuple(map(clean, one.names)),
        )
        for id_, one in once.items()
        if id_ in fresh
    ]


_Usual = dict[tuple[str, str], Habit]


def _hour(reading: Reading) -> int:
    return int(reading.at // 3600)


def _load(connection: Connection, readings: Iterable[Reading], trail: str) -> _Usual:
    """Habits by secret and principal, either of them empty for whichever; `trail`: the name of what all have read."""
    readings = list(readings)
    usual: _Usual = {}
    columns = habits.c
    for name, other, of in (
        (columns.secret, columns.principal, {reading.secret for reading in readings}),
        (columns.principal, columns.secret, {trail, *(reading.principal for reading in readings)}),
    ):
        for row in rows_among(connection, select(habits).where(any_of(name), other == ""), of):
            usual[row.secret, row.principal] = Habit.of_json(json.loads(row.state))
    for secret, principal in {(reading.secret, reading.principal) for reading in readings}:
        query = select(habits.c.state).where(columns.secret == secret, columns.principal == principal)
        if (state := connection.execute(query).scalar()) is not None:
            usual[secret, principal] = Habit.of_json(json.loads(state))
    return usual


def _judged(tx: Transaction, reading: Reading, usual: _Usual, trail: tuple[str, str]) -> list[Odd]:
    """What is out of order about it; what is usual from now on goes into `usual`."""
    pair, secret, who = (reading.secret, reading.principal), (reading.secret, ""), ("", reading.principal)
    known = Habits(usual.get(pair), usual.get(secret), usual.get(who), usual.get(trail))
    odd, after = judge(tx.access, reading, known)
    for key, habit in ((pair, after.pair), (secret, after.secret), (who, after.principal), (trail, after.trail)):
        if habit is not None:
            usual[key] = habit
    return odd


def _finding(tx: Transaction, source: str, reading: Reading, odd: Odd) -> Finding:
    """One incident for a secret, a principal and a kind, or for a principal's hour of many secrets; one occurrence an
    hour, however many readings there were, but for one more whenever the secrets of an hour are twice as many."""
    hour = _hour(reading)
    broad = odd.kind == "breadth"  # each hour is judged for itself: to close one as harmless says nothing of the next
    secret = "" if odd.kind == "denied" else str(hour) if broad else reading.secret
    whose = "" if odd.kind == "browser" else reading.principal
    print_ = fingerprint(tx.secret, f"access\0{odd.kind}\0{secret}\0{whose}".encode())
    of = "" if broad else reading.secret
    labels = {"secret": of, "principal": reading.principal, "address": reading.address}
    return Finding(
        id=hashlib.blake2b(f"{print_}\0{hour}\0{odd.count}".encode(), digest_size=16).hexdigest(),
        rule=f"access-{odd.kind}",
        name=KINDS[odd.kind],
        severity=odd.severity,
        confidence="high" if odd.kind in ("policy", "browser") or (broad and odd.severity == "high") else "medium",
        fingerprint=print_,
        masked=f"{reading.principal} → {of or 'many secrets'}"[:_SHOWN],
        source=source,
        path=reading.secret,
        generation=f"access {hour}",
        offset=0,
        time=tx.now,
        labels={name: text for name, text in labels.items() if text},
        runbook="access",
        logged_at=reading.at,
        context=odd.text,
    )


def _count(tx: Transaction, source: str, readings: Iterable[Reading]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for one in readings:
        hour = int(one.at // 3600)
        key = "\0".join((one.secret, one.principal, one.address, one.outcome, str(hour), source))
        id_ = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        if (row := rows.get(id_)) is not None:
            row.update(first=min(row["first"], one.at), last=max(row["last"], one.at), times=row["times"] + 1)
            continue
        rows[id_] = {
            "id": id_,
            "secret": one.secret,
            "principal": one.principal,
            "address": one.address,
            "outcome": one.outcome,
            "hour": hour,
            "source": clean(source),
            "names": json.dumps(one.names),
            "agent": one.agent,
            "first": one.at,
            "last": one.at,
            "times": 1,
        }
    if not rows:
        return
    statement = insert_into(tx.connection, reads)
    new, old = statement.excluded, reads.c
    least, most = (func.least, func.greatest) if tx.connection.dialect.name == "postgresql" else (func.min, func.max)
    changed = {
        "first": least(old.first, new.first),
        "last": most(old.last, new.last),
        "times": old.times + new.times,
    }
    tx.connection.execute(statement.on_conflict_do_update(index_elements=[old.id], set_=changed), list(rows.values()))


def _labelled(connection: Connection, name: str | None, *, owned: bool) -> set[str]:
    """By the name that an incident has for it; `owned`: it is the inventory's, which names single keys."""
    if not name:
        return set()
    path = audited(name).partition("#")[0] if owned else name
    found = {name, path}
    if owned and "/" not in path:  # audit records say whose it is: `project/name`
        query = select(habits.c.secret).where(habits.c.secret.endswith(f"/{path}", autoescape=True)).distinct()
        found.update(connection.execute(query).scalars())
    return found
