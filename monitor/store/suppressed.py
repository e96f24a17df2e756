"""What is known and accepted for a while: sightings of such a fingerprint are counted, and open and tell nothing.

The newest of them is kept, so that what was seen meanwhile is told once the time is over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from monitor.common.grouping import grouped
from monitor.common.wording import stamp
from monitor.domain.model import Finding
from monitor.store.incidents import change_state
from monitor.store.rows import any_of, incident_from, open_handles, rows_among
from monitor.store.schema import suppressions
from monitor.store.trail import append, entry
from monitor.store.transaction import Transaction

__all__ = ["among", "latest", "lift", "sift", "until_text"]

_NO_LATER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()  # behind it there is no date
_ROWS = select(suppressions).where(any_of(suppressions.c.fingerprint))


def among(connection: Connection, fingerprints: Iterable[str]) -> dict[str, Row[Any]]:
    """The rows of those of them that are, or were, suppressed."""
    return {row.fingerprint: row for row in rows_among(connection, _ROWS, fingerprints)}


def sift(tx: Transaction, findings: Mapping[str, tuple[int, Finding]]) -> Mapping[str, tuple[int, Finding]]:
    """Without what is suppressed, which is counted. What was suppressed until now is so no more, and told."""
    rows = among(tx.connection, {finding.fingerprint for _, finding in findings.values()})
    if not rows:
        return findings
    still = {fingerprint for fingerprint, row in rows.items() if row.until > tx.now}
    held = grouped((one.fingerprint, one) for _, one in findings.values() if one.fingerprint in still)
    for fingerprint, row in rows.items():
        if fingerprint not in held:
            lift(tx, row)
    for fingerprint, seen in held.items():
        _count(tx, rows[fingerprint], seen)
    return {id_: pair for id_, pair in findings.items() if pair[1].fingerprint not in held}


def lift(tx: Transaction, row: Row[Any]) -> None:
    """It is seen, or was: the incident that was closed with the suppression is open again."""
    tx.connection.execute(delete(suppressions).where(suppressions.c.fingerprint == row.fingerprint))
    holder = open_handles(tx.connection, [row.fingerprint]).get(row.fingerprint)
    if holder is None:
        return
    known = incident_from(holder)
    note = f"suppressed by {row.by} until {until_text(row.until)} ({row.reason}), seen {row.seen} times meanwhile"
    append(tx, [entry(known, known, "unsuppressed", actor="monitor", note=note, now=tx.now)])
    # What was revoked comes back by itself, and what somebody had judged before stays judged.
    if row.closed and known.state == "resolved" and known.resolution != "revoked":
        change_state(tx, known.id, "reopen", actor="monitor", resolution=None, note="its suppression is over")


def latest(row: Row[Any]) -> Finding | None:
    """The newest sighting; None: there was none."""
    if row.latest is None:
        return None
    values = json.loads(row.latest)
    return Finding(**(values | {"decode": tuple(values["decode"])}))


def until_text(seconds: float) -> str:
    """RFC 3339, or the end of time."""
    return stamp(min(seconds, _NO_LATER))


def _count(tx: Transaction, row: Row[Any], seen: list[Finding]) -> None:
    tx.counts.suppressed += len(seen)
    newest = max(seen, key=lambda finding: finding.time)
    first = min(finding.time for finding in seen)
    values: dict[str, Any] = {
        "seen": suppressions.c.seen + len(seen),
        "first_seen": first if row.first_seen is None else min(row.first_seen, first),
        "last_seen": newest.time if row.last_seen is None else max(row.last_seen, newest.time),
        "latest": json.dumps(asdict(newest) | {"labels": dict(newest.labels)}),
    }
    tx.connection.execute(update(suppressions).where(suppressions.c.fingerprint == row.fingerprint).values(**values))
