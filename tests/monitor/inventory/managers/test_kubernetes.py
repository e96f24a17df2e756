"""A Kubernetes API server, as far as Secrets and who may read them go."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
import pytest

from monitor.clients.client import ServiceError
from monitor.inventory.managers.kubernetes import KubernetesConfig, KubernetesManager
from tests.fakes.server import Fault
from tests.fakes.smtp import certificate
from tests.fakes.vendor import CANARY, Vendor, diagnosis, everything, hardships

ENDS = int(time.time()) + 3600
TOKEN = jwt.encode({"sub": "system:serviceaccount:prod:app", "exp": ENDS}, "k" * 32)


def secret(namespace: str, name: str, data: dict[str, bytes], kind: str = "Opaque") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7",
            "labels": {"owner": "payments"},
            "managedFields": [{"time": "2026-01-15T00:00:00Z"}, {"time": "2026-02-01T00:00:00Z"}, {"manager": "x"}],
        },
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }  # fmt: skip


class Cluster(Vendor):
    """`may`: verbs that are allowed."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}-token")
        auths = orjson.dumps({"auths": {"registry.example.org": {"auth": "b2s="}}})
        self.secrets = [
            secret("prod", "app", {"KEY": b"one", "bytes": b"\x00\xff", "empty": b"", "large": b"x" * 65536}),
            secret("prod", "tls", {"tls.key": b"private", "tls.crt": b"public"}, "kubernetes.io/tls"),
            secret("prod", "pull", {".dockerconfigjson": auths}, "kubernetes.io/dockerconfigjson"),
            secret("prod", "account", {"token": TOKEN.encode(), "ca.crt": b"ca", "namespace": b"prod"}),
            secret("prod", "chart", {"release": b"H4sI"}, "helm.sh/release.v1"),
            {"metadata": {"name": "none", "namespace": "prod"}},
            *(secret("stage", f"s{number}", {"KEY": b"x"}) for number in range(230)),
        ]
        self.may = {"list"}
        self.asked: list[dict[str, str]] = []

    def reply(self, where: str, query: dict[str, str], body: bytes) -> Any:
        if where == "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            review = orjson.loads(body)
            assert review["kind"] == "SelfSubjectAccessReview"
            asked = review["spec"]["resourceAttributes"]
            self.asked.append(asked)
            assert asked["resource"] == "secrets"
            return {"status": {"allowed": asked["verb"] in self.may}}
        path = where.removeprefix("GET /api/v1/")
        namespace = path.removeprefix("namespaces/").removesuffix("/secrets") if path != "secrets" else ""
        rows = [row for row in self.secrets if namespace in ("", row["metadata"]["namespace"])]
        if not query.keys() <= {"limit", "continue", "labelSelector"} or not path.endswith("secrets"):
            return None
        start, size = int(query.get("continue", "0")), int(query["limit"])
        more = {"continue": str(start + size)} if start + size < len(rows) else {}
        return {"kind": "SecretList", "metadata": {"resourceVersion": "9", **more}, "items": rows[start : start + size]}


@pytest.fixture
async def server() -> AsyncIterator[Cluster]:
    async with Cluster() as fake:
        yield fake


def maker(server: Cluster, tmp_path: Path, **keys: Any) -> Any:
    (tmp_path / "token").write_text(server.token)
    given = {
        "name": "cluster",
        "type": "kubernetes",
        "server": server.url,
        "token": f"file:{tmp_path / 'token'}",
        **keys,
    }
    config = KubernetesConfig.model_validate(given)
    return lambda: KubernetesManager(config)


async def test_every_key_of_every_secret(server: Cluster, tmp_path: Path) -> None:
    found = {held.name: held for held in await everything(maker(server, tmp_path)())}
    assert len(found) == 7 + 230
    assert {name: held.value for name, held in found.items() if name.startswith("prod/")} == {
        "prod/app.KEY": b"one",
        "prod/app.bytes": b"\x00\xff",
        "prod/app.empty": b"",
        "prod/app.large": b"x" * 65536,
        "prod/tls.tls.key": b"private",
        "prod/pull..dockerconfigjson.auths.registry.example.org.auth": b"b2s=",
        "prod/account.token": TOKEN.encode(),
    }
    key = found["prod/app.KEY"]
    assert (key.owner, key.version) == ("payments", "")
    assert key.tags == ("owner=payments", "type=Opaque")
    assert key.created is not None
    assert key.rotated is not None
    assert key.rotated - key.created == 31 * 86_400
    assert found["prod/account.token"].expires == ENDS


async def test_some_namespaces_and_a_selector(server: Cluster, tmp_path: Path) -> None:
    found = await everything(maker(server, tmp_path, namespaces=["stage"], selector="app in (a,b)")())
    assert len(found) == 230
    assert parse_qs(urlsplit(server.requests[0].path).query)["labelSelector"] == ["app in (a,b)"]


async def test_tokens_in_files(server: Cluster, tmp_path: Path) -> None:
    (tmp_path / "sa").write_text(f"{TOKEN}\n")
    make = maker(server, tmp_path, namespaces=["none"], token_files=[str(tmp_path / "sa")])
    (held,) = await everything(make())
    assert (held.name, held.value, held.expires) == (str(tmp_path / "sa"), TOKEN.encode(), ENDS)
    (tmp_path / "sa").unlink()
    with pytest.raises(ServiceError, match=r"token_files: file:.*No such file"):
        await everything(make())


async def test_a_cluster_has_its_own_ca(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    server = Cluster()
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(pem, key)
    async with server:
        assert len(await everything(maker(server, tmp_path, ca_file=str(pem), namespaces=["prod"])())) == 7


async def test_the_doctor(server: Cluster, tmp_path: Path) -> None:
    assert await diagnosis(maker(server, tmp_path)()) == []
    assert all("namespace" not in asked for asked in server.asked)
    server.may = {"create", "delete"}
    little, much = await diagnosis(maker(server, tmp_path, namespaces=["prod"])())
    assert little == "it may not list secrets in prod: bind a Role or ClusterRole with the verb list to it"
    assert much == "it may create, delete secrets in prod, which the monitor never needs"
    server.always = Fault(403, echo=True)
    (nothing,) = await diagnosis(maker(server, tmp_path)())
    assert "may not list secrets in the cluster" in nothing


async def test_data_that_is_no_base64(server: Cluster, tmp_path: Path) -> None:
    server.secrets = [{"metadata": {"name": "odd", "namespace": "prod"}, "data": {"KEY": f"{CANARY}!"}}]
    with pytest.raises(ServiceError, match="prod/odd: data that is no base64") as caught:
        await everything(maker(server, tmp_path)())
    assert CANARY not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_whatever_goes_wrong(server: Cluster, tmp_path: Path) -> None:
    await hardships(server, maker(server, tmp_path))
