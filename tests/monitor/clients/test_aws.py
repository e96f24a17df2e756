"""Where the key to AWS comes from, and what a refusal means."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.clients.aws import Amazon, NotThereError, sign
from monitor.clients.client import AccessError, ServiceError
from monitor.inventory.managers.aws import AwsConfig
from tests.fakes.moto import Aws
from tests.fakes.server import FakeServer, Fault

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CANARY = "canary-c0ffee"
NAMES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS",
)  # fmt: skip


class Machine(FakeServer):
    """Gives out keys as EC2, ECS and STS do, and plays the service that they are for."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.works = 0  # the number of the key that is taken
        self.tracked = timedelta(hours=1)

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        where = f"{request.method} {request.path}"
        if where == "PUT /latest/api/token":
            assert request.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "300"
            return web.Response(text="session")
        if where.startswith("GET /latest/meta-data/iam/security-credentials/"):
            assert request.headers["X-aws-ec2-metadata-token"] == "session"
            return web.Response(text="role") if where.endswith("/") else self._key("Token")
        if where == "GET /v1/credentials":
            assert request.headers["Authorization"] == "of the pod"
            return self._key("Token")
        if where == "POST /" and b"Action=" in body:
            given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            assert given.pop("WebIdentityToken") == "proof"
            assert given.pop("RoleArn") == "arn:aws:iam::1:role/r"
            assert given == {
                "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "exposure-monitor",
            }  # fmt: skip
            return self._key("SessionToken", xml=True)
        assert where == "POST /"
        key = request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        assert request.headers["X-Amz-Security-Token"] == f"session-{CANARY}"
        assert "x-amz-security-token" in request.headers["Authorization"]
        if key != f"ASIA{self.works}":
            return web.json_response({"__type": "ExpiredTokenException", "message": CANARY}, status=400)
        return web.json_response({"key": key})

    def _key(self, session: str, xml: bool = False) -> web.Response:
        self.given += 1
        key = {
            "AccessKeyId": f"ASIA{self.given}", "SecretAccessKey": CANARY, session: f"session-{CANARY}",
            "Expiration": (datetime.now(UTC) + self.tracked).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        if not xml:
            return web.json_response(key)
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in key.items())
        return web.Response(text=f"<R><Credentials>{inside}</Credentials></R>", content_type="text/xml")


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    async with Machine() as server:
        server.works = 1
        yield server


@pytest.fixture
async def service(machine: Machine) -> AsyncIterator[Amazon]:
    given = {"name": "cloud", "type": "aws", "region": "eu-west-1", "server": machine.url}
    made = Amazon(AwsConfig.model_validate(given), "inventory cloud", "secretsmanager", "secretsmanager")
    made.client.first_retry = 0.001
    yield made
    await made.close()


@pytest.fixture(params=["machine", "container", "pod"])
def role(request: pytest.FixtureRequest, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if request.param == "machine":
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
    elif request.param == "container":
        (tmp_path / "token").write_text("of the pod")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{machine.url}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    else:
        (tmp_path / "proof").write_text("proof\n")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "proof"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", machine.url)


@pytest.mark.usefixtures("role")
async def test_a_role_gives_a_key_that_is_kept_and_renewed(machine: Machine, service: Amazon) -> None:
    assert await service.call("ListSecrets", {}) == {"key": "ASIA1"}
    assert await service.call("ListSecrets", {}) == {"key": "ASIA1"}
    assert machine.given == 1

    machine.works = 2  # the first one is taken back in the midst
    assert await service.call("ListSecrets", {}) == {"key": "ASIA2"}
    machine.works = 99
    with pytest.raises(ServiceError, match="ExpiredTokenException: the key was refused") as caught:
        await service.call("ListSecrets", {})
    assert CANARY not in repr(caught.value)


@pytest.mark.usefixtures("role")
async def test_a_key_that_ends_soon_is_asked_for_anew(machine: Machine, service: Amazon) -> None:
    machine.tracked = timedelta(seconds=60)
    assert await service.call("ListSecrets", {}) == {"key": "ASIA1"}
    machine.works = 2
    before = time.time()
    assert await service.call("ListSecrets", {}) == {"key": "ASIA2"}
    assert machine.given == 2 + (time.time() > before + 60)


@pytest.mark.usefixtures("role")
async def test_no_role_and_no_key(machine: Machine, service: Amazon) -> None:
    for status in (403, 404):
        machine.always = Fault(status, echo=True)
        with pytest.raises(ServiceError, match=f"^inventory cloud: .*HTTP {status}") as caught:
            await service.call("ListSecrets", {})
        assert type(caught.value) is ServiceError  # of no single secret, which would be listed without its value
    machine.always = Fault(200, body="{}")
    with pytest.raises(ServiceError, match=r"no AccessKeyId in it|has no role"):
        await service.call("ListSecrets", {})


async def test_a_role_in_another_account(
    cloud: Aws, tmp_path: Path, documented: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = cloud.user("traveller", "sts:AssumeRole")
    cloud._unchecked(10)
    iam, secrets = cloud.client("iam"), cloud.client("secretsmanager")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="reads", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Statement": [{"Effect": "Allow", "Action": documented, "Resource": "*"}], "Version": "2012-10-17"}
    iam.put_role_policy(RoleName="reads", PolicyName="p", PolicyDocument=json.dumps(allowed))
    secrets.create_secret(Name="theirs", SecretString=CANARY)
    iam.close()
    secrets.close()
    cloud._unchecked(0)

    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", cloud.url)
    (tmp_path / "id").write_text(key[0])
    (tmp_path / "secret").write_text(key[1])
    given = {"name": "cloud", "type": "aws", "region": "us-east-1", "server": cloud.url, "role_arn": role}
    given |= {"access_key_id": f"file:{tmp_path / 'id'}", "secret_access_key": f"file:{tmp_path / 'secret'}"}
    service = Amazon(AwsConfig.model_validate(given), "inventory cloud", "secretsmanager", "secretsmanager")
    try:
        assert (await service.call("GetSecretValue", {"SecretId": "theirs"}))["SecretString"] == CANARY
    finally:
        await service.close()
    alone = Amazon(
        AwsConfig.model_validate({**given, "role_arn": ""}), "inventory cloud", "secretsmanager", "secretsmanager"
    )
    try:
        with pytest.raises(AccessError):
            await alone.call("GetSecretValue", {"SecretId": "theirs"})
    finally:
        await alone.close()


async def test_what_an_error_is_called(machine: Machine, service: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
    await service.call("ListSecrets", {})
    for name, kind in (
        ("AccessDeniedException", AccessError),
        ("com.amazon.coral#AccessDeniedException", AccessError),
        ("ResourceNotFoundException", NotThereError),
        ("ParameterNotFound", NotThereError),
        ("DecryptionFailure", ServiceError),
        ("</x><Code>AccessDenied</Code>", ServiceError),
        (CANARY, ServiceError),
    ):
        machine.faults.append(Fault(400, body=f'{{"__type": "{name}", "message": "{CANARY}"}}'))
        with pytest.raises(ServiceError) as caught:
            await service.call("GetSecretValue", {})
        assert type(caught.value) is kind
        assert CANARY not in str(caught.value)


def test_china_has_addresses_of_its_own() -> None:
    given = {"name": "cloud", "type": "aws", "region": "cn-north-1"}
    china = Amazon(AwsConfig.model_validate(given), "inventory cloud", "ssm", "AmazonSSM")
    assert china._url == "https://ssm.cn-north-1.amazonaws.com.cn/"


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


def test_a_key_is_whole_or_none() -> None:
    given = {"name": "cloud", "type": "aws", "region": "eu-west-1"}
    assert AwsConfig.model_validate(given).access_key_id is None
    for wrong in (
        {"access_key_id": "env:A"},
        {"session_token": "env:A"},
        {"region": "EU WEST"},
        {"access_key_id": "AKIA"},
    ):
        with pytest.raises(ValidationError):
            AwsConfig.model_validate({**given, **wrong})
