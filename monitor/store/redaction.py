"""What older versions kept of texts that were cut before they were masked: looked through once, and mended.

It goes on from where it was when it is ended, page by page, each in a transaction of its own, so that nobody waits for
it. Rows that come meanwhile are whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row, Table, and_, delete, literal, select, tuple_, update

from monitor.store import trail
from monitor.store.errors import StoreError
from monitor.store.rows import upsert
from monitor.store.schema import (
    REDACTED,
    WHOLE,
    actions,
    audit,
    findings,
    habits,
    incidents,
    marks,
    members,
    meta,
    outbox,
    positions,
    reads,
    steps,
    suppressions,
)
from monitor.store.sealing import touch
from monitor.store.transaction import StoreRepository, Transaction, read_only

__all__ = ["Redact", "Redaction"]

log = structlog.get_logger(__name__)

Redact = Callable[[str], str]

_PAGE = 1000  # rows
_PAUSE = 0.02  # seconds between two pages: commits come first
_AGAIN = 60.0  # seconds after trouble of the database, which it reports itself


@dataclass(frozen=True, slots=True)
class _Texts:
    """Columns of a table with texts from outside; those in `json` hold them in objects and lists."""

    table: Table
    columns: Sequence[str]
    json: Sequence[str] = ()
    sources: str = ""  # only those that begin so


# What is shown and sent first. Sources start from their ledgers of losses, whose rows begin with an @.
_PLACES = (
    _Texts(positions, ("key", "state"), json=("key", "state"), sources="@"),
    _Texts(outbox, ("title", "text", "error")),
    _Texts(incidents, ("name", "masked", "labels", "verified"), json=("labels", "verified")),
    _Texts(findings, ("path", "service", "context")),
    _Texts(members, ("path", "host", "service")),
    _Texts(steps, ("note",)),
    _Texts(audit, ("note",)),
    _Texts(actions, ("parts", "outcome"), json=("parts",)),
    _Texts(suppressions, ("latest",), json=("latest",)),
    _Texts(reads, ("secret", "principal", "address", "agent", "names"), json=("names",)),
    _Texts(habits, ("secret", "principal", "state"), json=("state",)),
    _Texts(marks, ("secret",)),
)
_NOTE = upsert(meta, ("key", "value"), on=("key",), changing=("value",))


class Redaction(StoreRepository):
    """Older texts, looked through page by page."""

    async def forever(self, make: Callable[[], Redact]) -> None:
        """Until it is done, whatever comes between. `make`: what masks a text that was cut, made where it is needed."""
        while True:
            try:
                await self.run(make)
                return
            except StoreError as error:
                log.debug("older texts are looked through later", reason=str(error))
                await asyncio.sleep(_AGAIN)

    async def run(self, make: Callable[[], Redact]) -> int:
        """Look through what is left. Returns how many rows were mended. Raises StoreError."""
        state = await self._session.read(_state)
        if state is None:
            return 0
        redact = await asyncio.to_thread(make)
        mended, (place, last) = 0, state
        while place < len(_PLACES):
            texts = _PLACES[place]
            found, last = await self._page(texts, last, redact)
            place += last is None
            note = json.dumps([place, last]) if place < len(_PLACES) else WHOLE
            mended += await self._session.write(partial(_mend, texts=texts, page=found, note=note))
            await asyncio.sleep(_PAUSE)
        if mended:
            log.warning("masked what was left of secrets in texts that older versions had cut", rows=mended)
        return mended

    @read_only
    def _page(
        self, connection: Connection, texts: _Texts, last: list[Any] | None, redact: Redact
    ) -> tuple[list[tuple[Row[Any], dict[str, str]]], list[Any] | None]:
        """Rows of the next page with what is to change in them, and the last one's key; None: there is no more."""
        rows = _rows(connection, texts, last)
        found = [(row, changed) for row in rows if (changed := _changed(row, texts, redact))]
        return found, list(_key(texts.table, rows[-1])) if len(rows) == _PAGE else None


def _state(connection: Connection) -> tuple[int, list[Any] | None] | None:
    """The place among `_PLACES` to go on at, and the key in it; None: all is done."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == REDACTED)).scalar()
    if value == WHOLE:
        return None
    try:
        place, last = json.loads(value or "[0, null]")
        return int(place), last
    except (TypeError, ValueError):
        return 0, None


def _rows(connection: Connection, texts: _Texts, last: list[Any] | None) -> Sequence[Row[Any]]:
    table = texts.table
    key = list(table.primary_key.columns)
    query = select(*dict.fromkeys((*key, *(table.c[name] for name in texts.columns))))
    if table is audit:
        query = query.add_columns(audit.c.incident)
    if texts.sources:
        query = query.where(table.c.source.startswith(texts.sources, autoescape=True))
    if last is not None:
        query = query.where(
            tuple_(*key) > tuple_(*(literal(value, column.type) for column, value in zip(key, last, strict=True)))
        )
    return connection.execute(query.order_by(*key).limit(_PAGE)).all()


def _key(table: Table, row: Row[Any]) -> Iterable[Any]:
    return (row._mapping[column.name] for column in table.primary_key.columns)


def _changed(row: Row[Any], texts: _Texts, redact: Redact) -> dict[str, str]:
    changed = {}
    for name in texts.columns:
        text = row._mapping[name]
        if text is None:
            continue
        mended = _within(text, redact) if name in texts.json else redact(text)
        if mended != text:
            changed[name] = mended
    return changed


def _within(text: str, redact: Redact) -> str:
    """The texts in what is written as JSON. As it was where none changes."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    mended = _each(value, redact)
    return text if mended == value else json.dumps(mended)


def _each(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_each(item, redact) for item in value]
    if isinstance(value, Mapping):
        return {redact(key): _each(item, redact) for key, item in value.items()}
    return value


def _mend(tx: Transaction, texts: _Texts, page: Sequence[tuple[Row[Any], dict[str, str]]], note: str) -> int:
    """Write a page, and how far that is. What was changed by others since is left to them."""
    sqlite = tx.connection.dialect.name == "sqlite"
    if page and sqlite:
        tx.connection.exec_driver_sql("PRAGMA secure_delete = ON")  # or the old text stays in the file
    try:
        if texts.table is audit:
            for id_ in dict.fromkeys(row.incident for row, _ in page):
                trail.amend(tx, id_, {row.seq: changed["note"] for row, changed in page if row.incident == id_})
        else:
            touch(tx, _sealed(tx.connection, texts.table, [row for row, _ in page]))
            for row, changed in page:
                _write(tx, texts.table, row, changed)
        tx.connection.execute(_NOTE, {"key": REDACTED, "value": note})
    finally:
        if page and sqlite:
            tx.connection.exec_driver_sql("PRAGMA secure_delete = OFF")
    return len(page)


def _sealed(connection: Connection, table: Table, rows: Sequence[Row[Any]]) -> Sequence[str]:
    """The incidents whose seals cover such rows."""
    if table is incidents:
        return [row.id for row in rows]
    if table is not actions or not rows:
        return ()
    return (
        connection.execute(select(actions.c.incident).where(actions.c.id.in_([row.id for row in rows]))).scalars().all()
    )


def _write(tx: Transaction, table: Table, row: Row[Any], changed: Mapping[str, str]) -> None:
    key = table.primary_key.columns
    this = and_(*(column == row._mapping[column.name] for column in key))
    if any(column.name in changed for column in key):
        same_key = and_(*(column == changed.get(column.name, row._mapping[column.name]) for column in key))
        if tx.connection.execute(select(literal(1)).select_from(table).where(same_key)).first():
            tx.connection.execute(delete(table).where(this))
            return
    same = and_(*(table.c[name] == row._mapping[name] for name in changed))
    tx.connection.execute(update(table).where(this, same).values(changed))
