"""Whether incidents, their histories and their actions are as the monitor has written them: all of it is looked at.

Who has the key can forge all of it, and who has this host's own note besides can put back an older state unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from monitor.store.chain import broken, same
from monitor.store.heads import TOTAL, Head
from monitor.store.reseal import each
from monitor.store.schema import ASIDE, CHAINS, actions, incidents, totals
from monitor.store.sealing import SealedIncident, Total, part, seal_of

__all__ = ["TrailVerdict", "examine"]

Problem = tuple[str, str]

_COMPARED = ("state", "resolution", "severity")


@dataclass(frozen=True, slots=True)
class TrailVerdict:
    """What a look at all of it found. `taken`: incidents that were accepted as they were, at `since` (seconds since the
    epoch; None: nothing is sealed). `kept`: whether this host has a note of its own of where histories end. `problems`:
    incident (empty: all of them) and what is wrong."""

    incidents: int = 0
    entries: int = 0
    taken: int = 0
    since: float | None = None
    kept: bool = True
    problems: Sequence[Problem] = field(default_factory=tuple)


def examine(connection: Connection, secret: bytes, known: Sequence[Head] | None) -> TrailVerdict:
    """`known`: what this host knows, read before; None: it keeps nothing."""
    if connection.dialect.name == "postgresql" and not connection.in_transaction():
        # All tables as they are at one moment, though others write.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    hosts = [Total.read(secret, row) for row in connection.execute(select(totals).order_by(totals.c.node))]
    problems: list[Problem] = []
    ends: dict[str, Row[Any]] = {}
    seen = entries = combined = 0
    for chunk in each(connection, secret):
        seen += sum(stands.exists for id_, stands, _ in chunk if id_ not in CHAINS)
        for id_, stands, history in chunk:
            entries += len(history)
            if (end := stands.end) is not None:
                ends[id_] = end
                combined ^= part(secret, end.seal)
            problems += [(id_, wrong) for wrong in _wrong(connection, secret, id_, stands, history)]
    return TrailVerdict(
        incidents=seen,
        entries=entries,
        taken=sum(host.taken for host in hosts),
        since=min((host.since for host in hosts), default=None),
        kept=known is not None,
        problems=(*problems, *_missing(known or (), ends, hosts), *_sums(hosts, len(ends), combined)),
    )


def _wrong(
    connection: Connection, secret: bytes, id_: str, stands: SealedIncident, history: Sequence[Row[Any]]
) -> Iterator[str]:
    """What is wrong with one incident, by what the database has of it."""
    end = stands.end
    if not stands.exists and (end is None or end.state or history):
        yield f"the incident is gone, and {len(history)} entries of its history are left"
        return
    if end is None:
        yield "it has no seal: it was put in beside the monitor, or its seal was removed"
        return
    if not same(end.seal, seal_of(secret, end._mapping)):
        yield "its seal was changed, or made with another key"
        return
    if (cut := broken(secret, id_, history, end.entries, end.mac)) is not None:
        yield cut
    if not same(end.state, stands.state):
        yield f"the incident itself was changed beside the monitor{_difference(connection, id_, history)}"
    if not same(end.actions, stands.actions):
        rows = connection.execute(select(actions).where(actions.c.incident == id_).order_by(actions.c.id))
        left = ", ".join(f"{row.action} ({row.id}) {row.state}" for row in rows)
        yield (
            "an action of it, who approved it, or what was noted of a merge into it was changed, added, put back or "
            f"removed; actions: {left or 'none'}"
        )


def _difference(connection: Connection, id_: str, history: Sequence[Row[Any]]) -> str:
    """How it stands, where its history says otherwise."""
    now = connection.execute(select(incidents).where(incidents.c.id == id_)).one()
    said = next((row for row in reversed(history) if row.step is None and row.action not in ASIDE), None)
    if said is None:
        return ""
    pairs = [(name, getattr(now, name), getattr(said, name)) for name in _COMPARED]
    words = [f"its {name} is {is_ or 'none'}, by its history {was or 'none'}" for name, is_, was in pairs if is_ != was]
    return "".join(f"; {word}" for word in words)


def _sums(hosts: Sequence[Total], present: int, combined: int) -> Iterator[Problem]:
    """What is wrong with all of them together."""
    for host in hosts:
        if not host.sound:
            yield "", f"the sum of what host {host.node} has sealed was changed, or made with another key"
        combined ^= host.sum
    if not combined or not all(host.sound for host in hosts):
        return
    gone = sum(host.incidents for host in hosts) - present
    if gone > 0:
        yield "", f"incidents with all that is sealed of them are gone: {gone}"
    elif gone < 0:
        yield "", f"incidents with their seals were put back, or the sum of a host is gone: {-gone}"
    else:
        yield "", "the seal of an incident was exchanged for an older one, or an incident for another"


def _missing(known: Sequence[Head], ends: Mapping[str, Row[Any]], hosts: Sequence[Total]) -> Iterator[Problem]:
    """What this host knows more of than the database."""
    behind, since = _behind(known, {host.head.incident: host for host in hosts})
    count = entries = 0
    for head in known:
        end = ends.get(head.incident)
        if head.incident.startswith(TOTAL):
            continue
        if end is None:
            lost, told = head.entries + head.missing, f"it is gone with its history, {head.entries} entries"
        elif head.lost or head.turn > end.turn:
            lost = head.missing + max(0, head.entries - end.entries)
            told = f"{lost} entries missing" if lost else "a later state of it, without an entry, is missing"
        elif head.passes(end.turn, end.seal):
            lost, told = 0, "it is not as this host has sealed it"
        else:
            continue
        count, entries = count + 1, entries + lost
        yield head.incident, f"{told}{since}"
    if behind:
        older = "the database is older than what this host knows (a failover, or a copy that was put back)"
        yield "", f"{entries} entries of {count} incidents missing{since}: {older}"


def _behind(known: Sequence[Head], hosts: Mapping[str, Total]) -> tuple[bool, str]:
    """Whether a sum is older than this host knows it, and since when."""
    behind, times = False, []
    for head in known:
        host = hosts.get(head.incident)
        if not head.incident.startswith(TOTAL):
            continue
        if head.lost or host is None or head.passes(host.turn, host.seal):
            behind = True
            times += [at for at in (head.since if host is None or head.lost else host.at,) if at is not None]
    return behind, f" since {datetime.fromtimestamp(min(times), UTC):%Y-%m-%d %H:%M:%S} UTC" if times else ""
