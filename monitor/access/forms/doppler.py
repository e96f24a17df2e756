"""Doppler's access logs, as its log forwarding and exports give them (docs.doppler.com/docs/logs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, identity, moment
from monitor.access.reading import Reading
from monitor.common.outside import tables, text

__all__ = ["readings"]


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of secrets: one record may tell of several."""
    kind = text(record, "type")
    if not kind:
        raise MalformedError("type is missing")
    if kind != "security.secret_read":
        return
    user = record.get("user")
    who = text(user, "slug") or text(user, "email") or text(user, "name")
    if text(user, "kind") and who:
        who = f"{text(user, 'kind')}:{who}"
    when = moment(record.get("created_at") or record.get("createdAt") or record.get("time"))
    for number, one in enumerate(tables(record, "metadata", "secrets")):
        project, config, name = text(one, "p"), text(one, "c") or text(one, "e"), text(one, "s")
        if not name:
            raise MalformedError("metadata.secrets has one without a name")
        secret = "/".join(filter(None, (project, config, name)))
        id_ = text(record, "id") or identity(when, who, secret)
        place = text(record, "session", "ip")
        yield Reading(f"{id_} {number}", when, secret, who or "(nobody known)", address=place)
