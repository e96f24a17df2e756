from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.cloudtrail import readings
from monitor.access.forms.fields import MalformedError

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"
KEY_ID = "AKIA" + "Q" * 16
ROLE = "arn:aws:sts::123456789012:assumed-role/gateway"


def record(event: str = "GetSecretValue", source: str = "secretsmanager", **changes: Any) -> dict[str, Any]:
    return {
        "eventTime": "2026-10-05T12:00:00Z",
        "eventID": "e1",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": event,
        "sourceIPAddress": "10.0.0.1",
        "userAgent": "aws-sdk-go",
        "userIdentity": {"type": "AssumedRole", "arn": f"{ROLE}/i-0abc", "accessKeyId": "ASIA" + "Q" * 16},
        "requestParameters": {"secretId": ARN},
        **changes,
    }


def test_a_secret_by_its_arn_or_name_and_a_role_without_its_session() -> None:
    [found] = readings(record())
    assert (found.secret, found.principal, found.outcome) == ("prod/db", ROLE, "read")
    assert (found.address, found.agent) == ("10.0.0.1", "aws-sdk-go")
    [named] = readings(record(requestParameters={"secretId": "prod/db"}))
    assert named.secret == "prod/db"
    person = {"arn": f"{ROLE}/anna@example.org"}
    [hers] = readings(record(userIdentity=person))
    assert hers.principal.endswith("/anna@example.org")


def test_refusals_and_other_errors() -> None:
    [denied] = readings(record(errorCode="AccessDenied"))
    assert (denied.outcome, denied.secret) == ("denied", "prod/db")
    assert list(readings(record(errorCode="ResourceNotFoundException"))) == []


def test_parameters_count_where_they_are_decrypted() -> None:
    asked = {"name": "/prod/db/password", "withDecryption": True}
    [found] = readings(record("GetParameter", "ssm", requestParameters=asked))
    assert found.secret == "/prod/db/password"
    assert (
        list(readings(record("GetParameter", "ssm", requestParameters={"name": "/x", "withDecryption": False}))) == []
    )
    several = {"names": ["/a", "arn:aws:ssm:eu-west-1:1:parameter/b", 7], "withDecryption": True}
    assert [one.secret for one in readings(record("GetParameters", "ssm", requestParameters=several))] == ["/a", "/b"]
    below = {"path": "/prod/", "withDecryption": True}
    [one] = readings(record("GetParametersByPath", "ssm", requestParameters=below))
    assert one.secret == "/prod/*"


def test_a_batch_names_each() -> None:
    asked = {"secretIdList": ["a", "b"]}
    found = list(readings(record("BatchGetSecretValue", requestParameters=asked)))
    assert [one.secret for one in found] == ["a", "b"]
    assert len({one.id for one in found}) == 2


def test_the_history_of_a_parameter_is_its_values() -> None:
    asked = {"name": "/prod/db/password", "withDecryption": True}
    [found] = readings(record("GetParameterHistory", "ssm", requestParameters=asked))
    assert found.secret == "/prod/db/password"
    asked["withDecryption"] = False
    assert list(readings(record("GetParameterHistory", "ssm", requestParameters=asked))) == []


@pytest.mark.parametrize(
    ("filters", "read"),
    [
        ([{"key": "name", "values": ["prod/", "stage/db"]}], ["prod/*", "stage/db*"]),
        ([{"key": "name", "values": ["prod/", "!prod/x"]}], ["* (BatchGetSecretValue by name)"]),
        ([{"key": "name", "values": []}], ["* (BatchGetSecretValue by name)"]),
        (
            [{"key": "tag-key", "values": ["x"]}, {"key": "tag-value", "values": ["y"]}],
            ["* (BatchGetSecretValue by tag-key, tag-value)"],
        ),
        ([], ["* (BatchGetSecretValue by no filter that is recorded)"]),
    ],
)
def test_a_batch_by_filters_may_have_read_all_that_they_fit(filters: list[Any], read: list[str]) -> None:
    asked = {"filters": filters} if filters else None
    found = list(readings(record("BatchGetSecretValue", requestParameters=asked)))
    assert [one.secret for one in found] == read
    [*denied] = readings(record("BatchGetSecretValue", requestParameters=asked, errorCode="AccessDenied"))
    assert {one.outcome for one in denied} == {"denied"}


def test_whatever_is_asked_with_a_long_lived_key_is_a_use_of_it() -> None:
    user = {"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/ci", "accessKeyId": KEY_ID}
    [used] = readings(record("ListBuckets", "s3", userIdentity=user, requestParameters=None))
    assert (used.outcome, used.marks, used.principal) == ("used", (KEY_ID,), "arn:aws:iam::123456789012:user/ci")
    assert KEY_ID not in used.secret
    assert [one.outcome for one in readings(record(userIdentity=user))] == ["used", "read"]


def test_records_without_an_id_get_one_of_their_own() -> None:
    first, second = record(eventID=""), record(eventID="", eventTime="2026-10-05T12:00:01Z")
    ids = {one.id for one in [*readings(first), *readings(second)]}
    assert len(ids) == 2


def test_another_kind_of_record_is_malformed() -> None:
    for wrong in ({"Records": []}, record(userIdentity="root"), record(eventTime=None)):
        with pytest.raises(MalformedError):
            list(readings(wrong))
