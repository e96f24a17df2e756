"""Google Cloud audit logs of Secret Manager: DATA_READ entries, which have to be switched on.

cloud.google.com/secret-manager/docs/audit-logging
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, moment
from monitor.access.reading import Reading
from monitor.common.outside import at, text

__all__ = ["readings"]

_NAME = re.compile(r"^projects/(?P<project>[^/]+)/(?:locations/[^/]+/)?secrets/(?P<name>[^/]+)")
_DENIED = (7, 16)  # PERMISSION_DENIED, UNAUTHENTICATED


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of versions of secrets, and those that were refused."""
    payload = record.get("protoPayload")
    if not isinstance(payload, Mapping) or not text(payload, "methodName"):
        raise MalformedError("protoPayload.methodName is missing")
    if not text(payload, "methodName").endswith("AccessSecretVersion"):
        return
    code = at(payload, "status", "code")
    if code not in (None, 0, *_DENIED):
        return
    found = _NAME.match(text(payload, "resourceName"))
    if found is None:
        raise MalformedError("protoPayload.resourceName names no secret")
    yield Reading(
        id=text(record, "insertId"),
        at=moment(record.get("timestamp")),
        secret=f"{found['project']}/{found['name']}",
        principal=text(payload, "authenticationInfo", "principalEmail")
        or text(payload, "authenticationInfo", "principalSubject")
        or "(nobody known)",
        outcome="denied" if code in _DENIED else "read",
        address=text(payload, "requestMetadata", "callerIp"),
        agent=text(payload, "requestMetadata", "callerSuppliedUserAgent"),
    )
