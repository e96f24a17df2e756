"""HashiCorp Vault and OpenBao: what a KV engine holds, version 1 or 2, or a database engine of its static roles."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote

import orjson
from pydantic import Field, StringConstraints, model_validator

from monitor.clients.client import AccessError, NoEffectError, ProviderClient, ServiceError, together
from monitor.common.credential import Credential
from monitor.common.fields import LocalPath, ServerUrl
from monitor.common.outside import instant
from monitor.common.table import Table
from monitor.inventory.held import HeldSecret, by_age, counted
from monitor.inventory.managers.base import ManagerConfig, described

__all__ = ["VaultConfig", "VaultLogin", "VaultManager"]

Path = Annotated[str, StringConstraints(pattern=r"^[^/\s?#]+(/[^/\s?#]+)*$")]
_Reader = Callable[[str, str, dict[str, Any]], Awaitable[list[HeldSecret]]]  # of a name, its path and what is there
_FREE = "/-_.~"  # what stays as it is in a path
_LOST = {
    400: "the login was refused",
    404: "no such engine, namespace or login: check `mount` and `namespace`",
    503: "it is sealed, or has no leader",
}


class AppRole(Table):
    role_id: str
    secret_id: Credential
    mount: Path = "approle"


class KubernetesLogin(Table):
    """`jwt`: the service account's token, as Kubernetes puts it into the pod and renews it."""

    role: str
    jwt: Credential = Credential("file:/var/run/secrets/kubernetes.io/serviceaccount/token")
    mount: Path = "kubernetes"


class VaultLogin(Table):
    """How to log in: one of the three.

    - `token`, `approle`, `kubernetes` (one of them): a token; `{ role_id, secret_id, mount = "approle" }`;
      `{ role, jwt, mount = "kubernetes" }`, `jwt` being the pod's token. What a login gave is revoked after the reading
    """

    token: Credential | None = None
    approle: AppRole | None = None
    kubernetes: KubernetesLogin | None = None

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if sum(way is not None for way in (self.token, self.approle, self.kubernetes)) != 1:
            raise ValueError("needs one of token, approle and kubernetes, to log in with")
        return self


EXAMPLE = """
#[[inventory]]
#name = "vault"
#type = "vault"                 # HashiCorp Vault or OpenBao: KV 1 and 2, static roles of databases
#server = "https://vault.example.org:8200"
#namespace = "team"             # default: ""
#mount = "secret"
#path = "production"            # default: "", the whole engine
#versions = 2                   # of each secret, from the newest (KV 2)
#ca_file = "vault-ca.pem"       # default: the system's
#token = "credential:vault"     # or one of the next two
#[[inventory]]
#name = "vault-by-approle"
#type = "vault"
#server = "https://vault.example.org:8200"
#approle = { role_id = "0f2a7c1e", secret_id = "credential:vault-secret-id", mount = "approle" }
#[[inventory]]
#name = "vault-by-kubernetes"
#type = "vault"
#server = "https://vault.example.org:8200"
#kubernetes = { role = "monitor", mount = "kubernetes" }  # with the token of the pod
#[[inventory]]
#name = "databases"
#type = "vault"
#server = "https://vault.example.org:8200"
#mount = "database"             # default: "secret". A database engine: the passwords of its static roles
#token = "credential:vault"
#rotate = { approle = { role_id = "5d1c3b90", secret_id = "credential:vault-rotates" } }  # who may have new ones made
"""


class VaultConfig(VaultLogin, ManagerConfig):
    """Reads HashiCorp Vault or OpenBao: a [KV engine](https://developer.hashicorp.com/vault/api-docs/secret/kv), the
    newest versions that are neither deleted nor destroyed; or a [database
    engine](https://developer.hashicorp.com/vault/api-docs/secret/databases), the passwords of its static roles.

    - `server`: its address
    - `namespace`: of Vault Enterprise or OpenBao
    - `mount`: of a KV engine, version 1 or 2, or of a database engine
    - `path` (the whole engine): a folder in it
    - `versions`: how many of each secret are read, from the newest (KV 2)
    - `ca_file` (the system's): whom to trust
    - `rotate`: a table with `token`, `approle` or `kubernetes`: who may have new passwords made for static roles
      ([rotation](rotation.md#by-the-provider))

    **Names** are `MOUNT/PATH.KEY`, of static roles `MOUNT/ROLE`; in a namespace `NAMESPACE/MOUNT/…`. A token named by
    `token` is renewed with each reading. **Least permission**, beside the policy `default`: of a KV engine, version 2
    (of version 1 both on `secret/*`)

        path "secret/data/*" { capabilities = ["read"] }
        path "secret/metadata/*" { capabilities = ["read", "list"] }

    of a database engine

        path "database/static-roles" { capabilities = ["list"] }
        path "database/static-creds/*" { capabilities = ["read"] }

    and of who may `rotate`

        path "database/rotate-role/*" { capabilities = ["update"] }
    """

    type: Literal["vault"]
    server: ServerUrl
    namespace: str = Field(default="", pattern=r"^[\x21-\x7e]*$")
    mount: Path = "secret"
    path: Path | Literal[""] = ""
    ca_file: LocalPath | None = None
    versions: int = Field(default=2, ge=1, le=100)
    rotate: VaultLogin | None = None


class VaultManager:
    """Logs in for as long as it lives; a token that it got by a login is revoked when it closes."""

    Config: ClassVar[type[ManagerConfig]] = VaultConfig

    def __init__(self, config: VaultConfig) -> None:
        self.config = config
        self.client = ProviderClient(config.whose, advice=_LOST, ca_file=config.ca_file)
        self._token = ""
        self._entering = asyncio.Lock()

    async def held(self) -> AsyncIterator[HeldSecret]:
        if self.config.token is not None:
            with contextlib.suppress(ServiceError):  # one that lives on only as long as it is renewed
                await self._call("POST", "auth/token/renew-self", {})
        engine = await self._engine()
        if engine == "database":
            read = partial(self._read, "static-creds", self._role)
            async for roles in together(await self._listed(self._path("static-roles", "")), read):
                for held in roles:
                    yield held
            return
        part, held_by = ("metadata", self._versions) if engine == "kv2" else ("", self._only)
        read = partial(self._read, part, held_by)
        folders = [f"{self.config.path}/".lstrip("/")]
        while folders:
            folder = folders.pop()
            keys = await self._listed(self._path(part, folder))
            if not keys and folder.rstrip("/") == self.config.path != "":
                for held in await self._alone(read):
                    yield held
            folders += [folder + key for key in keys if key.endswith("/")]
            names = [folder + key for key in keys if not key.endswith("/")]
            async for versions in together(names, read):
                for held in versions:
                    yield held

    async def doctor(self) -> list[str]:
        engine = await self._engine()
        mount, folder = self.config.mount, f"{self.config.path}/".lstrip("/")
        wanted = {
            "kv1": {f"{mount}/{folder}": "list", f"{mount}/{folder}any": "read"},
            "kv2": {
                f"{mount}/metadata/{folder}": "list",
                f"{mount}/data/{folder}any": "read",
                f"{mount}/metadata/{folder}any": "read",
            },
            "database": {f"{mount}/static-roles": "list", f"{mount}/static-creds/any": "read"},
        }[engine]
        token = await self._token_ends(
            "however often it is renewed: give it a period, or log in by approle or kubernetes", renewed=True
        )
        return token + await self._rights(wanted, {"read", "list"})

    async def _rights(self, wanted: Mapping[str, str], harmless: Set[str]) -> list[str]:
        """Which rights the policy lacks, and which it has beyond those and what is `harmless`. `wanted`: by path, the
        one that is needed there, empty where it is none."""
        body = await self._call("POST", "sys/capabilities-self", {"paths": list(wanted)})
        said = self.client.pick("sys/capabilities-self", body, "data", dict)

        wrong = []
        for path, need in wanted.items():
            may = set(said.get(path) or ())
            if "root" in may:
                return ["the token is a root token: use one with the policy that docs/configuration.md shows"]
            if need and need not in may:
                wrong.append(
                    f'it may not {need} {path}: add path "{path.removesuffix("any")}*" with {need} to its policy'
                )
            if more := sorted(may - {need, "deny"} - harmless):
                wrong.append(f"it may {', '.join(more)} at {path}, which it never needs")
        return wrong

    async def _token_ends(self, advice: str, *, renewed: bool) -> list[str]:
        """Whether the token that the entry names ends one day. `renewed`: it is, again and again."""
        if self.config.token is None:
            return []
        path = "auth/token/lookup-self"
        data = self.client.pick(path, await self._call("GET", path), "data", dict)
        lasts = not data.get("ttl") or (renewed and data.get("period") and data.get("renewable"))
        return [] if lasts else [f"the token ends one day {advice}"]

    async def close(self) -> None:
        if self._token and self.config.token is None:
            with contextlib.suppress(ServiceError):  # it ends by itself
                await self._send("POST", "auth/token/revoke-self", None)
        self._token = ""
        await self.client.close()

    async def rotate(self, name: str, _version: str, _tries: int) -> str:
        """Have the database engine set another password for a static role. Which one it has now only a right to read
        it would tell."""
        mount, path = self.config.mount, f"rotate-role/{name.removeprefix(f'{self._full()}/')}"
        try:
            if await self._engine() != "database":
                raise self.client.error(path, f"{mount} is no database engine: only static roles are rotated by it")
        except ServiceError as error:
            raise NoEffectError(str(error)) from None
        url, headers = f"{self.config.server}/v1/{self._path('', path)}", self._headers()
        reply = await self.client.act(path, "POST", url, headers, b"{}")
        if reply.status not in (200, 204):
            raise self.client.refused(path, reply)
        return "the database engine has set another password"

    async def fit(self) -> list[str]:
        if await self._engine() != "database":
            return [f"{self.config.mount} is no database engine: only static roles are rotated by it"]
        token = await self._token_ends(
            "as nothing renews it between two rotations: log in by approle or kubernetes", renewed=False
        )
        beside = ("static-creds", "static-roles", "rotate-root", "config")
        wanted = {f"{self.config.mount}/{part}/any": "" for part in beside}
        return token + await self._rights({f"{self.config.mount}/rotate-role/any": "update", **wanted}, set())

    async def _engine(self) -> Literal["kv1", "kv2", "database"]:
        path = f"sys/internal/ui/mounts/{quote(self.config.mount, safe=_FREE)}"
        try:
            body = await self._call("GET", path)
        except AccessError as error:
            raise AccessError(f"{error}: no path of its policy is in the engine, or `mount` is wrong") from None
        data = self.client.pick(path, body, "data", dict)
        if data.get("type") == "database":
            return "database"
        if data.get("type") not in ("kv", "generic"):
            raise self.client.error(path, "the engine there is neither a KV nor a database engine: check `mount`")
        return "kv2" if str((data.get("options") or {}).get("version", "1")) == "2" else "kv1"

    async def _listed(self, path: str) -> list[str]:
        """What a list names; nothing where there is none."""
        body = await self._call("LIST", path)
        if body is None:
            return []
        keys = self.client.pick(path, self.client.pick(path, body, "data", dict), "keys", list)
        return [key for key in keys if isinstance(key, str) and key]

    async def _read(self, part: str, held: _Reader, name: str) -> list[HeldSecret]:
        """What stands there, of what may not be read that it does; nothing where it was removed since it was listed."""
        path = self._path(part, name)
        try:
            body = await self._call("GET", path)
        except AccessError:
            return [HeldSecret(self._full(name), None)]
        return [] if body is None else await held(name, path, self.client.pick(path, body, "data", dict))

    async def _role(self, name: str, path: str, data: dict[str, Any]) -> list[HeldSecret]:
        turned = data.get("last_vault_rotation")
        password = self.client.pick(path, data, "password", str).encode()
        return [HeldSecret(self._full(name), password, version=str(turned or ""), rotated=instant(turned), sole=True)]

    async def _alone(self, read: Callable[[str], Awaitable[list[HeldSecret]]]) -> list[HeldSecret]:
        """What stands at `path` itself, which is no folder. Raises ServiceError when that is nothing."""
        found = await read(self.config.path)
        if not found:
            raise self.client.error(self._path("", self.config.path), "there is nothing: check `path`")
        return found

    async def _only(self, name: str, path: str, data: dict[str, Any]) -> list[HeldSecret]:
        """A secret of KV version 1."""
        return [HeldSecret(self._full(name), orjson.dumps(data))]

    async def _versions(self, name: str, path: str, data: dict[str, Any]) -> list[HeldSecret]:
        """The newest versions of a secret of KV version 2 that are neither deleted nor destroyed."""
        about = described(data.get("custom_metadata") or {})
        known = self.client.pick(path, data, "versions", dict)
        newest = sorted((int(number) for number in known), reverse=True)[: self.config.versions]

        versions = []
        for place, number in enumerate(newest):
            version = known[str(number)]
            ends = version.get("deletion_time") or None  # in time to come with `delete_version_after`
            if version.get("destroyed") or (ends and (instant(ends) or 0.0) <= time.time()):
                continue
            value = await self._value(name, number)
            if value is _GONE:
                continue
            versions.append(
                HeldSecret(
                    self._full(name),
                    None if value is None else orjson.dumps(value),
                    version=counted(str(number), self.config.versions),
                    standing=by_age(place),
                    created=instant(data.get("created_time")),
                    rotated=instant(version.get("created_time")),
                    expires=instant(ends),
                    **about,
                )
            )
        return versions

    async def _value(self, name: str, version: int) -> Mapping[str, Any] | None:
        """What a version holds; None when it may not be read, _GONE when it was deleted meanwhile."""
        path = self._path("data", name)
        try:
            body = await self._call("GET", path, query=f"?version={version}")
        except AccessError:
            return None
        if body is None:
            return _GONE
        return self.client.pick(path, self.client.pick(path, body, "data", dict), "data", dict)

    def _full(self, name: str = "") -> str:
        """What audit records call it, too: two namespaces may have the same in them."""
        space = self.config.namespace.strip("/")
        return "/".join(piece for piece in ("" if space == "root" else space, self.config.mount, name) if piece)

    def _path(self, part: str, name: str) -> str:
        return quote("/".join(piece for piece in (self.config.mount, part, name) if piece), safe=_FREE)

    async def _call(self, method: str, path: str, body: object = None, query: str = "") -> Any:
        """The JSON of an answer; None when there is nothing at that path. Raises AccessError only where the token is
        still good, else ServiceError."""
        if not self._token:
            await self._enter("")
        token = self._token
        try:
            return await self._send(method, path, body, query)
        except AccessError as error:
            denied = error
        try:
            await self._send("GET", "auth/token/lookup-self", None)
        except AccessError:
            if self.config.token is not None:
                raise self.client.error(path, "the token was refused: it has expired or been revoked") from None
        else:
            raise denied
        await self._enter(token)
        return await self._send(method, path, body, query)

    async def _enter(self, old: str) -> None:
        """Log in, unless another request already did since `old`."""
        async with self._entering:
            if self._token != old:
                return
            config = self.config
            if config.token is not None:
                self._token = self.client.secret(config.token, "token")
                return
            self._token = ""
            way = config.approle or config.kubernetes
            assert way is not None
            if isinstance(way, AppRole):
                given = {"role_id": way.role_id, "secret_id": self.client.secret(way.secret_id, "approle.secret_id")}
            else:
                given = {"role": way.role, "jwt": self.client.secret(way.jwt, "kubernetes.jwt")}
            path = f"auth/{way.mount}/login"
            try:
                body = await self._send("POST", path, given)
            except AccessError as error:
                raise ServiceError(str(error)) from None
            auth = self.client.pick(path, body, "auth", dict)
            self._token = self.client.pick(path, auth, "client_token", str)

    def _headers(self) -> dict[str, str]:
        some = {"X-Vault-Token": self._token, "X-Vault-Namespace": self.config.namespace}
        return {"X-Vault-Request": "true", **{name: value for name, value in some.items() if value}}

    async def _send(self, method: str, path: str, body: object, query: str = "") -> Any:
        raw = None if body is None else orjson.dumps(body)
        reply = await self.client.ask(path, method, f"{self.config.server}/v1/{path}{query}", self._headers(), raw)
        if reply.status == 204:
            return {}
        answer = reply.json()
        if reply.status == 404 and isinstance(answer, dict) and not answer.get("errors"):
            return None
        self.client.check(path, reply)
        if not isinstance(answer, dict):
            raise self.client.error(path, "the answer is not JSON: check `server`")
        return answer


_GONE: Mapping[str, Any] = {}
