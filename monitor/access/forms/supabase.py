"""Edge and auth logs of Supabase: who showed a service-role or secret key (supabase.com/docs/guides/telemetry/logs).

They name no person. The client program stands for who it was, and the address is watched beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from monitor.access.forms.fields import MalformedError, identity, moment
from monitor.access.reading import Reading
from monitor.common.outside import at, tables, text

__all__ = ["readings"]

_PREFIX = "sb_secret_"
_SERVICE = "Supabase service_role key"
_VERSION = re.compile(r"[/@ ].*$", re.DOTALL)


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Uses of keys that pass every row policy."""
    if isinstance(message := record.get("event_message"), str) and "auth_event" in message:
        yield from _admin(record, message)
        return
    asked = _one(_metadata(record).get("request"))
    if not asked:
        raise MalformedError("no request is in it")
    secret = _key(asked)
    if secret is None:
        return
    headers = _one(at(asked, "headers"))
    agent, client = text(headers, "user_agent"), text(headers, "x_client_info")
    address = text(headers, "cf_connecting_ip") or text(headers, "x_real_ip")
    when = moment(record.get("timestamp"))
    status = at(_one(at(_metadata(record), "response")), "status_code")
    yield Reading(
        id=text(record, "id") or identity(when, secret, address, text(asked, "path")),
        at=when,
        secret=secret,
        principal=_VERSION.sub("", client or agent) or "(nobody known)",
        outcome="denied" if status in (401, 403) else "used",
        address=address,
        agent=agent,
    )


def _admin(record: Mapping[str, Any], message: str) -> Iterator[Reading]:
    """What was done to users with the service-role key."""
    try:
        told = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise MalformedError("event_message is no JSON") from None
    if text(told, "auth_event", "actor_username") != "service_role":
        return
    when = moment(record.get("timestamp"))
    yield Reading(
        id=text(record, "id") or identity(when, text(told, "request_id"), text(told, "path")),
        at=when,
        secret=_SERVICE,
        principal="auth admin",
        outcome="used",
        address=text(told, "remote_addr"),
    )


def _key(asked: Mapping[str, Any]) -> str | None:
    """The key by its public start; None: one that is meant for browsers, or none."""
    sb = _one(asked.get("sb"))
    token = _one(at(_one(at(sb, "jwt")), "apikey"))
    role = text(_one(token.get("payload")), "role") or text(_one(at(_one(at(sb, "jwt")), "authorization")), "role")
    modern = text(_one(at(_one(at(sb, "apikey")), "apikey")), "prefix")
    if modern.startswith(_PREFIX):
        return f"Supabase secret key {modern[: len(_PREFIX) + 5]}…"
    return _SERVICE if role == "service_role" else None


def _metadata(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return _one(record.get("metadata")) or record


def _one(value: Any) -> Mapping[str, Any]:
    """Its store keeps each table as a list of one."""
    if isinstance(value, list):
        value = next(iter(tables({"one": value}, "one")), {})
    return value if isinstance(value, Mapping) else {}
