"""A look at a database before anybody works with it: what `monitor run` would refuse."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from monitor.store import postgres
from monitor.store.database import Database
from monitor.store.errors import StoreError
from monitor.store.key_check import compare
from monitor.store.upgrades import SchemaError, known

__all__ = ["reach"]


def reach(url: str | Path, secret: bytes | None = None, *, login: bool = True) -> None:
    """Log in and change nothing; without `login` only see whether the driver of the server is there.

    `secret`: the fingerprint key, if it can be had. Blocking. Raises StoreError.
    """
    database = Database(url, repairs=False)
    try:
        if login and (database.path is None or database.path.exists()):
            with database.reader.connect() as connection:
                if database.postgres and (lacking := postgres.lacking(connection)):
                    raise StoreError(f"{database.name}: {lacking}; docs/postgresql.md says what it needs")
                if inspect(connection).has_table("meta"):
                    known(connection)
                    if secret:
                        compare(connection, database.name, secret)
    except DBAPIError as error:
        if database.postgres:  # a file that is damaged or locked `monitor run` mends, or waits for
            raise database.unusable(error) from None
    except SchemaError as error:
        raise StoreError(f"{database.name}: {error}") from None
    finally:
        database.dispose()
