from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.fields import MalformedError
from monitor.access.forms.vault import readings
from monitor.access.reading import Reading

HMAC = "hmac-sha256:" + "0" * 64


def record(path: str = "secret/data/app", **changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-10-05T12:00:00.123456789Z",
        "type": "response",
        "auth": {"display_name": "approle", "metadata": {"role_name": "gateway"}, "entity_id": "e"},
        "request": {
            "id": "r1",
            "operation": "read",
            "mount_point": "secret/",
            "path": path,
            "remote_address": "10.0.0.1",
        },
        "response": {"data": {"data": {"KEY": HMAC, "OTHER": HMAC}, "metadata": {"version": 2}}},
        **changes,
    }


def one(record: dict[str, Any]) -> Reading:
    [found] = readings(record)
    return found


def test_a_read_names_the_secret_its_keys_and_who() -> None:
    found = one(record())
    assert (found.secret, found.names, found.outcome) == ("secret/app", ("KEY", "OTHER"), "read")
    assert (found.principal, found.address, found.id) == ("approle:gateway", "10.0.0.1", "r1")
    assert found.marks == (HMAC, HMAC)
    assert found.at == pytest.approx(1_791_201_600.123, abs=0.001)


def test_the_first_version_of_kv_and_engines_that_make_credentials() -> None:
    found = one(record("secret/app", response={"data": {"KEY": HMAC}}))
    assert (found.secret, found.names) == ("secret/app", ("KEY",))
    made = record("database/creds/readonly", response={"data": {"username": HMAC, "password": HMAC}})
    made["request"]["mount_point"] = "database/"
    assert one(made).secret == "database/creds/readonly"


def test_a_refusal_names_what_was_asked_for() -> None:
    asked = record(error="1 error occurred:\n\t* permission denied\n\n")
    del asked["response"]
    found = one(asked)
    assert (found.outcome, found.secret, found.names, found.marks) == ("denied", "secret/app", (), ())
    assert list(readings({**asked, "error": "unsupported path"})) == []


@pytest.mark.parametrize("path", ["sys/mounts", "auth/token/lookup-self", "secret/metadata/app", ""])
def test_what_gives_no_secret_is_no_reading(path: str) -> None:
    assert list(readings(record(path))) == []


def test_a_request_without_its_answer_gave_nothing() -> None:
    assert list(readings(record(type="request"))) == []
    assert list(readings(record(response={}))) == []  # nothing lies there
    updated = record()
    updated["request"]["operation"] = "update"
    assert list(readings(updated)) == []


def test_who_has_no_name_is_called_by_what_there_is() -> None:
    assert one(record(auth={"display_name": "ldap-anna"})).principal == "ldap-anna"
    assert one(record(auth={"entity_id": "e-1"})).principal == "e-1"
    assert one(record(auth=None)).principal == "(nobody known)"


def test_another_kind_of_line_is_malformed() -> None:
    with pytest.raises(MalformedError):
        list(readings({"level": "info", "msg": "started"}))
    with pytest.raises(MalformedError):
        list(readings(record(time="yesterday")))
