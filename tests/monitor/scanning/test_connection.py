from __future__ import annotations

from monitor.scanning.connection import connection


def test_user_host_and_database_of_a_connection_string() -> None:
    found = connection(b"DATABASE_URL=postgres://ana:", b"@db-1.example:5432/shop?sslmode=require")
    assert found == {"user": "ana", "host": "db-1.example:5432", "database": "shop"}
    assert connection(b"redis://:", b"@cache:6379/0") == {"host": "cache:6379", "database": "0"}
    assert connection(b"mongodb+srv://app:", b"@[2001:db8::1]") == {"user": "app", "host": "[2001:db8::1]"}


def test_what_is_none_says_nothing() -> None:
    assert connection(b"password=", b" next") == {}
    assert connection(b"https://ana:x@host/a:", b"@b") == {}
    assert connection(b"postgres://ana:", b" @db") == {}
    assert "database" not in connection(b"https://ana:", b"@host/some/path")
