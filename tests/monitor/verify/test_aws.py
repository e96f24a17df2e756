from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime

from monitor.verify.aws import sign

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"


def signed(body: bytes = BODY, secret: str = "k" * 40) -> dict[str, str]:
    return sign(
        "POST",
        "https://sts.amazonaws.com/",
        body,
        key_id="AKIA" + "A" * 16,
        secret=secret,
        service="sts",
        region="us-east-1",
        now=NOW,
    )


def test_the_secret_stays_here_and_every_part_is_signed() -> None:
    headers = signed()
    assert headers["host"] == "sts.amazonaws.com"
    assert headers["x-amz-date"] == "20260102T030405Z"
    assert "k" * 40 not in str(headers)
    assert headers["authorization"] != signed(BODY + b" ")["authorization"]
    assert headers["authorization"] != signed(secret="l" * 40)["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date" in headers["authorization"]


def test_a_server_that_knows_the_key_gets_the_same_signature() -> None:
    """Recomputed from what arrives, as AWS does."""
    headers = signed()
    found = re.search(r"Credential=[^/]+/(\S+), SignedHeaders=(\S+), Signature=(\w+)", headers["authorization"])
    assert found is not None
    scope, names, signature = found.groups()
    listed = [f"{name}:{headers[name]}" for name in names.split(";")]
    canonical = "\n".join(["POST", "/", "", *listed, "", names, hashlib.sha256(BODY).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", "20260102T030405Z", scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + b"k" * 40
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert signature == hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_further_headers_are_signed_and_may_say_another_type() -> None:
    also = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "a.B", "x-amz-security-token": "t"}
    headers = sign(
        "POST", "https://ssm.eu-west-1.amazonaws.com/", b"{}", key_id="ASIA", secret="k", service="ssm",
        region="eu-west-1", now=NOW, also=also,
    )  # fmt: skip
    assert headers.items() >= also.items()
    names = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,"
    assert names in headers["authorization"]


def test_a_query_is_signed() -> None:
    def of(query: str) -> str:
        url = f"https://s3.amazonaws.com/trail{query}"
        given = {"key_id": "AKIA" + "A" * 16, "secret": "k" * 40, "service": "s3", "region": "us-east-1"}
        return sign("GET", url, b"", now=NOW, **given)["authorization"]

    assert len({of(""), of("?list-type=2"), of("?list-type=2&prefix=a%2F")}) == 3
