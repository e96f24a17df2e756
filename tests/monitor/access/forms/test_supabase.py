from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.access.forms.fields import MalformedError
from monitor.access.forms.supabase import readings

PREFIX = "sb_" + "secret_AbCdE"


def record(sb: dict[str, Any], status: int = 200, **headers: str) -> dict[str, Any]:
    """As the store gives it: each table in a list of one."""
    sent = {"cf_connecting_ip": "192.0.2.1", "user_agent": "node", "x_client_info": "supabase-js/2.39.0", **headers}
    request = {"method": "GET", "path": "/rest/v1/users", "headers": [sent], "sb": [sb]}
    metadata = {"request": [request], "response": [{"status_code": status}]}
    return {"id": "r1", "timestamp": 1_791_201_600_000_000, "event_message": "GET | 200", "metadata": [metadata]}


def legacy(role: str) -> dict[str, Any]:
    return {"jwt": [{"apikey": [{"payload": [{"role": role, "iss": "supabase"}]}]}]}


def test_the_use_of_a_service_role_key() -> None:
    [found] = readings(record(legacy("service_role")))
    assert (found.secret, found.outcome) == ("Supabase service_role key", "used")
    assert (found.principal, found.address, found.agent) == ("supabase-js", "192.0.2.1", "node")
    assert found.at == 1_791_201_600.0
    [denied] = readings(record(legacy("service_role"), 401))
    assert denied.outcome == "denied"


def test_the_use_of_a_secret_key_is_named_by_its_public_start() -> None:
    [found] = readings(record({"apikey": [{"apikey": [{"prefix": PREFIX}]}]}))
    assert found.secret == f"Supabase secret key {PREFIX}…"
    plain = {"timestamp": "2026-10-05T12:00:00Z", "request": {"sb": legacy("service_role"), "headers": {}}}
    [bare] = readings(plain)
    assert (bare.secret, bare.principal) == ("Supabase service_role key", "(nobody known)")


def test_a_key_that_is_meant_for_browsers_is_no_reading() -> None:
    assert list(readings(record(legacy("anon")))) == []
    assert list(readings(record({"apikey": [{"apikey": [{"prefix": "sb_publishable_abc"}]}]}))) == []


def test_what_was_done_to_users_with_the_key() -> None:
    event = {"auth_event": {"action": "user_deleted", "actor_username": "service_role"}, "remote_addr": "192.0.2.9"}
    told = {"id": "a1", "timestamp": 1_791_201_600_000_000, "event_message": json.dumps(event)}
    [found] = readings(told)
    assert (found.principal, found.outcome, found.address) == ("auth admin", "used", "192.0.2.9")
    event["auth_event"] = {"actor_username": "anna@example.org"}
    assert list(readings({**told, "event_message": json.dumps(event)})) == []


def test_another_kind_of_record_is_malformed() -> None:
    for wrong in (
        {"event_message": "auth_event {"},
        {"metadata": []},
        {**record(legacy("service_role")), "timestamp": None},
    ):
        with pytest.raises(MalformedError):
            list(readings(wrong))
