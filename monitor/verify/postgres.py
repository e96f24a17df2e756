"""Whether a role's password is taken: a login to PostgreSQL, which asks who it is and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from monitor.common.guard import Guard
from monitor.verify.request import MissingPartError

__all__ = ["Login", "log_in"]

Login = Literal["valid", "refused", "unknown"]

# invalid_password. Its neighbour 28000 says as well that nobody may log in from this address, or without TLS.
_REFUSED, _SAID = "28P01", "password authentication failed"


async def log_in(guard: Guard, parts: Mapping[str, str], *, private: bool, seconds: float) -> tuple[Login, str]:
    """(what came of it, why). Raises MissingPartError, ForbiddenError, OSError and TimeoutError."""
    try:
        import psycopg
    except ImportError:
        raise MissingPartError('PostgreSQL needs psycopg: pip install "exposure-monitor[postgresql]"') from None

    for name in ("host", "user"):
        if not parts.get(name):
            raise MissingPartError(f"it needs the {name}: say it with --part {name}=…")
    host, colon, number = parts["host"].rpartition(":")
    if not colon or not number.isdigit():
        host, number = parts["host"], parts.get("port") or "5432"
    port = int(number)
    known = await guard.allow(host, port, private=private)
    settings: dict[str, Any] = {
        "host": host,
        "hostaddr": known[0],
        "port": port,
        "user": parts["user"],
        "password": parts.get("password") or parts["value"],
        "dbname": parts.get("database") or parts["user"],
        "connect_timeout": max(2, int(seconds)),
        # Whoever sits in between, or answers in the server's place, must not be told the password.
        "require_auth": "scram-sha-256,md5",
        "sslmode": "prefer" if private else "require",
        "application_name": "exposure-monitor",
        "options": "-c default_transaction_read_only=on",
    }
    async with asyncio.timeout(seconds):
        try:
            async with await psycopg.AsyncConnection.connect(**settings) as connection:
                row = await (await connection.execute("SELECT current_user")).fetchone()
        except psycopg.Error as error:
            said = str(error)  # the server's words, which are only compared
            if error.sqlstate == _REFUSED or (error.sqlstate is None and _SAID in said):
                return "refused", "the server refuses the login"
            if "does not exist" in said and "database" in said:
                return "valid", "the server takes the login, but has no such database"
            return "unknown", "no login could be tried: the server cannot be reached, or speaks otherwise"
    return "valid", f"the server takes the login as {row[0]}" if row else "the server takes the login"
