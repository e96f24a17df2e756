"""What the tests of the store share."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from monitor.domain.model import Finding
from monitor.store import Leased, Notice, Store, owner_name
from monitor.store.database import Database
from monitor.store.outbox import add_notice

NOW = 1_800_000_000.0
OWNER = owner_name("here")
OLDEST_SECRET = b"0123456789abcdef"  # what the trails in `oldest` are sealed with, on the host "one"


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def fingerprint(secret: object) -> str:
    return hashlib.sha256(repr(secret).encode()).hexdigest()


def finding(secret: object, offset: int = 0, **changes: object) -> Finding:
    found = Finding(
        id="",
        rule="github-pat",
        name="GitHub token",
        severity="high",
        confidence="high",
        fingerprint=fingerprint(secret),
        masked="ghp_…",
        source="services",
        path="/var/log/app.log",
        generation="g1",
        offset=offset,
        time=NOW,
        line=offset + 1,
    )
    found = replace(found, **changes)  # type: ignore[arg-type]
    identity = f"{found.source} {found.path} {found.generation} {found.offset} {found.rule} {found.fingerprint}"
    return replace(found, id=hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest())


async def notify(store: Store, notice: Notice) -> list[str]:
    """Returns the ids of its notifications."""
    return await store.write(lambda tx: add_notice(tx, notice), durable=True)


async def reasons(store: Store) -> list[str]:
    return [entry.reason for entry in reversed(await store.outbox.list())]


async def lease(store: Store, sink: str, owner: str = OWNER, ttl: float = 60) -> Leased | None:
    """The next notification for `sink`."""
    return next(iter(await store.outbox.lease(sink, owner, ttl)), None)


async def deliver(store: Store, sink: str = "chat") -> list[str]:
    """Mark everything for a sink as sent."""
    seen = []
    while leased := await lease(store, sink):
        seen.append(leased.reason)
        await store.outbox.sent(leased.id, {"ts": str(len(seen))})
    return seen


def empty(url: str) -> Database:
    """Before its first start."""
    database = Database(url)
    if database.path is not None:
        database.path.touch()
    return database


def oldest(url: str) -> None:
    """Make the database as a program of version 23 of the schema left it."""
    database = empty(url)
    words = {"serial": "INTEGER", "number": "INTEGER", "node": ""}
    if database.postgres:
        words = {"serial": "BIGSERIAL", "number": "BIGINT", "node": "one"}
    script = Path(__file__).with_name("schema_23.sql").read_text(encoding="utf-8")
    for name, word in words.items():
        script = script.replace(f"{{{name}}}", word)
    with database.transaction(durable=True) as connection:
        for statement in script.rstrip().rstrip(";").split(";\n"):
            connection.exec_driver_sql(statement)
        if database.postgres:
            columns = (
                "SELECT table_name, column_name FROM information_schema.columns WHERE column_default LIKE 'nextval%'"
            )
            for table, column in connection.execute(text(columns)).all():
                of = f"pg_get_serial_sequence('{table}', '{column}')"
                connection.execute(text(f"SELECT setval({of}, (SELECT max({column}) FROM {table}))"))
    database.dispose()
