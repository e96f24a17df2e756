"""Access: what audit records say goes into the trail of readings and into habits; what is out of order is a finding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, select

from detectors.fingerprint import fingerprint
from monitor.access.baseline import Habit
from monitor.access.judge import HABITUAL, KINDS, Habits, Odd, judge
from monitor.access.policy import audited
from monitor.access.reading import BEARER, Outcome, Reading
from monitor.domain.incidents import Incident
from monitor.domain.model import Finding
from monitor.store.rows import any_of, apply_all, clean, narrowed, rows_among, upsert
from monitor.store.schema import habits, marks, read_ids, reads, wrappings
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Access", "Use", "take"]

_MOST = 10_000  # rows of an answer
_SHOWN = 120  # characters of a title

_BY_MARK = select(marks.c.secret).where(any_of(marks.c.mark))
_KEEP_MARK = upsert(marks, ("mark", "secret", "last"), on=("mark", "secret"), changing=("last",))
_KEEP_WRAPPED = upsert(wrappings, ("token", "secret", "principal", "at"), on=("token",))
_READS = select(reads).where(any_of(reads.c.id))
_KEEP_READS = upsert(reads, [column.name for column in reads.c], on=("id",), changing=("first", "last", "times"))
_KNOWN_IDS = select(read_ids.c.id).where(any_of(read_ids.c.id))
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
        query = narrowed(
            select(reads).where(reads.c.last >= since),
            None if secrets is None else reads.c.secret.in_(list(secrets)[:_MOST]),
            None if principal is None else reads.c.principal == principal,
        )
        rows = connection.execute(query.order_by(reads.c.last.desc(), reads.c.id).limit(min(limit, _MOST)))
        return [
            Use(
                row.secret, row.principal, row.address, row.outcome, row.source, tuple(json.loads(row.names)),
                row.agent, row.first, row.last, row.times,
            )
            for row in rows
        ]  # fmt: skip

    @read_only
    def names(self, connection: Connection, incident: Incident, marked: Collection[str] = ()) -> list[str]:
        """What audit records call the secret of an incident: by its name in the inventory, by its own value where that
        is an id, by the id beside it, or by what somebody says stands for it there (an HMAC)."""
        key, labels = self._session.secret, incident.labels
        values = [*marked, labels["access_key_id"]] if labels.get("access_key_id") else list(marked)
        hashed = [incident.fingerprint, *(fingerprint(key, value.encode()) for value in values)]
        by_mark = {row.secret for row in rows_among(connection, _BY_MARK, hashed)}
        owned = bool(labels.get("inventory") or labels.get("entry"))
        return sorted(by_mark | _labelled(connection, labels.get("secret"), owned=owned))

    @durably
    def link(self, tx: Transaction, incident: Incident, names: Collection[str]) -> None:
        """From now on audit records about these names are about the secret of the incident."""
        rows = [{"mark": incident.fingerprint, "secret": clean(name), "last": tx.now} for name in names]
        apply_all(tx.connection, _KEEP_MARK, rows)

    @read_only
    def known(self, connection: Connection) -> list[tuple[str, str, Habit]]:
        """Every secret with every principal that read it, and what is usual of that."""
        query = select(habits).where(habits.c.secret != "", habits.c.principal != "")
        rows = connection.execute(query.order_by(habits.c.secret, habits.c.principal))
        return [(row.secret, row.principal, Habit.of_json(json.loads(row.state))) for row in rows]


def take(tx: Transaction, source: str, readings: Sequence[Reading]) -> list[Finding]:
    """Store what is new of them. Returns what is out of order."""
    if not readings:
        return []
    # With the secret that was got by a wrapping token in place of the token's path, of those that count.
    fresh = [named for reading in _new(tx, readings) if (named := _named(tx, reading)).counts]
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
    rows = {
        (reading.secret, mark): {
            "mark": fingerprint(tx.secret, mark.encode()),
            "secret": reading.secret,
            "last": reading.at,
        }
        for reading in fresh
        for mark in reading.marks
    }
    apply_all(tx.connection, _KEEP_MARK, list(rows.values()))
    return [finding for id_, finding in odd.items() if singles.get(id_) not in broad]


def _new(tx: Transaction, readings: Sequence[Reading]) -> list[Reading]:
    """Those whose records were not read before, with texts that the database takes."""
    # Nobody else writes meanwhile: what is not there now is new.
    known = {row.id for row in rows_among(tx.connection, _KNOWN_IDS, [reading.id for reading in readings])}
    fresh = {reading.id: reading for reading in readings if reading.id not in known}
    apply_all(tx.connection, insert(read_ids), [{"id": id_, "at": tx.now} for id_ in fresh])
    return [
        replace(
            reading,
            secret=clean(reading.secret),
            principal=clean(reading.principal),
            address=clean(reading.address),
            agent=clean(reading.agent),
            names=tuple(map(clean, reading.names)),
        )
        for reading in fresh.values()
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
    """Add them to the rows of their hours."""
    rows: dict[str, dict[str, Any]] = {}
    for reading in readings:
        whose = (reading.secret, reading.principal, reading.address, reading.outcome)
        key = "\0".join((*whose, str(_hour(reading)), source))
        id_ = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        row = rows.setdefault(
            id_,
            {
                "id": id_,
                "secret": reading.secret,
                "principal": reading.principal,
                "address": reading.address,
                "outcome": reading.outcome,
                "hour": _hour(reading),
                "source": clean(source),
                "names": json.dumps(reading.names),
                "agent": reading.agent,
                "first": reading.at,
                "last": reading.at,
                "times": 0,
            },
        )
        _widen(row, reading.at, reading.at, 1)
    for known in rows_among(tx.connection, _READS, rows):
        _widen(rows[known.id], known.first, known.last, known.times)
    apply_all(tx.connection, _KEEP_READS, list(rows.values()))


def _widen(row: dict[str, Any], first: float, last: float, times: int) -> None:
    row.update(first=min(row["first"], first), last=max(row["last"], last), times=row["times"] + times)


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


# What is wrapped: by which wrapping token which secret is got, as only the record of who put it there says.

_Wrapped = tuple[str, str]  # the secret, empty for what is none of ours, and who had it wrapped


def _named(tx: Transaction, reading: Reading) -> Reading:
    """Who has shown nothing but the token acts for whoever had it made."""
    known = _known(tx, reading) if reading.unwraps else None
    if known is not None:
        who = known[1] if reading.principal == BEARER else reading.principal
        reading = replace(reading, secret=known[0] or reading.secret, principal=who, counts=bool(known[0]))
    if reading.wraps:
        secret = clean(reading.secret) if reading.counts else ""
        kept = {
            "token": _hash(tx, reading.wraps),
            "secret": secret,
            "principal": clean(reading.principal),
            "at": tx.now,
        }
        tx.connection.execute(_KEEP_WRAPPED, kept)
    return reading


def _known(tx: Transaction, reading: Reading) -> _Wrapped | None:
    query = select(wrappings.c.secret, wrappings.c.principal).where(wrappings.c.token == _hash(tx, reading.unwraps))
    if row := tx.connection.execute(query).first():
        return row.secret, row.principal
    if secret := _by_value(tx.connection, [fingerprint(tx.secret, mark.encode()) for mark in reading.marks]):
        return secret, reading.principal
    return None


def _by_value(connection: Connection, hashed: list[str]) -> str | None:
    """The one secret that was read before with the same values."""
    query = select(marks.c.secret).where(marks.c.mark.in_(hashed)).distinct().limit(2)
    secrets = connection.execute(query).scalars().all() if hashed else ()
    return secrets[0] if len(secrets) == 1 else None


def _hash(tx: Transaction, token: str) -> str:
    return fingerprint(tx.secret, b"wrapping\0" + token.encode())
