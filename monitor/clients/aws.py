"""AWS as its JSON services and S3 are spoken to: with which key, signed how, and what a refusal means.

Boto's chain of credentials (botocore 1.44) was tried. A machine whose role is refused has no key to it, whatever the
status was; when a key ends has no public name; and what it raises for an answer that is no XML quotes that answer, in
which a confused front may echo the pod's token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import orjson
from pydantic import Field, model_validator
from yarl import URL

from monitor.clients.client import AccessError, NoEffectError, ProviderClient, ServiceError, denied
from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.http import Reply
from monitor.common.outside import instant
from monitor.common.problems import refuse
from monitor.common.table import Table

__all__ = ["Amazon", "AwsAccess", "AwsLogin", "NotThereError", "region_of", "sign"]

_METADATA = "http://169.254.169.254"  # of the machine
_CONTAINER = "http://169.254.170.2"  # of ECS
_FREE = "-_.~"  # what stays as it is in a path and a query
_AHEAD = 300.0  # seconds before its end that a key is asked for anew
_LIMIT = re.compile(r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown")
_DENIED = re.compile(r"AccessDenied")
_EXPIRED = re.compile(r"ExpiredToken|UnrecognizedClient|InvalidClientTokenId|InvalidSignature|SignatureDoesNotMatch")
_REGION = re.compile(r"\.([a-z]{2,4}(?:-[a-z]+)+-[0-9])\.(?:api\.)?(?:amazonaws|aws)\.")
_GLOBAL = {"us-gov": "us-gov-west-1"}  # addresses of services that name a partition only


class AwsLogin(Table):
    """With which key AWS is asked.

    - `access_key_id`, `secret_access_key`, `session_token` (the role of the pod, container or machine): IRSA or Pod
      Identity, ECS, EC2
    - `role_arn`: a role that is taken on with that key (`sts:AssumeRole`), such as one of another account
    """

    access_key_id: Credential | None = None
    secret_access_key: Credential | None = None
    session_token: Credential | None = None
    role_arn: str = Field(default="", pattern=r"^(arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+)?$")

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        refuse(
            (
                (self.access_key_id is None) != (self.secret_access_key is None),
                "access_key_id and secret_access_key belong together",
            ),
            (
                self.session_token is not None and self.access_key_id is None,
                "session_token needs access_key_id and secret_access_key",
            ),
        )
        return self


class AwsAccess(AwsLogin):
    """Which region of AWS is asked, and where.

    - `region`: such as `eu-central-1`
    - `server` (the region's): the address of the service
    """

    region: str = Field(pattern=r"^[a-z0-9-]{3,40}$")
    server: ServerUrl | None = None


class NotThereError(ServiceError):
    """What was asked for does not exist (any more)."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    secret: str = field(repr=False)
    session: str = field(repr=False)
    until: float  # seconds since 1970


class Amazon:
    """One service in one region. `whose`: for whom, as messages say it; `service`: as it is signed for; `target`: what
    its operations are prefixed with."""

    def __init__(self, config: AwsAccess, whose: str, service: str, target: str) -> None:
        self.config = config
        self.client = ProviderClient(whose, throttled=lambda reply: bool(_LIMIT.search(_kind(reply))))
        self._service, self._target = service, target
        self._url = f"{config.server or f'https://{service}.{config.region}.{_suffix(config.region)}'}/"
        self._key: _Key | None = None
        self._finding = asyncio.Lock()

    async def close(self) -> None:
        await self.client.close()

    async def call(self, operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What an operation answers. Raises AccessError where it is not permitted, NotThereError, ServiceError."""
        reply = await self._asked(operation, "POST", self._url, orjson.dumps(given), self._headers(operation))
        kind = _kind(reply)
        if reply.status == 200:
            answer = reply.json()
            if not isinstance(answer, dict):
                raise self.client.error(operation, "the answer is not JSON: check `server`")
            return answer

        failure = self.client.error(operation, f"HTTP {reply.status} {kind}".rstrip())
        if _DENIED.search(kind):
            raise AccessError(f"{failure}: it is not permitted to that")
        if _EXPIRED.search(kind):
            raise ServiceError(f"{failure}: the key was refused: it has expired, been revoked, or the clock is wrong")
        if "NotFound" in kind:
            raise NotThereError(str(failure))
        raise failure

    async def page(
        self, operation: str, key: str, given: Mapping[str, Any], token: str | None
    ) -> tuple[list[dict[str, Any]], object]:
        """What a page of a list has under `key`, and where the next one begins. Raises as `call`."""
        page = await self.call(operation, {**given, **({"NextToken": token} if token else {})})
        return self.client.rows(operation, page, key), page.get("NextToken")

    async def denied(self, operation: str, given: Mapping[str, Any]) -> AccessError | None:
        """Why an operation is not permitted; None: it is, also where there is nothing that it could be done with."""
        with contextlib.suppress(NotThereError):
            return await denied(self.call(operation, given))
        return None

    async def act(self, operation: str, given: Mapping[str, Any]) -> None:
        """Have something changed, asked for once. Raises NoEffectError, and ServiceError where nobody knows."""
        body = orjson.dumps(given)
        try:
            key = await self._current(anew=False)
        except ServiceError as error:
            raise NoEffectError(str(error)) from None
        headers = self._sign("POST", self._url, body, key, service=self._service, headers=self._headers(operation))
        reply = await self.client.act(operation, "POST", self._url, headers, body)
        if reply.status != 200:
            raise self.client.refused(operation, reply, _kind(reply))

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """What S3 answers to a GET of a path. Raises AccessError where it is not permitted, ServiceError."""
        listed = "&".join(f"{quote(name, safe=_FREE)}={quote(query[name], safe=_FREE)}" for name in sorted(query))
        url = self._url.rstrip("/") + quote(path, safe=f"/{_FREE}") + (f"?{listed}" if listed else "")
        reply = await self._asked("GET", "GET", url, b"", {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()})
        self.client.check("GET", reply)
        return reply

    def _headers(self, operation: str) -> dict[str, str]:
        return {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{self._target}.{operation}"}

    async def _asked(self, what: str, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Once more with a new key, where that of a role has come to its end."""
        for anew in (False, True):
            key = await self._current(anew=anew)
            signed = partial(self._sign, method, url, body, key, service=self._service, headers=headers)
            reply = await self.client.ask(what, method, URL(url, encoded=True), {}, body or None, signed=signed)
            if not _EXPIRED.search(_kind(reply)) or key.until == float("inf"):
                break
        return reply

    def _sign(
        self, method: str, url: str, body: bytes, key: _Key, *, service: str, headers: Mapping[str, str]
    ) -> dict[str, str]:
        session = {"x-amz-security-token": key.session} if key.session else {}
        return sign(
            method,
            url,
            body,
            key_id=key.id,
            secret=key.secret,
            service=service,
            region=self.config.region,
            now=datetime.now(UTC),
            also={**headers, **session},
        )

    async def _current(self, *, anew: bool) -> _Key:
        async with self._finding:
            if self._key is None or anew or time.time() > self._key.until - _AHEAD:
                try:
                    key = await self._find()
                    self._key = await self._as_role(key) if self.config.role_arn else key
                except AccessError as error:  # of no single secret
                    raise ServiceError(str(error)) from None
            return self._key

    async def _find(self) -> _Key:
        config = self.config
        if config.access_key_id is not None and config.secret_access_key is not None:
            return _Key(
                self.client.secret(config.access_key_id, "access_key_id"),
                self.client.secret(config.secret_access_key, "secret_access_key"),
                self.client.secret(config.session_token, "session_token") if config.session_token else "",
                float("inf"),
            )
        if (token := os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")) and (role := os.environ.get("AWS_ROLE_ARN")):
            return await self._of_the_pod(token, role)
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in os.environ or "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in os.environ:
            return await self._of_the_container()
        return await self._of_the_machine()

    async def _of_the_pod(self, token: str, role: str) -> _Key:
        """By the token that Kubernetes gives a service account (IRSA)."""
        what = "AssumeRoleWithWebIdentity"
        try:
            proof = Path(token).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            proof = ""
        if not proof:
            raise self.client.error(what, "the file that AWS_WEB_IDENTITY_TOKEN_FILE names cannot be read")
        given = {
            "Action": what,
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "exposure-monitor",
            "WebIdentityToken": proof,
        }
        return await self._from_sts(what, given, None)

    async def _as_role(self, key: _Key) -> _Key:
        """By a key that may take on the role of the entry, such as one in another account."""
        what = "AssumeRole"
        given = {"RoleArn": self.config.role_arn, "RoleSessionName": "exposure-monitor"}
        return await self._from_sts(what, {"Action": what, "Version": "2011-06-15", **given}, key)

    async def _from_sts(self, what: str, given: dict[str, str], key: _Key | None) -> _Key:
        region = self.config.region
        server = os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{_suffix(region)}"
        url, body = f"{server.rstrip('/')}/", urlencode(given).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        signed = partial(self._sign, "POST", url, body, key, service="sts", headers=headers) if key else None
        reply = await self.client.ask(what, "POST", url, headers, body, signed=signed)
        self.client.check(what, reply)
        text = reply.body.decode("utf-8", "replace")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        found = {name: re.search(f"<{name}>([^<]+)</{name}>", text) for name in names}
        return self._made(what, {name: match[1] for name, match in found.items() if match}, "SessionToken")

    async def _of_the_container(self) -> _Key:
        """Of an ECS task, or of a pod by EKS's Pod Identity."""
        what = "the container's credentials"
        url = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or (
            _CONTAINER + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        )
        token = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if file := os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = self.client.secret(Credential(f"file:{file}"), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        body = await self.client.json(what, "GET", url, {"Authorization": token} if token else {})
        return self._made(what, body, "Token")

    async def _of_the_machine(self) -> _Key:
        """Of an EC2 instance, by the second version of its metadata service."""
        what = "the machine's role"
        server = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", _METADATA).rstrip("/")
        tracked = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        reply = await self.client.ask(what, "PUT", f"{server}/latest/api/token", tracked)
        self.client.check(what, reply)
        told = {"X-aws-ec2-metadata-token": reply.body.decode("ascii", "replace").strip()}
        place = f"{server}/latest/meta-data/iam/security-credentials/"
        reply = await self.client.ask(what, "GET", place, told)
        self.client.check(what, reply)
        role = reply.body.decode("ascii", "replace").split("\n")[0].strip()
        if not re.fullmatch(r"[\w+=,.@-]{1,64}", role):
            raise self.client.error(what, "the machine has no role: give it one, or set access_key_id")
        return self._made(what, await self.client.json(what, "GET", place + role, told), "Token")

    def _made(self, what: str, body: Any, session: str) -> _Key:
        names = ("AccessKeyId", "SecretAccessKey", session)
        key, secret, token = (self.client.pick(what, body, name, str) for name in names)
        return _Key(key, secret, token, instant(body.get("Expiration")) or time.time() + 600.0)


def _kind(reply: Reply) -> str:
    """What an error is called; empty for a good answer, or where it is no name."""
    if reply.status < 400:
        return ""
    body = reply.json()
    if isinstance(body, dict):
        kind = str(body.get("__type") or body.get("code") or "").rpartition("#")[2]
    else:  # a front that knows no JSON
        found = re.search(rb"<Code>([A-Za-z]{1,60})</Code>", reply.body)
        kind = found[1].decode() if found else ""
    return kind if re.fullmatch(r"[A-Za-z]{1,60}", kind) else ""


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


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
