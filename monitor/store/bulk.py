"""What one person asks for of many incidents at once: a request for each, kept together and done in pieces, between
everything else that is written and behind what is asked for by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, case, func, select

from monitor.common.inbound import InboundRequest
from monitor.store.requests import BULK, enter
from monitor.store.rows import clean
from monitor.store.schema import requests
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["BulkProgress", "BulkRequests"]

_WHEN = re.compile(r", \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)$")  # of who was first: another for each incident
_OVER = (" already", "is resolved")  # what a refusal says when somebody else was first


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """`place`: what the incidents were asked for by. `refused`: how many for which reason."""

    verb: str
    detail: str
    place: str
    done: int
    left: int
    refused: Mapping[str, int]

    @property
    def total(self) -> int:
        return self.done + self.left + sum(self.refused.values())

    @property
    def overtaken(self) -> int:
        """Of those that were refused, how many somebody else had seen to."""
        return sum(count for reason, count in self.refused.items() if any(word in reason for word in _OVER))


class BulkRequests(StoreRepository):
    """Each is known by a number of its own, and is its actor's."""

    @durably
    def keep(self, tx: Transaction, asked: InboundRequest, ids: Sequence[str]) -> bool:
        """As `asked`, whose id is the number, for each of these incidents: all or, where that is known already, none
        (False)."""
        mine = _of(asked.id)
        if tx.connection.execute(select(requests.c.id).where(mine).limit(1)).first() is not None:
            return False
        enter(tx, [replace(asked, id=f"{BULK}{asked.id}:{id_}", incident=id_) for id_ in ids])
        tx.announce()
        return True

    @read_only
    def progress(self, connection: Connection, number: str, actor: str) -> BulkProgress:
        """Raises LookupError: this person has asked for nothing by that number, or it is long ago."""
        columns = requests.c
        reason = case((columns.refused == 1, func.replace(columns.outcome, columns.incident, "it")), else_="")
        alike = (columns.verb, columns.detail, columns.place, columns.done_at.is_not(None), columns.refused, reason)
        query = select(*alike, func.count()).where(_of(number), columns.actor == clean(actor)).group_by(*alike)
        rows = connection.execute(query).all()
        if not rows:
            raise LookupError("nothing is known of this here any more")
        refused: Counter[str] = Counter()
        for *_, over, no, text, count in rows:
            if over and no:
                refused[_WHEN.sub(")", text).removeprefix("incident ")] += count
        done = sum(count for *_, over, no, _text, count in rows if over and not no)
        left = sum(count for *_, over, _no, _text, count in rows if not over)
        return BulkProgress(rows[0].verb, rows[0].detail, rows[0].place, done, left, refused)


def _of(number: str) -> ColumnElement[bool]:
    return requests.c.id.startswith(f"{BULK}{number}:", autoescape=True)
