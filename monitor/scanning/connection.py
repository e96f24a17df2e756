"""Who is meant by the password of a connection string: user, host and database, which are no secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["AROUND", "connection"]

_END = rb"[\s,;?#&|\"'`<>(){}\[\]\\]|\Z"  # of a whole name: a part of one may be half of a secret
_USER = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,30}://(?P<user>[^\s:/@?#\"'<>]{0,64}):\Z")
_HOST = re.compile(
    rb"@(?P<host>[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:\d{1,5})?(?=/|" + _END + rb")"
    rb"(?:/(?P<db>[\w.-]{1,64})(?=" + _END + rb"))?"
)
AROUND = 400  # bytes on either side of the password


def connection(before: bytes, after: bytes) -> Mapping[str, str]:
    """From the text directly before and after the password; empty when that is no connection string."""
    # The host first: it stands right there or nowhere, while the user is looked for.
    where = _HOST.match(after[:AROUND])
    who = _USER.search(before[-AROUND:]) if where else None
    if not who or not where:
        return {}
    host = where["host"] + (where["port"] or b"")
    parts = {"user": who["user"], "host": host, "database": where["db"] or b""}
    return {name: value.decode("utf-8", "replace") for name, value in parts.items() if value}
