from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from monitor.access.forms.fields import MalformedError
from monitor.access.forms.vault import readings
from monitor.access.reading import BEARER, Reading
from tests.fakes.openbao import OpenBao, openbao

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


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("bao"), raft=True) as server:
        server.call("POST", "secret/data/x", {"data": {"KEY": "v1"}})
        server.call("POST", "sys/namespaces/team")
        server.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, "team")
        server.call("POST", "secret/data/x", {"data": {"KEY": "v2"}}, "team")
        yield server


def told(bao: OpenBao, since: int) -> list[Reading]:
    lines = bao.audit.read_bytes()[since:].splitlines()
    return [one for line in lines for one in readings(orjson.loads(line))]


def test_a_wrapped_read_is_one_and_what_is_unwrapped_leads_back_to_it(bao: OpenBao) -> None:
    since = bao.audit.stat().st_size
    tokens = [bao.call("GET", "secret/data/x", wrap="60s")["wrap_info"]["token"] for _ in range(4)]
    bao.call("POST", "sys/wrapping/unwrap", {"token": tokens[0]})
    bao.call("POST", "sys/wrapping/unwrap", token=tokens[1])
    bao.call("GET", "cubbyhole/response", token=tokens[2])
    bao.call("POST", "sys/wrapping/rewrap", {"token": tokens[3]})
    found = told(bao, since)
    wrapped, got = found[:4], found[4:]
    assert {(one.secret, one.principal, one.outcome, bool(one.wraps), one.unwraps) for one in wrapped} == {
        ("secret/x", "token", "read", True, "")
    }
    assert [one.unwraps for one in got] == [one.wraps for one in wrapped]
    assert [one.principal for one in got] == ["token", BEARER, BEARER, "token"]
    assert [one.names for one in got[:2]] == [("KEY",), ("KEY",)]
    assert [bool(one.wraps) for one in got] == [False, False, False, True]


def test_a_wrapped_login_is_no_secret_of_an_engine(bao: OpenBao) -> None:
    since = bao.audit.stat().st_size
    bao.call("POST", "auth/token/create", {"ttl": "1h"}, wrap="60s")
    assert [(one.counts, bool(one.wraps)) for one in told(bao, since)] == [(False, True)]


def test_a_snapshot_is_a_reading_and_so_is_its_refusal(bao: OpenBao) -> None:
    low, since = bao.token(), bao.audit.stat().st_size
    request = urllib.request.Request(f"{bao.url}/v1/sys/storage/raft/snapshot", headers={"X-Vault-Token": bao.root})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.read()
    with pytest.raises(urllib.error.HTTPError):
        bao.call("GET", "sys/storage/raft/snapshot", token=low)
    assert [(one.secret, one.outcome) for one in told(bao, since)] == [
        ("sys/storage/raft/snapshot", "read"), ("sys/storage/raft/snapshot", "denied"),
    ]  # fmt: skip


def test_secrets_of_two_namespaces_are_two(bao: OpenBao) -> None:
    low, since = bao.token(), bao.audit.stat().st_size
    bao.call("GET", "secret/data/x")
    bao.call("GET", "secret/data/x", namespace="team")
    bao.call("GET", "team/secret/data/x")
    bao.call("GET", "secret/data/x", namespace="team", wrap="60s")
    with pytest.raises(urllib.error.HTTPError):
        bao.call("GET", "team/secret/data/x", token=low)
    assert [(one.secret, one.outcome) for one in told(bao, since)] == [
        ("secret/x", "read"), *[("team/secret/x", "read")] * 3, ("team/secret/x", "denied"),
    ]  # fmt: skip


def test_a_mount_that_is_called_as_its_namespace() -> None:
    asked = record("team/data/app")
    asked["request"] |= {"mount_point": "team/team/", "namespace": {"id": "a", "path": "team/"}}
    assert one(asked).secret == "team/team/app"
    asked["request"] |= {"mount_point": "team/"}  # as if it had none in front
    assert one(asked).secret == "team/team/app"
    asked["request"] |= {"mount_point": "kv/", "path": "kv/data/app"}
    assert one(asked).secret == "team/kv/app"
