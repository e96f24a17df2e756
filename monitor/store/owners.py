"""Whose secret a fingerprint is of, and that incidents about it learn of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from monitor.common.grouping import grouped
from monitor.common.text import clip, one_line
from monitor.domain.incidents import claim, labels_of, own_title, worth_of
from monitor.domain.model import OwnedSecret
from monitor.store import groups, runs
from monitor.store.changes import newest_place
from monitor.store.incidents import update_incidents
from monitor.store.records import Notice
from monitor.store.rows import any_of, incident_from, rows_among
from monitor.store.schema import incidents, secret_prints, secret_versions, secrets
from monitor.store.trail import append, entry
from monitor.store.transaction import Transaction

__all__ = ["adopt", "by_fingerprint", "returned"]

_TOLD = 10  # names in a message
_EXPOSED = select(incidents).where(any_of(incidents.c.fingerprint))
_OWNED = (
    select(
        secret_prints.c.fingerprint,
        secrets.c.entry,
        secrets.c.name,
        secret_prints.c.part,
        secrets.c.environment,
        secrets.c.owner,
        secrets.c.consumers,
        secrets.c.tags,
        secret_versions.c.standing,
    )
    .join(secret_versions, secret_versions.c.id == secret_prints.c.version)
    .join(secrets, (secrets.c.entry == secret_versions.c.entry) & (secrets.c.name == secret_versions.c.name))
    .order_by(secret_versions.c.standing, secret_versions.c.last_seen.desc(), secret_versions.c.id)
)


def by_fingerprint(connection: Connection, fingerprints: Iterable[str] | None) -> dict[str, list[OwnedSecret]]:
    """Whose they are: the most current first. None: all that there are."""
    query = _OWNED if fingerprints is None else _OWNED.where(any_of(secret_prints.c.fingerprint))
    rows = connection.execute(query).all() if fingerprints is None else rows_among(connection, query, fingerprints)
    return grouped((row.fingerprint, _owned(row)) for row in rows)


def _owned(row: Row[Any]) -> OwnedSecret:
    lists = {"consumers": tuple(json.loads(row.consumers)), "tags": tuple(json.loads(row.tags))}
    return OwnedSecret(**{**row._mapping, **lists})


def adopt(tx: Transaction, fingerprints: Sequence[str]) -> None:
    """Incidents of these get the name of the secret, and whoever knows them is told where that makes them worse."""
    owned = by_fingerprint(tx.connection, fingerprints)
    touched = []
    for row in rows_among(tx.connection, _EXPOSED, owned):
        was, mine = incident_from(row), owned[row.fingerprint]
        labels = labels_of(mine)
        change = claim(was, own_title(labels), labels, worth_of(mine))
        if change.incident == was:
            continue
        update_incidents(tx, [(change.incident, row.kept)])
        trail = [entry(change.incident, was, "acted", actor="monitor", note=f"it is {mine[0].name}", now=tx.now)]
        if change.reason == "escalated":
            trail.append(entry(change.incident, was, "escalated", actor="monitor", note="", now=tx.now))
            place = newest_place(tx.connection, was.id)
            runs.follow(tx, [runs.RunTrigger(change.incident, place, starts=True)])
            touched.append(groups.ChangedIncident(change.incident, (place,), urgent=True, everywhere=True))
        append(tx, trail)
    groups.enrol(tx, touched)


def returned(connection: Connection, source: str, names: Sequence[str], prints: Sequence[str]) -> Notice:
    """Told by whoever sees it first. What has leaked once is bad to have again, also after its incident was closed."""
    leaked = [row.id for row in rows_among(connection, _EXPOSED, prints)]
    count = len(names)
    title = f"{count} secret{'' if count == 1 else 's'} of {source}: an earlier value is in use again"
    shown = ", ".join(clip(one_line(name), 120) for name in names[:_TOLD])
    more = f" and {count - _TOLD} more" if count > _TOLD else ""
    exposed = f" It was exposed: {', '.join(leaked[:_TOLD])}." if leaked else ""
    text = f"{shown}{more}. `monitor inventory show` says which.{exposed}"
    return Notice(title, text, "high" if leaked else "low", key=f"inventory returned {source}")
