"""Audit devices of HashiCorp Vault and OpenBao (file, socket, syslog).

A request is logged before it is dealt with, and its answer before it is given
(developer.hashicorp.com/vault/docs/audit). So the answer alone tells who got what: a request whose answer is not there
gave nothing to anybody. An answer that is wrapped is got by whoever shows the token that it is wrapped with, and then
the record names no secret (…/docs/concepts/response-wrapping): `Reading.wraps` and `unwraps` tie the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from monitor.access.forms.fields import MalformedError, moment
from monitor.access.reading import BEARER, Reading
from monitor.common.outside import at, text

__all__ = ["readings"]

_OURS = ("sys/", "auth/", "identity/", "cubbyhole/")  # the server's own affairs …
_WHOLE = ("sys/storage/raft/snapshot", "sys/raw/")  # … of which these give what it keeps, whoever it belongs to
_UNWRAP, _REWRAP, _RESPONSE = "sys/wrapping/unwrap", "sys/wrapping/rewrap", "cubbyhole/response"
_NO_VALUES = ("metadata", "subkeys")  # of KV 2
_HMAC = "hmac-sha256:"
_NAMES = 100  # keys of one secret


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of secrets, and those that were refused."""
    if record.get("type") not in ("request", "response"):
        raise MalformedError("type is neither request nor response")
    path, operation = text(record, "request", "path"), text(record, "request", "operation")
    if record["type"] != "response" or not path:
        return
    error, wraps = text(record, "error"), text(record, "response", "wrap_info", "token")
    if error and "denied" not in error:
        return  # nothing lies there
    if path in (_UNWRAP, _REWRAP, _RESPONSE) and not error:
        yield from _unwrapped(record, path, wraps)
    elif operation != "read" or (path.startswith(_OURS) and not path.startswith(_WHOLE)):
        if wraps:
            yield replace(_reading(record, path), wraps=wraps, counts=False)
    elif (secret := _secret(record, path)) and (error or wraps or path == _WHOLE[0] or _data(record) is not None):
        found = _reading(record, secret)
        yield replace(found, outcome="denied") if error else replace(_given(found, record), wraps=wraps)


def _unwrapped(record: Mapping[str, Any], path: str, wraps: str) -> Iterator[Reading]:
    """What was got by a wrapping token: shown as a parameter, or as what the request itself is permitted by."""
    bearer = "response-wrapping" in (at(record, "auth", "policies") or ())
    token = text(record, "request", "client_token") if bearer else text(record, "request", "data", "token")
    if wraps or _data(record) is not None:
        found = _given(_reading(record, path), record)
        yield replace(found, principal=BEARER if bearer else found.principal, unwraps=token, wraps=wraps)


def _reading(record: Mapping[str, Any], secret: str) -> Reading:
    return Reading(
        id=text(record, "request", "id"),
        at=moment(record.get("time")),
        secret=secret,
        principal=_principal(record),
        address=text(record, "request", "remote_address"),
    )


def _given(reading: Reading, record: Mapping[str, Any]) -> Reading:
    """With the keys that the answer has, and what stands for their values."""
    data = _data(record) or {}
    inner = data.get("data")
    values = inner if isinstance(inner, Mapping) else data
    hashed = {str(name): value for name, value in list(values.items())[:_NAMES] if isinstance(value, str)}
    given = {name: value for name, value in sorted(hashed.items()) if value.startswith(_HMAC)}
    return replace(reading, names=tuple(given), marks=tuple(given.values()))


def _data(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    data = at(record, "response", "data")
    return data if isinstance(data, Mapping) else None


def _secret(record: Mapping[str, Any], path: str) -> str:
    """What people call it, behind its namespace: of KV 2 `secret/app`. Empty where no value is asked for.

    A mount point has its namespace in front, a path mostly not.
    """
    space = text(record, "request", "namespace", "path")
    mount = text(record, "request", "mount_point") or f"{path.partition('/')[0]}/"
    short = mount.removeprefix(space) or mount
    inside = path.removeprefix(short) if path.startswith(short) else path.removeprefix(mount)
    kind, _, rest = inside.partition("/")
    return "" if kind in _NO_VALUES else f"{space}{short}{rest if kind == 'data' and rest else inside}"


def _principal(record: Mapping[str, Any]) -> str:
    """The display name says how somebody logged in; every AppRole has the same, and its role tells them apart."""
    name = text(record, "auth", "display_name")
    role = text(record, "auth", "metadata", "role_name")
    return f"{name}:{role}" if name and role else name or text(record, "auth", "entity_id") or "(nobody known)"
