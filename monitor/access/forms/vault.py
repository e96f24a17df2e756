"""Audit devices of HashiCorp Vault and OpenBao (file, socket, syslog).

A request is logged before it is dealt with, and its answer before it is given
(developer.hashicorp.com/vault/docs/audit). So the answer alone tells who got what: a request whose answer is not there
gave nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, at, moment, text
from monitor.access.reading import Reading

__all__ = ["readings"]

_OURS = ("sys/", "auth/", "identity/", "cubbyhole/")  # the server's own affairs
_HMAC = "hmac-sha256:"
_NAMES = 100  # keys of one secret


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of secrets, and those that were refused."""
    if record.get("type") not in ("request", "response"):
        raise MalformedError("type is neither request nor response")
    path, operation = text(record, "request", "path"), text(record, "request", "operation")
    if record["type"] != "response" or operation != "read" or not path or path.startswith(_OURS):
        return
    mount = text(record, "request", "mount_point") or f"{path.partition('/')[0]}/"
    kind, _, rest = path.removeprefix(mount).partition("/")
    if kind == "metadata":
        return  # names and times, no value
    error = text(record, "error")
    data = at(record, "response", "data")
    if (error and "denied" not in error) or (not error and not isinstance(data, Mapping)):
        return  # nothing lies there
    inner = data.get("data") if isinstance(data, Mapping) else None
    values = inner if isinstance(inner, Mapping) else data if isinstance(data, Mapping) else {}
    hashed = {str(name): value for name, value in list(values.items())[:_NAMES] if isinstance(value, str)}
    given = {} if error else {name: value for name, value in hashed.items() if value.startswith(_HMAC)}
    yield Reading(
        id=text(record, "request", "id"),
        at=moment(record.get("time")),
        secret=f"{mount}{rest}" if kind == "data" and rest else path,  # of KV 2, what people call `secret/app`
        principal=_principal(record),
        outcome="denied" if error else "read",
        names=tuple(sorted(given)),
        address=text(record, "request", "remote_address"),
        marks=tuple(value for _, value in sorted(given.items())),
    )


def _principal(record: Mapping[str, Any]) -> str:
    """The display name says how somebody logged in; every AppRole has the same, and its role tells them apart."""
    name = text(record, "auth", "display_name")
    role = text(record, "auth", "metadata", "role_name")
    return f"{name}:{role}" if name and role else name or text(record, "auth", "entity_id") or "(nobody known)"
