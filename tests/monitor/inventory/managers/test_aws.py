"""AWS Secrets Manager as moto plays it: who may do what is checked, and every signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from monitor.clients.client import NoEffectError, ServiceError
from monitor.inventory.held import HeldSecret, OvertakenError
from monitor.inventory.managers.aws import AwsConfig, AwsManager
from tests.fakes.moto import Aws
from tests.fakes.server import FakeServer, Fault
from tests.fakes.vendor import diagnosis, everything

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CANARY = "canary-77b2e0"
MAY = ["secretsmanager:ListSecrets", "secretsmanager:GetSecretValue"]


def manager(url: str, tmp_path: Path, key: tuple[str, str] = ("AKIAX", "s" * 40), **keys: Any) -> AwsManager:
    (tmp_path / "id").write_text(key[0])
    (tmp_path / "secret").write_text(key[1])
    given = {"name": "cloud", "type": "aws", "region": "us-east-1", "server": url, **keys}
    given |= {"access_key_id": f"file:{tmp_path / 'id'}", "secret_access_key": f"file:{tmp_path / 'secret'}"}
    one = AwsManager(AwsConfig.model_validate(given))
    one.client.first_retry = 0.001
    return one


async def test_current_and_previous_text_and_bytes(cloud: Aws, tmp_path: Path, documented: list[str]) -> None:
    key = cloud.user("reader", documented)
    cloud._unchecked(100)
    client = cloud.client("secretsmanager")
    tags = [{"Key": "owner", "Value": "payments"}, {"Key": "environment", "Value": "production"}]
    client.create_secret(Name="one/db", SecretString='{"username": "app", "password": "old"}', Tags=tags)
    client.put_secret_value(SecretId="one/db", SecretString='{"username": "app", "password": "new"}')
    client.create_secret(Name="one/bytes", SecretBinary=b"\x00\xff" * 100)
    client.create_secret(Name="one/large", SecretString="x" * 65536)
    client.create_secret(Name="one/none")
    client.create_secret(Name="two/other", SecretString="not asked for")
    client.close()
    cloud._unchecked(0)

    found = await everything(manager(cloud.url, tmp_path, key, prefix="one/"))
    assert {(held.name, held.standing): held.value for held in found} == {
        ("one/db.password", "current"): b"new",
        ("one/db.password", "previous"): b"old",
        ("one/bytes", "current"): b"\x00\xff" * 100,
        ("one/large", "current"): b"x" * 65536,
    }
    now = next(held for held in found if held.value == b"new")
    assert (now.owner, now.environment) == ("payments", "production")
    assert now.tags == ("environment=production", "owner=payments")
    assert now.created is not None
    assert now.rotated is not None
    assert abs(now.rotated - time.time()) < 600
    assert len({held.version for held in found}) == 4


async def test_who_may_not_read_and_who_may_write(cloud: Aws, tmp_path: Path, documented: list[str]) -> None:
    cloud._unchecked(1)
    client = cloud.client("secretsmanager")
    client.create_secret(Name="three", SecretString=CANARY)
    client.close()
    assert await diagnosis(manager(cloud.url, tmp_path, cloud.user("fits", documented))) == []
    assert await diagnosis(manager(cloud.url, tmp_path, cloud.user("much", "secretsmanager:*"))) == [
        "it may write secrets (secretsmanager:PutSecretValue), which the monitor never needs"
    ]
    lists = manager(cloud.url, tmp_path, cloud.user("lists", MAY[:1]), prefix="three")
    assert [(held.name, held.value) async for held in lists.held()] == [("three", None)]
    (problem,) = await diagnosis(lists)
    assert "allow secretsmanager:GetSecretValue" in problem
    nothing = cloud.user("nothing")
    (problem,) = await diagnosis(manager(cloud.url, tmp_path, nothing))
    assert "ListSecrets: HTTP 403 AccessDenied" in problem
    with pytest.raises(ServiceError, match="not permitted"):
        await everything(manager(cloud.url, tmp_path, nothing))
    wrong = (nothing[0], "y" * 40)
    with pytest.raises(ServiceError, match="the key was refused") as caught:
        await everything(manager(cloud.url, tmp_path, wrong))
    assert wrong[1] not in repr(caught.value)


class Secrets(FakeServer):
    """Secrets Manager's two operations over `count` secrets, a page at a time. `shut`: key ids that work no more."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.read = 0
        self.revoked_after: int | None = None

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        given = orjson.loads(body)
        operation = request.headers.get("X-Amz-Target", "")
        if request.method != "POST" or request.path_qs != "/":
            self.problems.append(f"{request.method} {request.path_qs}")
        if request.headers["Content-Type"] != "application/x-amz-json-1.1":
            self.problems.append("not the JSON protocol")
        if "/us-east-1/secretsmanager/aws4_request" not in request.headers.get("Authorization", ""):
            self.problems.append("not signed")
        if self.revoked_after is not None and self.read >= self.revoked_after:
            error = {"__type": "UnrecognizedClientException", "message": f"The token {CANARY} is invalid"}
            return web.json_response(error, status=400)
        if operation == "secretsmanager.ListSecrets":
            return self._list(given)
        if operation != "secretsmanager.GetSecretValue" or given.keys() != {"SecretId", "VersionId"}:
            self.problems.append(f"{operation} {sorted(given)}")
        self.read += 1
        return web.json_response({"ARN": given["SecretId"], "SecretString": f"{CANARY} of {given['SecretId']}"})

    def _list(self, given: dict[str, Any]) -> web.Response:
        if not given.keys() <= {"MaxResults", "NextToken", "Filters"} or not 1 <= given["MaxResults"] <= 100:
            self.problems.append(f"ListSecrets {given}")
        start = int(given.get("NextToken", "page-0").removeprefix("page-"))
        end = min(start + given["MaxResults"], self.count)
        rows = [
            {"ARN": f"arn:{number}", "Name": f"s{number}", "SecretVersionsToStages": {"v": ["AWSCURRENT"]}}
            for number in range(start, end)
        ]
        more = {"NextToken": f"page-{end}"} if end < self.count else {}
        return web.json_response({"SecretList": rows, **more})


@pytest.fixture
async def many() -> AsyncIterator[Secrets]:
    async with Secrets(250) as server:
        yield server


async def test_pages_and_throttling(many: Secrets, tmp_path: Path) -> None:
    limit = Fault(400, body='{"__type": "com.amazonaws#ThrottlingException", "message": "Rate exceeded"}')
    many.faults.extend([limit, limit])
    found = await everything(manager(many.url, tmp_path))
    assert [held.name for held in found] == [f"s{number}" for number in range(250)]
    assert found[249].value == f"{CANARY} of arn:249".encode()


async def test_a_key_that_is_revoked_in_the_midst(many: Secrets, tmp_path: Path) -> None:
    many.revoked_after = 120
    seen: list[HeldSecret] = []
    with pytest.raises(ServiceError, match="UnrecognizedClientException: the key was refused") as caught:
        await collect(manager(many.url, tmp_path), seen)
    assert 100 <= len(seen) <= 120
    assert CANARY not in repr(caught.value)


async def collect(one: AwsManager, seen: list[HeldSecret]) -> None:
    try:
        async for held in one.held():
            seen.append(held)  # noqa: PERF401 # what was given before it failed counts
    finally:
        await one.close()


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"SecretList": null}',
        '{"SecretList": [1]}',
        '{"SecretList": [], "NextToken": 1}',
        "<p>" + CANARY,
    ],
)
async def test_half_an_answer_is_none(many: Secrets, tmp_path: Path, body: str) -> None:
    many.always = Fault(200, body=body)
    with pytest.raises(ServiceError, match="inventory cloud: ListSecrets: ") as caught:
        await everything(manager(many.url, tmp_path))
    assert CANARY not in repr(caught.value)


async def test_a_page_that_leads_to_itself(many: Secrets, tmp_path: Path) -> None:
    many.always = Fault(200, body='{"SecretList": [], "NextToken": "same"}')
    with pytest.raises(ServiceError, match="does not lead on"):
        await asyncio.wait_for(everything(manager(many.url, tmp_path)), 120)


async def test_each_secret_is_gone_as_it_came(many: Secrets, tmp_path: Path) -> None:
    """The reader sets the pace: a page is asked for when the one before was taken."""
    one = manager(many.url, tmp_path)
    held = one.held()
    for _ in range(5):
        await anext(held)
    await held.aclose()  # type: ignore[attr-defined]
    await one.close()
    assert len(many.requests) <= 1 + 5 + 8


def current(client: Any, name: str) -> str:
    stages = client.describe_secret(SecretId=name)["VersionIdsToStages"]
    return next(number for number, labels in stages.items() if "AWSCURRENT" in labels)


async def test_a_rotation_function_is_started_once_for_a_version(cloud: Aws, tmp_path: Path) -> None:
    key = cloud.user("rotates", ["secretsmanager:DescribeSecret", "secretsmanager:RotateSecret"])
    cloud._unchecked(10)
    client = cloud.client("secretsmanager")
    for name in ("rot/db.main", "rot/plain"):
        client.create_secret(Name=name, SecretString='{"password": "old", "token": "older"}')
    client.rotate_secret(SecretId="rot/db.main", RotationRules={"AutomaticallyAfterDays": 30})
    client.put_secret_value(SecretId="rot/db.main", SecretString='{"password": "one", "token": "two"}')
    before, plain = current(client, "rot/db.main"), current(client, "rot/plain")
    cloud._unchecked(0)

    rotator = manager(cloud.url, tmp_path, key)
    assert await rotator.fit() == []
    assert "makes version" in await rotator.rotate("rot/db.main.password", before, 0)
    # The inventory has not seen that yet when another member is due.
    with pytest.raises(OvertakenError, match="it has a new version already, and nothing was sent"):
        await rotator.rotate("rot/db.main.token", before, 0)
    cloud._unchecked(10)
    after = current(client, "rot/db.main")
    # As long as the one before is in use, whoever asks again for it or for another member of it starts nothing.
    client.update_secret_version_stage(SecretId="rot/db.main", VersionStage="AWSPENDING", MoveToVersionId=after)
    client.update_secret_version_stage(
        SecretId="rot/db.main", VersionStage="AWSCURRENT", RemoveFromVersionId=after, MoveToVersionId=before
    )
    cloud._unchecked(0)
    for member in ("password", "token"):
        assert f"version {after[:8]} is pending there" in await rotator.rotate(f"rot/db.main.{member}", before, 0)
    with pytest.raises(NoEffectError, match="rotation is not turned on for it"):
        await rotator.rotate("rot/plain.password", plain, 0)
    with pytest.raises(NoEffectError, match="NotFound"):
        await rotator.rotate("rot/nowhere.password", before, 0)
    await rotator.close()

    lists = manager(cloud.url, tmp_path, cloud.user("describes", "secretsmanager:DescribeSecret"))
    cloud._unchecked(10)
    client.rotate_secret(SecretId="rot/plain", RotationRules={"AutomaticallyAfterDays": 30})
    plain = current(client, "rot/plain")
    cloud._unchecked(0)
    with pytest.raises(NoEffectError, match=r"RotateSecret: HTTP 403 AccessDenied.*not permitted"):
        await lists.rotate("rot/plain.password", plain, 0)
    [problem] = await lists.fit()
    assert problem.endswith("allow secretsmanager:RotateSecret")
    await lists.close()
    wide = manager(cloud.url, tmp_path, cloud.user("wide", "secretsmanager:*"))
    assert await wide.fit() == [
        f"it may call secretsmanager:{operation}, which it never needs"
        for operation in ("GetSecretValue", "PutSecretValue")
    ]
    await wide.close()
    client.close()


class Few(FakeServer):
    """Secrets by name, each with its versions and their labels; `closed`: names that may not be described."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, dict[str, list[str]]] = {}
        self.closed: set[str] = set()
        self.started: list[str] = []
        self.tokens: list[str] = []

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        name = orjson.loads(body)["SecretId"]
        if request.headers["X-Amz-Target"] == "secretsmanager.RotateSecret":
            self.started.append(name)
            self.tokens.append(orjson.loads(body)["ClientRequestToken"])
            return web.json_response({})
        if name in self.closed:
            return web.json_response({"__type": "AccessDeniedException"}, status=400)
        if name not in self.stages:
            return web.json_response({"__type": "ResourceNotFoundException"}, status=400)
        return web.json_response(
            {"ARN": f"arn:{name}", "RotationEnabled": True, "VersionIdsToStages": self.stages[name]}
        )


@pytest.fixture
async def few() -> AsyncIterator[Few]:
    async with Few() as server:
        yield server


async def test_no_other_secret_is_rotated_that_only_has_the_name(few: Few, tmp_path: Path) -> None:
    few.stages = {"app": {"v1": ["AWSCURRENT"]}}
    rotator = manager(few.url, tmp_path)
    with pytest.raises(NoEffectError, match="no version that the inventory knows"):
        await rotator.rotate("app.db", "v7", 0)  # a secret of its own, deleted since it was read
    few.stages["app.db"] = {"v8": ["AWSCURRENT"]}
    assert few.started == []
    await rotator.rotate("app.db", "v1", 0)  # a member, beside which there is a secret of that name now
    assert few.started == ["arn:app"]

    few.closed = {"app.db"}  # of a policy that names `app` alone
    await rotator.rotate("app.db", "v1", 0)
    assert few.started == ["arn:app"] * 2
    with pytest.raises(NoEffectError, match=r"DescribeSecret: .*not permitted"):
        await rotator.rotate("app.db", "v8", 0)
    await rotator.close()


async def test_a_rotation_that_is_under_way_is_not_started_again(few: Few, tmp_path: Path) -> None:
    few.stages = {"app": {"v1": ["AWSCURRENT"], "v2": ["AWSPENDING"]}}
    rotator = manager(few.url, tmp_path)
    assert "version v2 is pending there already, and nothing was sent" in await rotator.rotate("app", "v1", 1)
    few.stages = {"app": {"v1": ["AWSPREVIOUS"], "v2": ["AWSCURRENT", "AWSPENDING"]}}
    with pytest.raises(OvertakenError):
        await rotator.rotate("app", "v1", 0)
    assert few.started == []
    await rotator.rotate("app", "v2", 0)
    assert few.started == ["arn:app"]
    await rotator.close()


async def test_another_try_is_another_request_and_so_is_one_after_a_new_value_was_taken_back(
    few: Few, tmp_path: Path
) -> None:
    few.stages = {"app": {"v1": ["AWSCURRENT"]}}
    rotator = manager(few.url, tmp_path)
    for member, tries in (("a", 0), ("b", 0), ("a", 1)):
        await rotator.rotate(f"app.{member}", "v1", tries)
    assert few.tokens[0] == few.tokens[1] != few.tokens[2]  # two that ask at once; one again, as nothing came of it
    few.stages = {"app": {"v1": ["AWSCURRENT"], few.tokens[0]: ["AWSPREVIOUS"]}}
    await rotator.rotate("app.b", "v1", 0)
    assert len(few.tokens) == 4
    assert len(set(few.tokens)) == 3
    await rotator.close()
