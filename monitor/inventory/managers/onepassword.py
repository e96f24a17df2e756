"""1Password, by a Connect server or as a service account: the concealed fields of the items in the vaults that the
token may read."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import model_validator

from monitor.clients.client import AccessError, ProviderClient, denied, together
from monitor.common.credential import Credential
from monitor.common.fields import LocalPath, ServerUrl
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig
from monitor.inventory.managers.op import OpProgram

__all__ = ["OnePasswordConfig", "OnePasswordManager"]

_SECRET = frozenset(("CONCEALED", "OTP", "SSHKEY"))
_ADVICE = {
    401: "the token was refused: it has expired, been revoked, or is another server's",
    404: "no such vault or item, or the token may not see it",
}


EXAMPLE = """
#[[inventory]]
#name = "onepassword"
#type = "onepassword"           # by a Connect server, or as a service account
#server = "https://connect.example.org"
#token = "credential:onepassword"
#vaults = ["production"]        # default: [], all that the token may read
#ca_file = "connect-ca.pem"     # default: the system's
#[[inventory]]
#name = "onepassword-account"
#type = "onepassword"           # without a server: as a service account, by 1Password's `op` (2.30 or later)
#token = "credential:onepassword"
#vaults = ["production"]
#program = "/usr/bin/op"        # default: the one in PATH
"""


class OnePasswordConfig(ManagerConfig):
    """Reads 1Password, fields of the types CONCEALED, OTP and SSHKEY: by a
    [Connect](https://developer.1password.com/docs/connect/api-reference) server, or as a
    [service account](https://developer.1password.com/docs/service-accounts/).

    - `server`: of Connect; without one the token is a service account's
    - `token`: of the server, one that may read the vaults; or of the service account, with *Read items* on the vaults
    - `program` (`op` in PATH): 1Password's CLI, for a service account
    - `vaults` (all that the token may read): names or ids
    - `ca_file` (the system's): whom to trust

    **Names** are `VAULT/ITEM.FIELD`. A service account is read by 1Password's CLI `op` (2.30 or later), which has to be
    installed and be writable by nobody else; their library for Python is a native one that would do its work inside the
    monitor. `op` is asked `vault list`, `item list` and `item get`, one process each, with a bare environment that has
    the token (not in the arguments), a folder of its own that is removed afterwards, and no cache. Each item is a
    request of the account's hourly and daily limit: mind `interval` with many.
    """

    type: Literal["onepassword"]
    server: ServerUrl | None = None
    token: Credential
    vaults: tuple[str, ...] = ()
    ca_file: LocalPath | None = None
    program: LocalPath | None = None

    @model_validator(mode="after")
    def _one_way(self) -> OnePasswordConfig:
        if self.server is not None and self.program is not None:
            raise ValueError("program is for a service account, which has no server: give one of them")
        if self.server is None and self.ca_file is not None:
            raise ValueError("ca_file is for a Connect server: give its server, too")
        return self


class OnePasswordManager:
    Config: ClassVar[type[ManagerConfig]] = OnePasswordConfig

    def __init__(self, config: OnePasswordConfig) -> None:
        self.config = config
        self.client = ProviderClient(config.whose, advice=_ADVICE, ca_file=config.ca_file)
        self._op = OpProgram(self.client, config.token, config.program) if config.server is None else None

    async def held(self) -> AsyncIterator[HeldSecret]:
        for number, name in (await self._vaults()).items():
            items = self.client.rows(f"items of {name}", await self._items(number, name))
            titles = Counter(str(item.get("title")) for item in items)
            wanted = [(number, name, item, titles[str(item.get("title"))] > 1) for item in items]
            async for fields in together(wanted, self._fields):
                for held in fields:
                    yield held

    async def doctor(self) -> list[str]:
        vaults = await self._vaults()
        if not vaults:
            return ["the token may read no vault: grant it one"]
        wrong = [
            f"{why}: grant the token read access to the vault"
            for number, name in vaults.items()
            if (why := await denied(self._items(number, name)))
        ]
        if not self.config.vaults and len(vaults) > 1:
            wrong.append(f"the token reads {len(vaults)} vaults, all of them: name those that are meant in `vaults`")
        return wrong

    async def close(self) -> None:
        if self._op is not None:
            await self._op.close()
        await self.client.close()

    async def _vaults(self) -> dict[str, str]:
        """Id → name. Raises ServiceError where one that the entry names is missing."""
        asked = self._get("vaults", "vaults") if self._op is None else self._op.ask("vaults", "vault", "list")
        rows = self.client.rows("vaults", await asked)
        known = {self.client.pick("vaults", row, "id", str): str(row.get("name") or row["id"]) for row in rows}
        if not self.config.vaults:
            return known
        chosen = {number: name for number, name in known.items() if {number, name} & set(self.config.vaults)}
        for wanted in self.config.vaults:
            if wanted not in chosen and wanted not in chosen.values():
                problem = f"there is no {wanted!r}, or the token may not read it: check `vaults`"
                raise self.client.error("vaults", problem)
        return chosen

    async def _fields(self, wanted: tuple[str, str, dict[str, Any], bool]) -> list[HeldSecret]:
        vault, name, item, ambiguous = wanted
        number = self.client.pick("items", item, "id", str)
        title = f"{name}/{item.get('title') or number}" + (f" ({number})" if ambiguous else "")
        try:
            whole = await self._item(title, vault, number)
        except AccessError:
            return [HeldSecret(title, None)]
        return list(self._held(title, whole))

    def _held(self, title: str, item: Any) -> Iterator[HeldSecret]:
        """One for each field that 1Password conceals."""
        seen: Counter[str] = Counter()
        self.client.pick(title, item, "id", str)
        for one in self.client.rows(title, item, "fields") if "fields" in item else []:
            if one.get("type") not in _SECRET or not isinstance(one.get("value"), str):
                continue
            section = one.get("section")
            within = f"{section['label']}." if isinstance(section, dict) and section.get("label") else ""
            label = within + str(one.get("label") or one.get("id") or "")
            seen[label] += 1
            yield HeldSecret(
                f"{title}.{label}" + (f".{seen[label]}" if seen[label] > 1 else ""),
                one["value"].encode(),
                created=instant(item.get("createdAt") or item.get("created_at")),
                rotated=instant(item.get("updatedAt") or item.get("updated_at")),
                tags=tuple(tag for tag in item.get("tags") or () if isinstance(tag, str)),
            )

    async def _items(self, vault: str, name: str) -> Any:
        if self._op is not None:
            return await self._op.ask(f"items of {name}", "item", "list", "--vault", vault)
        return await self._get(f"items of {name}", f"vaults/{vault}/items")

    async def _item(self, title: str, vault: str, number: str) -> Any:
        if self._op is not None:
            return await self._op.ask(title, "item", "get", number, "--vault", vault, "--reveal")
        return await self._get(title, f"vaults/{vault}/items/{quote(number, safe='')}")

    async def _get(self, what: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}"}
        return await self.client.json(what, "GET", f"{self.config.server}/v1/{path}", headers)
