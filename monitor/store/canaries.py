"""Canaries: synthetic secrets that lie somewhere for long, and that nobody has a reason to use.

Only what stands here beforehand makes one, and only its fingerprint is kept. Where it was planted it may be seen, also
after that file was rotated; anywhere else somebody has taken it along, which is an alarm of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.common.rotation_names import original_names
from monitor.domain.model import CANARY, Finding
from monitor.store.rows import any_of, clean, rows_among
from monitor.store.schema import canaries, incidents
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["Canaries", "Canary", "watch"]

_ROWS = select(canaries).where(any_of(canaries.c.fingerprint))


@dataclass(frozen=True, slots=True)
class Canary:
    """`place`: where it was planted, for people; `at`: when (seconds since the epoch); `by`: who. `rule`: finds it.
    `incident`: the id of the alarm; None: it is where it was."""

    name: str
    rule: str
    place: str
    host: str
    at: float
    by: str
    incident: str | None = None


class Canaries(StoreRepository):
    """Canaries that were planted."""

    @durably
    def plant(
        self,
        tx: Transaction,
        name: str,
        fingerprints: Sequence[str],
        *,
        others: Collection[str] = (),
        rule: str,
        place: str,
        path: str | None,
        by: str,
    ) -> None:
        """What is found with one of these fingerprints from now on is this canary. `path`: the file of this host where
        it may be seen; None: nowhere. `others`: what it has in other words than those that stand there. Raises
        ValueError when there is one of that name.
        """
        if tx.connection.execute(select(canaries.c.name).where(canaries.c.name == name)).first() is not None:
            raise ValueError(f"there is a canary {name} already; forget it first, or take another name")
        texts = {"name": name, "rule": rule, "place": place, "node": tx.node, "by": by}
        alike = {column: clean(text) for column, text in texts.items()} | {"first": fingerprints[0], "at": tx.now}
        homes = dict.fromkeys(others, None) | dict.fromkeys(fingerprints, None if path is None else clean(path))
        rows = [{**alike, "fingerprint": fingerprint, "path": home} for fingerprint, home in homes.items()]
        tx.connection.execute(insert(canaries), rows)

    @read_only
    def list(self, connection: Connection) -> list[Canary]:
        """The newest first."""
        own = select(canaries, incidents.c.id.label("incident"))
        own = own.outerjoin(incidents, incidents.c.fingerprint == canaries.c.fingerprint)
        rows = connection.execute(
            own.where(canaries.c.fingerprint == canaries.c.first).order_by(canaries.c.at.desc(), canaries.c.name)
        )
        return [Canary(row.name, row.rule, row.place, row.node, row.at, row.by, row.incident) for row in rows]

    @durably
    def forget(self, tx: Transaction, name: str) -> None:
        """What is seen of it afterwards is a leak like any other. Raises LookupError."""
        if not tx.connection.execute(delete(canaries).where(canaries.c.name == name)).rowcount:
            raise LookupError(f"there is no canary {name!r}; `monitor drill --canaries` shows them")


def watch(tx: Transaction, found: Mapping[str, tuple[int, Finding]]) -> Mapping[str, tuple[int, Finding]]:
    """The findings as alarms where they are of a canary, and without those where it lies."""
    fingerprints = {finding.fingerprint for _, finding in found.values()}
    rows = {row.fingerprint: row for row in rows_among(tx.connection, _ROWS, fingerprints)}
    if not rows:
        return found
    left: dict[str, tuple[int, Finding]] = {}
    homes = {print_: row.offset for print_, row in rows.items() if row.offset is not None}
    for id_, (number, finding) in found.items():
        row = rows.get(finding.fingerprint)
        if row is None:
            left[id_] = (number, finding)
        elif not _at_home(tx, row, finding, homes):
            left[id_] = (number, _alarm(row, finding))
    return left


def _at_home(tx: Transaction, row: Row[Any], finding: Finding, homes: dict[str, int]) -> bool:
    """In its file, under whatever name a rotation gives that, and there at its own place: a second one is another.
    `homes`: these places by fingerprint; the first one that is seen is added."""
    if row.path is None or row.node != clean(tx.node) or row.path not in map(clean, original_names(finding.path)):
        return False
    if row.fingerprint not in homes:
        homes[row.fingerprint] = finding.offset
        own = canaries.c.fingerprint == row.fingerprint
        tx.connection.execute(update(canaries).where(own).values(offset=finding.offset))
    return homes[row.fingerprint] == finding.offset


def _alarm(row: Row[Any], finding: Finding) -> Finding:
    return replace(
        finding,
        rule=CANARY,
        name=f"Canary {row.name} was used or moved",
        severity="critical",
        confidence="high",
        fingerprint=row.first,
        runbook=CANARY,
        labels={**finding.labels, "canary": row.name, "planted": f"{row.place} on {row.node}"},
    )
