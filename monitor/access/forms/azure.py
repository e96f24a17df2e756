"""Diagnostic logs of Azure Key Vault (category AuditEvent).

learn.microsoft.com/azure/key-vault/general/logging
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, identity, moment
from monitor.access.reading import Reading
from monitor.common.outside import at, text

__all__ = ["readings"]

_ID = re.compile(r"^https://(?P<vault>[^./]+)\.[^/]+/secrets/(?P<name>[^/?]+)")
_WHO = (
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "unique_name",
    "appid",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
)


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of secrets, and those that were refused."""
    operation = text(record, "operationName")
    if not operation:
        raise MalformedError("operationName is missing")
    if operation != "SecretGet":
        return
    status = at(record, "properties", "httpStatusCode")
    denied = status in (401, 403) or text(record, "resultSignature") in ("Forbidden", "Unauthorized")
    if not denied and isinstance(status, int) and status >= 300:
        return
    address = text(record, "properties", "id") or text(record, "properties", "requestUri")
    found = _ID.match(address)
    if found is None:
        raise MalformedError("properties.id names no secret")
    claims = at(record, "identity", "claim")
    who = next((text(claims, name) for name in _WHO if text(claims, name)), "(nobody known)")
    when = moment(record.get("time"))
    yield Reading(
        id=identity(text(record, "correlationId"), when, address, who),
        at=when,
        secret=f"{found['vault']}/{found['name']}",
        principal=who,
        outcome="denied" if denied else "read",
        address=text(record, "callerIpAddress"),
        agent=text(record, "properties", "clientInfo"),
    )
