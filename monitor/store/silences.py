"""Silences as people set them, of single incidents or of all that match: nobody is told and no deadline is missed
until then. And rules that they have lowered, whose incidents open no worse than was said (monitor.store.lowering)."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from monitor.common.severity import Severity
from monitor.common.wording import moment
from monitor.domain.incidents import TransitionError
from monitor.routing.match import Matcher
from monitor.routing.routes import Policy, Silence
from monitor.store.rows import any_of, chunks, clean, incident_by_id, rows_among
from monitor.store.schema import MONITOR, audit, groups, incidents, members, runs, silence_rules, silences
from monitor.store.trail import append, entry, noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = [
    "ONE_RULE",
    "Hushed",
    "SilenceRule",
    "Silences",
    "audible",
    "hush",
    "in_force",
    "later",
    "release",
    "rule_alone",
    "rules_at",
    "silence_of",
    "silenced_among",
    "silencing",
]

ONE_RULE = 'what is lowered is one rule, with no other matcher beside rule="ID"'
_NO_LATER = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # behind it there is no date


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """Incidents that match are silent from `starts` to `ends` (seconds since the epoch). `by`: who said so; `ended_by`:
    who ended it before its time, None: nobody. `severity`: they are not silent, and open no worse than this."""

    id: str
    matchers: tuple[str, ...]
    starts: float
    ends: float
    by: str
    reason: str
    ended_by: str | None = None
    ended_why: str | None = None
    severity: Severity | None = None

    @property
    def rule(self) -> str:
        """The rule that it is of and of nothing beside; empty: it is of more, or of less."""
        return rule_alone(self.matchers)


@dataclass(frozen=True, slots=True)
class Hushed:
    """One incident that is silent from `starts` to `until` (seconds since the epoch). `by`: who said so. Of one whose
    history is forgotten only the end is known."""

    incident: str
    until: float
    starts: float | None
    by: str
    reason: str


class Silences(StoreRepository):
    """Silences as people set them. An incident is named by its id."""

    @durably
    def set(self, tx: Transaction, incident: str, seconds: float, *, actor: str, note: str) -> float:
        """Until so many seconds from now; returns when it ends. 0: no longer. Raises LookupError."""
        return hush(tx, incident, seconds, actor=actor, note=note)

    @durably
    def add(
        self,
        tx: Transaction,
        matchers: Sequence[str],
        seconds: float,
        *,
        actor: str,
        reason: str,
        starts: float | None = None,
        severity: Severity | None = None,
        once: str = "",
    ) -> SilenceRule:
        """All that match, for so many seconds from `starts` (None: now); or a rule is lowered to `severity` so long.
        `once`: what a repeat is known by, which adds nothing; empty: none comes. Raises ValueError for what is no
        matcher, and for what is to be lowered and is no single rule."""
        id_ = hashlib.sha256(once.encode()).hexdigest()[:8] if once else secrets.token_hex(4)
        same = tx.connection.execute(select(silence_rules).where(silence_rules.c.id == id_)).first() if once else None
        if same is not None:
            return _rule(same)
        parsed = tuple(str(Matcher.parse(text)) for text in matchers)
        begin = tx.now if starts is None else starts
        end = min(begin + seconds, _NO_LATER)
        rule = SilenceRule(id_, parsed, begin, end, clean(actor), clean(reason), severity=severity)
        if severity is not None and not rule.rule:
            raise ValueError(ONE_RULE)
        row = {"id": rule.id, "matchers": json.dumps(parsed), "starts": begin, "ends": end, "severity": severity}
        tx.connection.execute(insert(silence_rules).values(**row, by=rule.by, reason=rule.reason))
        action = "silenced" if severity is None else "rule_lowered"
        noted(tx, action, f"{_what(rule)}, until {moment(end)}: {reason}", actor=actor, chain=MONITOR)
        _changed(tx, rule)
        return rule

    @durably
    def end(self, tx: Transaction, id_: str, *, actor: str, note: str) -> SilenceRule:
        """No longer, by a unique start of its id; what it held back is told. It stays among those that are `over`.
        Raises LookupError."""
        fitting = [rule for rule in rules_at(tx.connection, tx.now) if rule.id.startswith(id_)]
        if len(fitting) != 1:
            fits = f"{id_!r} fits {len(fitting)} silences" if fitting else f"there is no silence {id_!r}"
            raise LookupError(f"{fits}; `monitor silences list` shows them")
        ended = replace(fitting[0], ends=tx.now, ended_by=clean(actor), ended_why=clean(note))
        changed = {"ends": ended.ends, "ended_by": ended.ended_by, "ended_why": ended.ended_why}
        tx.connection.execute(update(silence_rules).where(silence_rules.c.id == ended.id).values(changed))
        action = "unsilenced" if ended.severity is None else "rule_restored"
        noted(tx, action, f"{_what(ended)}{note and f': {note}'}", actor=actor, chain=MONITOR)
        _changed(tx, ended)
        return ended

    @read_only
    def over(self, connection: Connection) -> Sequence[SilenceRule]:
        """Those by what incidents are that ended within the last month, the newest first."""
        query = select(silence_rules).where(silence_rules.c.ends <= self._session.now())
        return [_rule(row) for row in connection.execute(query.order_by(silence_rules.c.ends.desc()))]

    @read_only
    def list(self, connection: Connection) -> tuple[list[SilenceRule], list[Hushed]]:
        """Those that are not over: by what incidents are, and of single ones; the first to end before the others."""
        now = self._session.now()
        said = select(func.max(audit.c.seq)).where(audit.c.action == "silenced").group_by(audit.c.incident)
        who = (func.coalesce(column, "") for column in (audit.c.actor, audit.c.note))
        single = (
            select(silences.c.incident, silences.c.until, audit.c.at, *who)
            .outerjoin(audit, (audit.c.incident == silences.c.incident) & audit.c.seq.in_(said))
            .where(silences.c.until > now)
            .order_by(silences.c.until)
        )
        return rules_at(connection, now), [Hushed(*row) for row in connection.execute(single)]


def audible(tx: Transaction) -> Policy:
    """The policy in force together with the silences that people have set."""
    if tx.audible is None:
        tx.audible = silencing(tx.policy, in_force(tx))
    return tx.audible


def in_force(tx: Transaction) -> Sequence[SilenceRule]:
    """What people have silenced or lowered by what it is, and is not over."""
    if tx.silences is None:
        tx.silences = rules_at(tx.connection, tx.now)
    known: Sequence[SilenceRule] = tx.silences
    return known


def rule_alone(matchers: Sequence[str]) -> str:
    """The rule that matchers mean and nothing beside; empty: they mean more, or less. Raises ValueError."""
    (first, *others) = map(Matcher.parse, matchers)
    return first.value if not others and (first.label, first.op) == ("rule", "=") else ""


def silencing(policy: Policy, rules: Iterable[SilenceRule]) -> Policy:
    """The policy with these silences as well; what is lowered is none."""
    added = tuple(silence_of(rule) for rule in rules if rule.severity is None)
    return replace(policy, silences=(*policy.silences, *added)) if added else policy


def silence_of(rule: SilenceRule) -> Silence:
    """As the policy has it."""
    return Silence(
        matchers=tuple(Matcher.parse(text) for text in rule.matchers),
        starts=datetime.fromtimestamp(rule.starts, UTC),
        ends=datetime.fromtimestamp(rule.ends, UTC),
    )


_RULES = select(silence_rules).where(silence_rules.c.ends > bindparam("now")).order_by(silence_rules.c.ends)


def rules_at(connection: Connection, now: float) -> list[SilenceRule]:
    """Those that are not over at this time (seconds since the epoch), the first to end first."""
    return [_rule(row) for row in connection.execute(_RULES, {"now": now})]


def _rule(row: Row[Any]) -> SilenceRule:
    return SilenceRule(
        id=row.id,
        matchers=tuple(json.loads(row.matchers)),
        starts=min(row.starts, _NO_LATER),
        ends=min(row.ends, _NO_LATER),
        by=row.by,
        reason=row.reason,
        ended_by=row.ended_by,
        ended_why=row.ended_why,
        severity=row.severity,
    )


def _what(rule: SilenceRule) -> str:
    return ", ".join(rule.matchers) + (f" lowered to {rule.severity}" if rule.severity is not None else "")


def _changed(tx: Transaction, rule: SilenceRule) -> None:
    """Whoever is alive is looked at anew; incidents that are there keep the severity that they have."""
    tx.changed()
    if rule.severity is not None:
        return
    alive = select(members.c.group).join(incidents, incidents.c.id == members.c.incident)
    alive = alive.where(incidents.c.state != "resolved")
    tx.connection.execute(update(groups).where(groups.c.id.in_(alive)).values(due_at=tx.now))
    tx.connection.execute(update(runs).where(runs.c.ended.is_(None)).values(due=tx.now))
    tx.announce()


def release(tx: Transaction, ids: Iterable[str]) -> None:
    """What is held back for these incidents is looked at anew: perhaps they hold it no more."""
    for chunk in chunks(ids):
        held = members.c.held.in_(chunk)
        woken = tx.connection.execute(
            update(groups).where(groups.c.id.in_(select(members.c.group).where(held))).values(due_at=tx.now)
        )
        if woken.rowcount:
            waiting = runs.c.incident.in_(select(members.c.incident).where(held))
            tx.connection.execute(update(runs).where(waiting, runs.c.ended.is_(None)).values(due=tx.now))
            tx.announce()


_SILENCED = select(silences.c.incident, silences.c.until).where(any_of(silences.c.incident))


def silenced_among(connection: Connection, ids: Iterable[str], now: float) -> dict[str, float]:
    """Incidents that are silenced now → until when."""
    return {row.incident: row.until for row in rows_among(connection, _SILENCED, ids) if row.until > now}


def later(first: float | None, second: float | None) -> float | None:
    """Of two ends of silences; None is none."""
    return max((end for end in (first, second) if end is not None), default=None)


def hush(tx: Transaction, id_: str, seconds: float, *, actor: str, note: str) -> float:
    """Until so many seconds from now; returns when it ends. Raises LookupError, and TransitionError where it is
    resolved."""
    connection, until = tx.connection, min(tx.now + seconds, _NO_LATER)
    known, _ = incident_by_id(connection, id_)
    if seconds > 0 and known.state == "resolved":
        raise TransitionError(f"incident {id_} is resolved: there is nothing to silence")
    connection.execute(delete(silences).where(silences.c.incident == id_))
    if seconds > 0:
        connection.execute(insert(silences).values(incident=id_, until=until))
    tx.changed()
    append(tx, [entry(known, known, "silenced" if seconds > 0 else "unsilenced", actor=actor, note=note, now=tx.now)])

    # What it held back, or holds back from now on, is looked at anew.
    mine = select(members.c.group).where(members.c.incident == id_)
    connection.execute(update(groups).where(groups.c.id.in_(mine)).values(due_at=tx.now))
    connection.execute(update(runs).where(runs.c.incident == id_, runs.c.ended.is_(None)).values(due=tx.now))
    release(tx, [id_])
    tx.announce()
    return until
