"""A server that forgets: its tables are put back to what they were, under whoever works with it."""

from __future__ import annotations

from typing import Any

Copy = dict[str, bytes]


def connected(url: str) -> Any:
    import psycopg

    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def lagging(url: str) -> Copy:
    """What a copy has that gets nothing more from now on."""
    with connected(url) as connection:
        names = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        rows: Copy = {}
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        for name in names:
            with connection.cursor().copy(f"COPY {name} TO STDOUT") as copy:
                rows[name] = b"".join(map(bytes, copy))
        connection.execute("COMMIT")
    return rows


def take_over(url: str, copy: Copy) -> None:
    """That copy is the server now; connections to the other one are gone."""
    with connected(url) as connection:
        connection.execute("BEGIN; SET LOCAL session_replication_role = replica")
        connection.execute("; ".join(f"TRUNCATE {name} CASCADE" for name in copy))
        for name, rows in copy.items():
            with connection.cursor().copy(f"COPY {name} FROM STDIN") as into:
                into.write(rows)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("COMMIT")
