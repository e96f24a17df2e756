"""Whose fingerprints a database holds: with another key every known secret would be a new incident, told again."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import Connection, insert, select

from monitor.store.errors import StoreError
from monitor.store.schema import meta

__all__ = ["claim", "compare"]

_ROW = "key"
_WORDS = b"exposure-monitor: the key of this database"


def claim(connection: Connection, name: str, secret: bytes) -> None:
    """The first key that comes is its own from then on. Raises StoreError for another one."""
    if not compare(connection, name, secret):
        connection.execute(insert(meta).values(key=_ROW, value=_of(secret)))


def compare(connection: Connection, name: str, secret: bytes) -> bool:
    """Whether it is known whose the database is. Raises StoreError when it is another key's."""
    stored = connection.execute(select(meta.c.value).where(meta.c.key == _ROW)).scalar()
    if stored is not None and not hmac.compare_digest(stored, _of(secret)):
        raise StoreError(
            f"{name}: its fingerprints are of another key, with which every known secret would be reported again as "
            "new; use the key of the host that made it (monitor.fingerprint_key, or fingerprint.key in "
            "monitor.state_dir), or another database (monitor.database)"
        )
    return stored is not None


def _of(secret: bytes) -> str:
    """Tells nothing of the key, which is random and long."""
    return hmac.new(secret, _WORDS, hashlib.sha256).hexdigest()[:32]
