"""Item usages of 1Password's Events API (developer.1password.com/docs/events-api/reference)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, moment
from monitor.access.reading import Reading
from monitor.common.outside import text

__all__ = ["readings"]

_SEEN = ("", "fill", "reveal", "secure-copy", "export", "share", "server-fetch", "select-sso-provider")


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Items whose fields somebody saw, copied, or let a program fetch."""
    item = text(record, "item_uuid")
    if not item:
        raise MalformedError("item_uuid is missing")
    if text(record, "action") not in _SEEN:
        return
    who = text(record, "user", "email") or text(record, "user", "name") or text(record, "user", "uuid")
    yield Reading(
        id=text(record, "uuid"),
        at=moment(record.get("timestamp")),
        secret="/".join(filter(None, (text(record, "vault_uuid"), item))),
        principal=who or "(nobody known)",
        address=text(record, "client", "ip_address"),
        agent=" ".join(filter(None, (text(record, "client", "app_name"), text(record, "client", "app_version")))),
    )
