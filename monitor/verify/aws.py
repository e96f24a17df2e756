"""Signature Version 4: how a request to AWS shows that its sender has a secret key, without sending it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

__all__ = ["region_of", "sign"]

_REGION = re.compile(r"\.([a-z]{2,4}(?:-[a-z]+)+-[0-9])\.(?:api\.)?(?:amazonaws|aws)\.")
_GLOBAL = {"us-gov": "us-gov-west-1"}  # addresses of services that name a partition only


def region_of(host: str) -> str:
    """The region in the name of an address of AWS, which its requests are signed for; empty: it names none."""
    found = _REGION.search(host)
    return found[1] if found else _GLOBAL.get(host.split(".")[1] if host.count(".") > 1 else "", "")


def sign(
    method: str,
    url: str,
    body: bytes,
    *,
    key_id: str,
    secret: str,
    service: str,
    region: str,
    now: datetime,
    also: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers to send with a request, whose query, if it has one, is sorted and encoded as AWS wants it. `now` in
    UTC; `also`: headers to sign, in lower case.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    parts = urlsplit(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": parts.netloc,
        "x-amz-date": stamp,
        **(also or {}),
    }
    headers = dict(sorted(headers.items()))
    names = ";".join(headers)
    listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join((method, parts.path or "/", parts.query, listed, names, hashlib.sha256(body).hexdigest()))

    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    shown = f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers | {"authorization": shown}
