from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.azure import readings
from monitor.access.forms.fields import MalformedError


def record(status: object = 200, **changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-10-05T12:00:00.1234567Z",
        "category": "AuditEvent",
        "operationName": "SecretGet",
        "resultSignature": "OK",
        "callerIpAddress": "10.0.0.1",
        "correlationId": "c1",
        "identity": {"claim": {"appid": "11111111-2222-3333-4444-555555555555"}},
        "properties": {
            "id": "https://acme.vault.azure.net/secrets/jwt/0123",
            "httpStatusCode": status,
            "clientInfo": "azsdk-net",
        },
        **changes,
    }


def test_a_read_and_a_refusal() -> None:
    [found] = readings(record())
    assert (found.secret, found.outcome, found.agent) == ("acme/jwt", "read", "azsdk-net")
    assert (found.principal, found.address) == ("11111111-2222-3333-4444-555555555555", "10.0.0.1")
    [denied] = readings(record(403))
    assert denied.outcome == "denied"
    assert list(readings(record(404))) == []
    person = {"claim": {"upn": "anna@example.org", "appid": "app"}}
    [hers] = readings(record(identity=person))
    assert hers.principal == "anna@example.org"
    assert hers.id != found.id


def test_other_operations_and_other_records() -> None:
    assert list(readings(record(operationName="SecretList"))) == []
    for wrong in (
        {"category": "x"},
        record(properties={"id": "https://acme.vault.azure.net/keys/k"}),
        record(time=None),
    ):
        with pytest.raises(MalformedError):
            list(readings(wrong))
