"""AWS CloudTrail: reads of Secrets Manager and of SecureString parameters, and every use of a long-lived access key.

docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.access.forms.fields import MalformedError, identity, moment
from monitor.access.reading import Outcome, Reading
from monitor.common.outside import at, listed, tables, text

__all__ = ["readings"]

_ARN = re.compile(r"^arn:aws[a-z-]*:(?:secretsmanager:[^:]*:[^:]*:secret:|ssm:[^:]*:[^:]*:parameter)(?P<name>.+)$")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")  # what Secrets Manager adds to the name in an ARN
_ROLE = re.compile(r"^(?P<role>arn:aws[a-z-]*:sts::\d+:assumed-role/[^/]+)/(?P<session>.+)$")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation")


def readings(record: Mapping[str, Any]) -> Iterator[Reading]:
    """Reads of secrets, those that were refused, and the use of the key that signed."""
    event = text(record, "eventName")
    if not event or not isinstance(record.get("userIdentity"), Mapping):
        raise MalformedError("eventName or userIdentity is missing")
    when, who = moment(record.get("eventTime")), _principal(record)
    id_ = text(record, "eventID") or identity(when, event, who, text(record, "requestID"))
    error = text(record, "errorCode")
    address, agent = text(record, "sourceIPAddress"), text(record, "userAgent")

    key = text(record, "userIdentity", "accessKeyId")
    if key.startswith("AKIA"):
        # The key itself may have leaked, whatever was asked with it.
        name = f"AWS access key …{key[-4:]} of {who}"
        yield Reading(f"{id_} key", when, name, who, "used", address=address, agent=agent, marks=(key,))
    if error and error not in _DENIED:
        return
    for number, secret in enumerate(_secrets(record, event)):
        outcome: Outcome = "denied" if error else "read"
        yield Reading(f"{id_} {number}", when, secret, who, outcome, address=address, agent=agent)


def _secrets(record: Mapping[str, Any], event: str) -> list[str]:
    asked = record.get("requestParameters")
    source = text(record, "eventSource")
    if source == "secretsmanager.amazonaws.com" and event == "GetSecretValue":
        return [_name(text(asked, "secretId"))] if text(asked, "secretId") else []
    if source == "secretsmanager.amazonaws.com" and event == "BatchGetSecretValue":
        answered = [text(one, "ARN") or text(one, "name") for one in tables(record, "responseElements", "secretValues")]
        named = answered or [one for one in listed(asked, "secretIdList") if isinstance(one, str)]
        return [_name(one) for one in named if one] or _filtered(asked)
    if source != "ssm.amazonaws.com" or at(asked, "withDecryption") is not True:
        return []
    if event in ("GetParameter", "GetParameterHistory"):
        return [_name(text(asked, "name"))] if text(asked, "name") else []
    if event == "GetParameters":
        return [_name(one) for one in listed(asked, "names") if isinstance(one, str)]
    if event == "GetParametersByPath" and text(asked, "path"):
        return [f"{text(asked, 'path').rstrip('/')}/*"]
    return []


def _filtered(asked: Any) -> list[str]:
    """What a batch may have given that names no secret: those whose names begin so, or whatever its filters fit."""
    filters = tables(asked, "filters")
    named = [listed(one, "values") for one in filters if text(one, "key") == "name"]
    begins = [one for one in named[0] if isinstance(one, str) and one and one[0] != "!"] if len(named) == 1 else []
    if begins and len(begins) == len(named[0]):
        return [f"{one}*" for one in begins]
    by = ", ".join(dict.fromkeys(text(one, "key") for one in filters)) or "no filter that is recorded"
    return [f"* (BatchGetSecretValue by {by})"]


def _name(given: str) -> str:
    """A name or an ARN, as the name."""
    found = _ARN.match(given)
    if found is None:
        return given
    name = found["name"]
    return name if ":ssm:" in given else _SUFFIX.sub("", name)


def _principal(record: Mapping[str, Any]) -> str:
    """Sessions of one role are one principal, as each has another name; a person's session is the person."""
    arn = text(record, "userIdentity", "arn")
    found = _ROLE.match(arn)
    if found and "@" not in found["session"]:
        return found["role"]
    service = text(record, "userIdentity", "invokedBy") or text(record, "userIdentity", "principalId")
    return arn or service or "(nobody known)"
