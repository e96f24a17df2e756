"""What is overdue, in the outbox: for each sink one notification that waits, with all that is to be said in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, delete, exists, select, update

from monitor.common.severity import Severity, worst
from monitor.common.text import clip
from monitor.runbook.progress import reminder_due
from monitor.store.outbox_rows import new_row, post
from monitor.store.schema import outbox, receipts, runs, steps, unsent
from monitor.store.transaction import Transaction

__all__ = ["OVERDUE", "TOGETHER", "Missed", "Reminders"]

OVERDUE = "overdue:"  # start of the keys under which pagers are woken for deadlines
TOGETHER = f"{OVERDUE}together"  # of a pager's page for many at once
_LINES = 10  # of many, shown


@dataclass(frozen=True, slots=True)
class Missed:
    """For one sink. `key`: under which it knows the incident."""

    sink: str
    key: str
    incident: str
    severity: Severity
    title: str
    text: str


class Reminders:
    """Collected over one transaction, and written at its end."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._missed: dict[str, list[Missed]] = {}  # by sink
        self._rows: list[dict[str, Any]] = []
        self._caught_up = False

    def add(self, missed: Missed) -> None:
        self._missed.setdefault(missed.sink, []).append(missed)

    def withdraw(self, incident: str, but: Collection[str] = ()) -> None:
        """Somebody has taken it, or it is done: what waits to be told is told no more, `but` to these sinks."""
        query = select(outbox).where(_untried(), outbox.c.incidents.contains(f'"{incident}"', autoescape=True))
        query = query.where(outbox.c.sink.not_in(but))
        for row in self._tx.connection.execute(query).all():
            left = [id_ for id_ in json.loads(row.incidents) if id_ != incident]
            here = outbox.c.id == row.id
            if left:
                values = {"incidents": json.dumps(left), "title": _title(len(left))}
                self._tx.connection.execute(update(outbox).where(here).values(**values))
            else:
                self._tx.connection.execute(delete(outbox).where(here))

    def caught_up(self, incident: str, severity: Severity) -> None:
        """Nothing of it is overdue any more: pagers that were woken for it hear so, which closes it there."""
        self._caught_up = True
        self.withdraw(incident)
        for sink in self._woken(f"{OVERDUE}{incident}"):
            self._recovered(sink, f"{OVERDUE}{incident}", incident, severity)

    def write(self) -> None:
        for sink, missed in self._missed.items():
            self._write(sink, missed)
        if self._caught_up and (woken := self._woken(TOGETHER)) and not self._late():
            for sink in woken:
                self._recovered(sink, TOGETHER, None, "info")
            self._tx.connection.execute(delete(receipts).where(receipts.c.key == TOGETHER))
        post(self._tx, self._rows)

    def _write(self, sink: str, missed: Sequence[Missed]) -> None:
        tx = self._tx
        query = select(outbox).where(outbox.c.sink == sink, _untried()).order_by(outbox.c.seq).limit(1)
        waiting = tx.connection.execute(query).first()
        ids = list(dict.fromkeys([*(json.loads(waiting.incidents) if waiting else ()), *(m.incident for m in missed)]))
        said = _said(waiting, missed, many=len(ids) > 1)
        key = missed[0].key
        if len(ids) > 1:
            key = TOGETHER if sink in tx.policy.pagers else f"{OVERDUE}{uuid.uuid4().hex[:16]}"
        severity = worst([*(one.severity for one in missed), *([waiting.severity] if waiting else [])])
        made = waiting.created_at if waiting else tx.now
        due = reminder_due(len(ids) > 1, waiting.next_at if waiting else None, made, tx.now)
        row = new_row(sink=sink, key=key, reason="overdue", incidents=ids, severity=severity, now=made, **said)
        row["next_at"] = due
        if waiting is not None:  # behind what was said under its key meanwhile
            tx.connection.execute(delete(outbox).where(outbox.c.id == waiting.id))
        self._rows.append(row)

    def _woken(self, key: str) -> list[str]:
        sent = select(receipts.c.sink).where(receipts.c.key == key)
        waiting = select(outbox.c.sink).where(outbox.c.key == key, unsent())
        return list(dict.fromkeys(self._tx.connection.execute(sent.union(waiting)).scalars()))

    def _late(self) -> bool:
        """Whether anything is overdue that somebody was told of."""
        open_ = and_(steps.c.rung > 0, steps.c.state.not_in(("done", "skipped")))
        query = select(exists().where(runs.c.incident == steps.c.incident, runs.c.ended.is_(None), open_))
        return bool(self._tx.connection.execute(query).scalar())

    def _recovered(self, sink: str, key: str, incident: str | None, severity: Severity) -> None:
        self._rows.append(
            new_row(
                sink=sink,
                key=key,
                reason="recovered",
                incidents=[] if incident is None else [incident],
                severity=severity,
                now=self._tx.now,
                title="Nothing is overdue any more",
            )
        )


def _untried() -> Any:
    return and_(outbox.c.reason == "overdue", unsent(), outbox.c.state == "pending", outbox.c.attempts == 0)


def _title(incidents: int) -> str:
    return f"Overdue: steps of {incidents} incidents" if incidents > 1 else "Overdue"


def _said(waiting: Row[Any] | None, missed: Sequence[Missed], *, many: bool) -> Mapping[str, str]:
    lines = [*(waiting.text.split("; ") if waiting and waiting.text else ()), *(one.text for one in missed)]
    lines = list(dict.fromkeys(lines))
    if not many:
        titles = dict.fromkeys([*([waiting.title] if waiting else []), *(one.title for one in missed)])
        return {"title": ", ".join(titles).replace(", Overdue: ", ", "), "text": "; ".join(lines)}
    ids = {*(json.loads(waiting.incidents) if waiting else ()), *(one.incident for one in missed)}
    return {"title": _title(len(ids)), "text": clip("; ".join(lines[:_LINES]), 2000)}
