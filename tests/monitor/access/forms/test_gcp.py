from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.fields import MalformedError
from monitor.access.forms.gcp import readings


def record(**payload: Any) -> dict[str, Any]:
    return {
        "insertId": "i1",
        "timestamp": "2026-10-05T12:00:00.5Z",
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "methodName": "google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion",
            "resourceName": "projects/123/secrets/jwt-secret/versions/latest",
            "authenticationInfo": {"principalEmail": "gateway@acme.iam.gserviceaccount.com"},
            "requestMetadata": {"callerIp": "10.0.0.1", "callerSuppliedUserAgent": "grpc-go"},
            **payload,
        },
    }


def test_a_read_and_a_refusal() -> None:
    [found] = readings(record())
    assert (found.secret, found.outcome, found.id) == ("123/jwt-secret", "read", "i1")
    assert (found.principal, found.address) == ("gateway@acme.iam.gserviceaccount.com", "10.0.0.1")
    [denied] = readings(record(status={"code": 7, "message": "no"}))
    assert denied.outcome == "denied"
    assert list(readings(record(status={"code": 5}))) == []  # there is no such secret
    [regional] = readings(record(resourceName="projects/p/locations/europe-west1/secrets/s/versions/3"))
    assert regional.secret == "p/s"


def test_other_methods_and_other_records() -> None:
    assert list(readings(record(methodName="google.cloud.secretmanager.v1.SecretManagerService.ListSecrets"))) == []
    federated = {"principalSubject": "principal://iam.googleapis.com/x"}
    [found] = readings(record(authenticationInfo=federated))
    assert found.principal == "principal://iam.googleapis.com/x"
    for wrong in ({"textPayload": "x"}, record(resourceName="projects/p/topics/t")):
        with pytest.raises(MalformedError):
            list(readings(wrong))
