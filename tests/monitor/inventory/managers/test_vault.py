"""A real OpenBao: both KV engines, three ways to log in, namespaces, and what goes wrong in the midst of it."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
import textwrap
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from monitor.actions.actor import Actor
from monitor.actions.config import ActionConfig
from monitor.clients.client import NoEffectError, ServiceError, together
from monitor.common.guard import Guard
from monitor.common.http import Http
from monitor.config.config import parse
from monitor.inventory.held import HeldSecret
from monitor.inventory.keep import Enrolled
from monitor.inventory.managers.vault import VaultConfig, VaultManager
from monitor.inventory.reader import read
from monitor.rotation.automatic import Automatic
from monitor.rotation.work import sweep, under_way
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.runbook.runbook_store import load
from monitor.store import Store
from monitor.verify.postgres import log_in
from tests.fakes.openbao import OpenBao, openbao
from tests.fakes.postgres import Postgres, postgres_with_passwords
from tests.fakes.server import FakeServer
from tests.fakes.smtp import certificate
from tests.fakes.vendor import diagnosis, everything
from tests.monitor.store.helpers import Clock

CANARY = "canary-5d1c"
# The policy that the documentation tells people to write.
DOCUMENTED = re.findall(r"(?:^    .+\n?)+", inspect.cleandoc(VaultConfig.__doc__ or ""), re.MULTILINE)
POLICY, READS_ROLES, ROTATES_ROLES = map(textwrap.dedent, DOCUMENTED)


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("bao")) as server:
        server.call("POST", "sys/policies/acl/reader", {"policy": POLICY})
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        server.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        yield server


@pytest.fixture(scope="module")
def database(bao: OpenBao) -> Iterator[Postgres]:
    """A database engine with the static role `app`, whose password it has just taken over."""
    for name, policy in {"reads-roles": READS_ROLES, "rotates-roles": ROTATES_ROLES}.items():
        bao.call("POST", f"sys/policies/acl/{name}", {"policy": policy})
    with postgres_with_passwords() as server:
        bao.call("POST", "sys/mounts/database", {"type": "database"})
        long = (
            'length = 40\nrule "charset" { charset = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" }'
        )
        bao.call("POST", "sys/policies/password/long", {"policy": long})  # hardly one is refused for being too regular
        connection = {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{server.port}/postgres",
            "username": "keeper",
            "password": server.keepers,
            "password_policy": "long",
        }
        bao.call("POST", "database/config/main", connection)
        role = {"db_name": "main", "username": "app", "rotation_period": "720h"}
        bao.call("POST", "database/static-roles/app", role)
        yield server


async def logged_in(server: Postgres, user: str, password: str) -> str:
    parts = {"host": f"127.0.0.1:{server.port}", "user": user, "value": password, "database": "postgres"}
    return (await log_in(Guard(), parts, private=True, seconds=30.0))[0]


@pytest.fixture
def folder() -> str:
    """One of its own for a test."""
    return f"t{time.monotonic_ns()}"


def write(bao: OpenBao, path: str, **data: object) -> None:
    bao.call("POST", f"secret/data/{path}", {"data": data})


def manager(bao: OpenBao, tmp_path: Path, token: str = "", **keys: Any) -> VaultManager:
    if token or not keys.keys() & {"approle", "kubernetes"}:
        (tmp_path / "token").write_text(token or bao.root)
        keys["token"] = f"file:{tmp_path / 'token'}"
    given = {"name": "vault", "type": "vault", "server": bao.url, **keys}
    made = VaultManager(VaultConfig.model_validate(given))
    made.client.first_retry = 0.01
    return made


def values(found: list[HeldSecret]) -> dict[str, bytes | None]:
    assert len({(held.name, held.version) for held in found}) == len(found)
    return {held.name: held.value for held in found}


async def test_folders_members_and_versions(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    write(bao, f"{folder}/app", KEY="one")
    write(bao, f"{folder}/app", KEY="two", OTHER="x" * 65536)
    write(bao, f"{folder}/app", KEY="three", EMPTY="", host="db.example.org")
    write(bao, f"{folder}/app/deep%20down/er", KEY="ü\u0000")
    bao.call("POST", f"secret/metadata/{folder}/app", {"custom_metadata": {"owner": "payments", "env": "production"}})

    found = await everything(manager(bao, tmp_path, path=folder, versions=3))
    where = f"secret/{folder}/app"
    told = {(held.name.removeprefix(where), held.version, held.standing): held.value for held in found}
    assert told == {
        (".KEY", "3", "current"): b"three",
        (".EMPTY", "3", "current"): b"",
        (".KEY", "2", "previous"): b"two",
        (".OTHER", "2", "previous"): b"x" * 65536,
        (".KEY", "1", "retired"): b"one",
        ("/deep down/er.KEY", "1", "current"): "ü\u0000".encode(),
    }
    newest = next(held for held in found if held.version == "3")
    only = await everything(manager(bao, tmp_path, path=folder, versions=1))
    assert {held.version for held in only} == {""}, "of the only one that is read no other can be told to be gone"
    assert (newest.owner, newest.environment) == ("payments", "production")
    assert newest.created is not None
    assert newest.rotated is not None
    assert 0 < newest.rotated - newest.created < 60
    assert abs(newest.rotated - time.time()) < 600


async def test_deleted_and_destroyed_versions_are_not_held(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    for number in range(4):
        write(bao, f"{folder}/app", KEY=f"v{number + 1}")
    bao.call("DELETE", f"secret/data/{folder}/app")
    bao.call("PUT", f"secret/destroy/{folder}/app", {"versions": [2]})
    found = await everything(manager(bao, tmp_path, path=folder, versions=9))
    assert [(held.value, held.standing) for held in found] == [(b"v3", "previous"), (b"v1", "retired")]


async def test_a_version_that_will_be_deleted_is_held_and_expires(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    bao.call("POST", f"secret/metadata/{folder}/app", {"delete_version_after": "720h"})
    write(bao, f"{folder}/app", KEY="one")
    [held] = await everything(manager(bao, tmp_path, path=folder))
    assert (held.value, held.standing) == (b"one", "current")
    assert held.expires is not None
    assert held.rotated is not None
    assert abs(held.expires - held.rotated - 720 * 3600) < 60


async def test_the_first_version_of_the_engine(bao: OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    bao.call("POST", "old/a/b", {"KEY": "one"})
    bao.call("POST", "old/a", {"KEY": {"deep": "two"}})
    assert values(await everything(manager(bao, tmp_path, mount="old"))) == {
        "old/a.KEY.deep": b"two", "old/a/b.KEY": b"one",
    }  # fmt: skip
    with pytest.raises(ServiceError, match="no path of its policy is in the engine, or `mount` is wrong"):
        await diagnosis(manager(bao, tmp_path, bao.token(), mount="old"))
    policy = 'path "old/*" { capabilities = ["list", "create"] }'
    bao.call("POST", "sys/policies/acl/old", {"policy": policy})
    assert await diagnosis(manager(bao, tmp_path, bao.token("old", period="1h"), mount="old", path="a")) == [
        "it may create at old/a/, which it never needs",
        'it may not read old/a/any: add path "old/a/*" with read to its policy',
        "it may create at old/a/any, which it never needs",
    ]


async def test_a_namespace(bao: OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "sys/namespaces/team", {})
    for version in "12":
        bao.call("POST", f"sys/mounts/kv{version}", {"type": "kv", "options": {"version": version}}, "team")
    bao.call("POST", "kv1/app", {"KEY": "old"}, "team")
    bao.call("POST", "kv2/data/app", {"data": {"KEY": "theirs"}}, "team")
    for mount, value in (("kv1", b"old"), ("kv2", b"theirs")):
        for space in ("team", "team/", "/team"):
            found = values(await everything(manager(bao, tmp_path, mount=mount, namespace=space)))
            assert found == {f"team/{mount}/app.KEY": value}, "as audit records call it"


async def test_an_approle_logs_in_and_out(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    write(bao, f"{folder}/app", KEY="v")
    login = approle(bao, tmp_path, "reader")
    secret = (tmp_path / "reader").read_text()
    before = accessors(bao)
    one = manager(bao, tmp_path, approle=login, path=folder)
    assert await one.doctor() == []
    assert values([held async for held in one.held()]) == {f"secret/{folder}/app": b'{"KEY":"v"}'}
    assert len(accessors(bao)) == len(before) + 1

    # Its token ends in the midst: it logs in again, once.
    bao.call("POST", "auth/token/revoke", {"token": one._token})
    assert values([held async for held in one.held()]) == {f"secret/{folder}/app": b'{"KEY":"v"}'}
    await one.close()
    assert accessors(bao) == before

    bao.call("POST", "auth/approle/role/reader/secret-id/destroy", {"secret_id": secret})
    with pytest.raises(ServiceError, match=r"auth/approle/login: HTTP 400.*the login was refused") as caught:
        await everything(manager(bao, tmp_path, approle=login))
    assert secret not in str(caught.value)


def approle(bao: OpenBao, tmp_path: Path, policy: str) -> dict[str, str]:
    """How to log in with this policy."""
    where = f"auth/approle/role/{policy}"
    bao.call("POST", where, {"token_policies": policy, "token_num_uses": 0})
    (tmp_path / policy).write_text(bao.call("POST", f"{where}/secret-id", {})["data"]["secret_id"])
    role = bao.call("GET", f"{where}/role-id")["data"]["role_id"]
    return {"role_id": role, "secret_id": f"file:{tmp_path / policy}"}


def accessors(bao: OpenBao) -> set[str]:
    return set(bao.call("LIST", "auth/token/accessors")["data"]["keys"])


class TokenReview(FakeServer):
    """The part of a Kubernetes API server that says whose a service account's token is."""

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if (request.method, request.path) != ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"):
            self.problems.append(f"{request.method} {request.path}")
        claims = jwt.decode(orjson.loads(body)["spec"]["token"], options={"verify_signature": False})
        user = {"username": claims["sub"], "uid": "u1", "groups": ["system:serviceaccounts"]}
        status = {"authenticated": True, "user": user}
        return web.json_response({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})


@pytest.fixture
async def cluster() -> AsyncIterator[FakeServer]:
    async with TokenReview() as server:
        yield server


async def test_a_service_account_of_kubernetes(bao: OpenBao, tmp_path: Path, folder: str, cluster: FakeServer) -> None:
    write(bao, f"{folder}/app", KEY="v")
    key = rsa.generate_private_key(65537, 2048)
    account = {"namespace": "prod", "serviceaccount": {"name": "monitor", "uid": "u1"}}
    claims = {"sub": "system:serviceaccount:prod:monitor", "exp": int(time.time()) + 600, "kubernetes.io": account}
    claims |= {"iat": int(time.time()) - 60, "nbf": int(time.time()) - 60}
    token = jwt.encode(claims, key, algorithm="RS256")
    (tmp_path / "jwt").write_text(token)
    setup = {"kubernetes_host": cluster.url, "token_reviewer_jwt": token}
    setup["kubernetes_ca_cert"] = certificate(tmp_path)[0].read_text()
    await asyncio.to_thread(bao.call, "POST", "auth/kubernetes/config", setup)
    role = {
        "bound_service_account_names": ["monitor"], "bound_service_account_namespaces": ["prod"],
        "token_policies": ["reader"],
    }  # fmt: skip
    await asyncio.to_thread(bao.call, "POST", "auth/kubernetes/role/m", role)
    login = {"role": "m", "jwt": f"file:{tmp_path / 'jwt'}"}
    assert values(await everything(manager(bao, tmp_path, kubernetes=login, path=folder))) == {
        f"secret/{folder}/app.KEY": b"v"
    }
    with pytest.raises(ServiceError, match="auth/kubernetes/login") as caught:
        await everything(manager(bao, tmp_path, kubernetes={**login, "role": "other"}))
    assert token not in str(caught.value)


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_fifty_thousand_secrets(bao: OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "sys/mounts/large", {"type": "kv", "options": {"version": "1"}})
    writer = Http()
    headers = {"X-Vault-Token": bao.root, "Content-Type": "application/json"}

    async def write_one(number: int) -> int:
        url = f"{bao.url}/v1/large/{number % 50}/{number}"
        return (await writer.request("POST", url, b'{"KEY": "v"}', headers)).status

    assert {status async for status in together(range(50_000), write_one)} == {204}
    await writer.close()
    names = [held.name for held in await everything(manager(bao, tmp_path, mount="large"))]
    assert len(set(names)) == len(names) == 50_000


async def test_a_path_that_is_a_secret(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    write(bao, f"{folder}/app", KEY="v")
    write(bao, f"{folder}/apple", KEY="w")
    assert values(await everything(manager(bao, tmp_path, path=f"{folder}/app"))) == {f"secret/{folder}/app.KEY": b"v"}


async def test_a_token_is_renewed_with_each_reading(bao: OpenBao, tmp_path: Path) -> None:
    token = bao.token("reader", period="1h")
    assert "last_renewal" not in told(bao, token)
    await everything(manager(bao, tmp_path, token))
    assert told(bao, token)["last_renewal"]


def told(bao: OpenBao, token: str) -> dict[str, Any]:
    data: dict[str, Any] = bao.call("POST", "auth/token/lookup", {"token": token})["data"]
    return data


async def test_what_is_kept_of_it(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    value = hashlib.sha256(b"vault").hexdigest()
    write(bao, f"{folder}/app", KEY=value, URL=f"postgres://app:{value}@db/app", WORDS="correct horse battery")
    one = manager(bao, tmp_path, path=folder, environment="production")
    taken: list[Enrolled] = []
    assert await read(one.config, b"k" * 32, lambda text: text, taken.append) == ""
    enrolled = {kept.name.removeprefix(f"secret/{folder}/"): len(kept.prints) for kept, _ in taken}
    assert enrolled == {"app.KEY": 1, "app.URL": 1, "app.WORDS": 0}
    assert {kept.environment for kept, _ in taken} == {"production"}
    assert value not in repr([kept for kept, _ in taken])

    broken = manager(bao, tmp_path, bao.token("default"), path=folder)
    assert "HTTP 403" in await read(broken.config, b"k" * 32, lambda text: text, taken.append)


async def test_a_token_that_is_revoked_in_the_midst(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    for number in range(40):
        write(bao, f"{folder}/{number:02}", KEY=f"{CANARY}{number}")
    token = bao.token("reader")
    one = manager(bao, tmp_path, token, path=folder)
    held = one.held()
    assert [(await anext(held)).name for _ in range(3)] == [f"secret/{folder}/{number:02}" for number in range(3)]
    bao.call("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(ServiceError, match=r"inventory vault: .*the token was refused: it has expired") as caught:
        [one async for one in held]
    await one.close()
    assert CANARY not in repr(caught.value)
    assert token not in repr(caught.value)


async def test_what_may_not_be_read_is_known_by_name(bao: OpenBao, tmp_path: Path, folder: str) -> None:
    write(bao, f"{folder}/open", KEY="v")
    write(bao, f"{folder}/shut", KEY="w")
    denied = f'{POLICY} path "secret/data/{folder}/shut" {{ capabilities = ["deny"] }}'
    bao.call("POST", f"sys/policies/acl/{folder}", {"policy": denied})
    found = await everything(manager(bao, tmp_path, bao.token(folder), path=folder))
    assert values(found) == {f"secret/{folder}/open.KEY": b"v", f"secret/{folder}/shut": None}


async def test_nothing_held_and_nothing_found_are_not_the_same(bao: OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "sys/mounts/empty", {"type": "kv", "options": {"version": "2"}})
    bao.call("POST", "sys/mounts/transit", {"type": "transit"})
    assert await everything(manager(bao, tmp_path, mount="empty")) == []
    for keys, problem in (
        ({"mount": "nowhere"}, "HTTP 403"),
        ({"mount": "transit"}, "neither a KV nor a database engine: check `mount`"),
        ({"path": "no/such/path"}, "there is nothing: check `path`"),
        ({"namespace": "nowhere"}, "HTTP 40"),
    ):
        with pytest.raises(ServiceError, match=problem):
            await everything(manager(bao, tmp_path, **keys))


async def test_one_that_is_sealed(tmp_path: Path) -> None:
    with openbao(tmp_path) as server:
        server.call("PUT", "sys/seal")
        with pytest.raises(ServiceError, match="HTTP 503: it is sealed, or has no leader"):
            await everything(manager(server, tmp_path))


async def test_the_doctor_tells_too_little_and_too_much(bao: OpenBao, tmp_path: Path) -> None:
    assert await diagnosis(manager(bao, tmp_path)) == [
        "the token is a root token: use one with the policy that docs/configuration.md shows"
    ]
    assert await diagnosis(manager(bao, tmp_path, bao.token("reader", period="1h"))) == []
    (ends,) = await diagnosis(manager(bao, tmp_path, bao.token("reader")))
    assert ends.startswith("the token ends one day")
    policies = {
        "little": 'path "secret/metadata/*" { capabilities = ["list"] }',
        "much": POLICY.replace("[", '["update", '),
    }
    for name, policy in policies.items():
        bao.call("POST", f"sys/policies/acl/{name}", {"policy": policy})
    little = await diagnosis(manager(bao, tmp_path, bao.token("little", period="1h")))
    assert little == [
        'it may not read secret/data/any: add path "secret/data/*" with read to its policy',
        'it may not read secret/metadata/any: add path "secret/metadata/*" with read to its policy',
    ]
    much = await diagnosis(manager(bao, tmp_path, bao.token("much", period="1h")))
    assert much[0] == "it may update at secret/metadata/, which it never needs"
    assert len(much) == 3


def test_one_way_to_log_in() -> None:
    given: dict[str, Any] = {"name": "v", "type": "vault", "server": "https://vault.example.org"}
    approle = {"role_id": "r", "secret_id": "env:S"}
    assert VaultConfig.model_validate({**given, "token": "env:T"}).mount == "secret"
    for wrong in ({}, {"token": "env:T", "approle": approle}, {"token": "env:T", "path": "/a/"}, {"token": "hvs.x"}):
        with pytest.raises(ValidationError):
            VaultConfig.model_validate({**given, **wrong})


async def test_static_roles_of_a_database_are_read_and_rotated(
    bao: OpenBao, tmp_path: Path, database: Postgres
) -> None:
    reads = {"token": bao.token("reads-roles", period="1h"), "mount": "database"}
    [before] = await everything(manager(bao, tmp_path, **reads))
    assert (before.name, before.standing) == ("database/app", "current")
    assert abs(before.rotated - time.time()) < 600  # type: ignore[operator]
    assert await diagnosis(manager(bao, tmp_path, **reads)) == []
    assert await logged_in(database, "app", before.value.decode()) == "valid"  # type: ignore[union-attr]

    reader = manager(bao, tmp_path, **reads)
    ends = "the token ends one day as nothing renews it between two rotations: log in by approle or kubernetes"
    assert await reader.fit() == [
        ends,
        'it may not update database/rotate-role/any: add path "database/rotate-role/*" with update to its policy',
        "it may read at database/static-creds/any, which it never needs",
    ]
    await reader.close()
    wide = 'path "database/*" { capabilities = ["update", "delete"] }'
    bao.call("POST", "sys/policies/acl/rotates-all", {"policy": wide})
    broad = manager(bao, tmp_path, approle=approle(bao, tmp_path, "rotates-all"), mount="database")
    assert await broad.fit() == [
        "it may delete at database/rotate-role/any, which it never needs",
        *(
            f"it may delete, update at database/{part}/any, which it never needs"
            for part in ("static-creds", "static-roles", "rotate-root", "config")
        ),
    ]
    await broad.close()
    strange = manager(bao, tmp_path, approle=approle(bao, tmp_path, "rotates-roles"))
    with pytest.raises(ServiceError, match="no path of its policy is in the engine, or `mount` is wrong"):
        await strange.fit()
    await strange.close()
    mistaken = manager(bao, tmp_path, approle=approle(bao, tmp_path, "reader"))
    assert await mistaken.fit() == ["secret is no database engine: only static roles are rotated by it"]
    await mistaken.close()
    root = manager(bao, tmp_path, mount="database")
    assert await root.fit() == ["the token is a root token: use one with the policy that docs/configuration.md shows"]
    await root.close()
    rotator = manager(bao, tmp_path, approle=approle(bao, tmp_path, "rotates-roles"), mount="database")
    assert await rotator.fit() == []
    assert await rotator.rotate("database/app", "", 0) == "the database engine has set another password"
    with pytest.raises(NoEffectError, match="HTTP 4"):
        await rotator.rotate("database/nobody", "", 0)
    await rotator.close()
    [after] = await everything(manager(bao, tmp_path, **reads))
    assert after.value != before.value
    assert after.version != before.version
    assert await logged_in(database, "app", before.value.decode()) == "refused"  # type: ignore[union-attr]
    assert await logged_in(database, "app", after.value.decode()) == "valid"  # type: ignore[union-attr]


async def test_who_may_only_read_starts_no_rotation_and_no_other_engine_is_written_to(
    bao: OpenBao, tmp_path: Path, database: Postgres
) -> None:
    reader = manager(bao, tmp_path, bao.token("reads-roles"), mount="database")
    with pytest.raises(NoEffectError, match="HTTP 403: it is not permitted"):
        await reader.rotate("database/app", "", 0)
    await reader.close()
    other = manager(bao, tmp_path, bao.root)
    with pytest.raises(NoEffectError, match="secret is no database engine"):
        await other.rotate("secret/app", "", 0)
    await other.close()


async def test_a_rotation_by_the_engine_is_played_whole(bao: OpenBao, tmp_path: Path, database: Postgres) -> None:
    for name, policy in (("reads", "reads-roles"), ("rotates", "rotates-roles")):
        (tmp_path / name).write_text(bao.token(policy))
    text = (
        f'[[inventory]]\nname = "bao"\ntype = "vault"\nserver = "{bao.url}"\nmount = "database"\n'
        'token = "file:reads"\nrotate = { token = "file:rotates" }\n'
        '[[rotation.policies]]\nevery = "30d"\nentries = ["bao"]\nautomatic = true\n'
    )
    config, clock, key = parse(text, tmp_path / "config.toml"), Clock(), b"k" * 32
    clock.now = time.time()
    [entry] = config.inventory
    procedure = Procedure(start_at="high", book=load)
    async with await Store.open(tmp_path / "db", Policy(sinks=("chat",)), procedure=procedure, clock=clock) as store:
        automatic = Automatic(store, key, lambda: config, str)

        async def sync() -> str:
            found: list[Enrolled] = []
            assert await read(entry, key, str, found.append) == ""
            await store.inventory.save("bao", [kept for kept, _ in found], whole=True)
            [(_, [(_, value)])] = found
            return value.decode()

        before = await sync()
        clock.now += 31 * 86_400
        assert await sync() == before
        assert await automatic.sweep() == {"bao/database/app": ""}
        clock.now = time.time()  # the value is of now
        after = await sync()
        await sweep(store, config.rotation, key, await automatic.sweep())
        [run] = await store.actions.find()
        assert (run.action, run.state) == ("rotate:bao", "completed")
        [(_, seen)] = await under_way(store, key, await store.inventory.secrets())
        assert (seen.changed, seen.gone, seen.old.standing) == (True, True, "retired")
    assert await logged_in(database, "app", before) == "refused"
    assert await logged_in(database, "app", after) == "valid"


async def test_the_documented_action_has_another_password_made_for_root(
    bao: OpenBao, tmp_path: Path, database: Postgres
) -> None:
    text = (Path(__file__).parents[4] / "docs/rotation.md").read_text(encoding="utf-8")
    documented = re.search(r'(?s)    \[\[actions\]\]\n    name = "database-root".*?\n\n', text)
    assert documented
    bao.call(
        "POST",
        "sys/policies/acl/root-rotates",
        {"policy": 'path "database/rotate-root/main" { capabilities = ["update"] }'},
    )
    (tmp_path / "token").write_text(bao.token("root-rotates"))
    given = tomllib.loads(textwrap.dedent(documented[0]))["actions"][0]
    given["url"] = given["url"].replace("https://vault.example.org:8200", bao.url)
    action = ActionConfig.model_validate({**given, "credential": f"file:{tmp_path / 'token'}", "private": True})
    assert await logged_in(database, "keeper", database.keepers) == "valid"
    outcome = await Actor().run(action, database.keepers)
    assert (outcome.state, outcome.reason) == ("accepted", "the issuer has taken it (HTTP 204)")
    assert await logged_in(database, "keeper", database.keepers) == "refused"
