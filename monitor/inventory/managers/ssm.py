"""AWS Systems Manager's Parameter Store: what lies under a path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Literal

import orjson
from pydantic import Field

from monitor.clients.aws import Amazon, AwsAccess, NotThereError
from monitor.clients.client import denied
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret, by_age, counted
from monitor.inventory.managers.base import ManagerConfig, pages, read_all

__all__ = ["SsmConfig", "SsmManager"]

_PAGE = 10  # at most, by its documentation; of a history 50
_NOBODYS = "/exposure-monitor/doctor/there-is-no-such-parameter"


EXAMPLE = """
#[[inventory]]
#name = "parameters"
#type = "ssm"                   # AWS Parameter Store
#region = "eu-central-1"
#path = "/production/"          # default: "/"
#plain = false                  # true: String and StringList too
#versions = 1
#access_key_id = "env:AWS_ACCESS_KEY_ID"
#secret_access_key = "env:AWS_SECRET_ACCESS_KEY"
#session_token = "env:AWS_SESSION_TOKEN"
#role_arn = "arn:aws:iam::123456789012:role/exposure-monitor"  # default: ""
#server = "https://ssm.eu-central-1.amazonaws.com"  # default: the region's
"""


class SsmConfig(AwsAccess, ManagerConfig):
    """Reads AWS
    [Parameter Store](https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html):
    SecureString parameters under a path.

    - `path`: what lies under it is read
    - `plain`: `true`: String and StringList too, which are not encrypted
    - `versions`: how many of each are read, from the newest; more than one costs a request a parameter, and shows when
      it expires

    **Names** are the parameters'. **Least permission**, with `kms:Decrypt` on your own keys beside it:

        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
          "ssm:GetParametersByPath", "ssm:GetParameterHistory"]}]}

    The second only for more than one of `versions`.
    """

    type: Literal["ssm"]
    path: str = Field(default="/", pattern=r"^/")
    plain: bool = False
    versions: int = Field(default=1, ge=1, le=100)


class SsmManager:
    Config: ClassVar[type[ManagerConfig]] = SsmConfig

    def __init__(self, config: SsmConfig) -> None:
        self.config = config
        self.amazon = Amazon(config, config.whose, "ssm", "AmazonSSM")
        self.client = self.amazon.client

    def held(self) -> AsyncIterator[HeldSecret]:
        return read_all(pages(self.client, "GetParametersByPath", self._page), self._versions)

    async def doctor(self) -> list[str]:
        wrong = []
        if why := await denied(self._page(None, 1)):
            wrong.append(f"{why}: allow ssm:GetParametersByPath, and kms:Decrypt of the key the parameters are under")
        history = {"Name": _NOBODYS, "MaxResults": 1}
        if self.config.versions > 1 and (why := await self.amazon.denied("GetParameterHistory", history)):
            wrong.append(f"{why}: allow ssm:GetParameterHistory, or set versions = 1")
        # Of a parameter that there is not: who may do it is told so, and nothing is written.
        if not await self.amazon.denied("DeleteParameter", {"Name": _NOBODYS}):
            wrong.append("it may change parameters (ssm:DeleteParameter), which the monitor never needs")
        return wrong

    async def close(self) -> None:
        await self.amazon.close()

    async def _page(self, token: str | None, size: int = _PAGE) -> tuple[list[dict[str, Any]], object]:
        given: dict[str, Any] = {
            "Path": self.config.path,
            "Recursive": True,
            "WithDecryption": True,
            "MaxResults": size,
        }
        if not self.config.plain:
            given["ParameterFilters"] = [{"Key": "Type", "Option": "Equals", "Values": ["SecureString"]}]
        return await self.amazon.page("GetParametersByPath", "Parameters", given, token)

    async def _versions(self, row: dict[str, Any]) -> list[HeldSecret]:
        name = self.client.pick("GetParametersByPath", row, "Name", str)
        if self.config.versions == 1:
            return [self._held(name, row, 0, None)]
        given = {"Name": name, "WithDecryption": True, "MaxResults": 50}
        page = partial(self.amazon.page, "GetParameterHistory", "Parameters", given)
        try:
            history = [row async for rows in pages(self.client, "GetParameterHistory", page) for row in rows]
        except NotThereError:
            return []  # removed since it was listed
        first = min((instant(one.get("LastModifiedDate")) or 0.0 for one in history), default=0.0) or None
        history.sort(key=lambda one: int(one.get("Version") or 0), reverse=True)
        return [self._held(name, one, place, first) for place, one in enumerate(history[: self.config.versions])]

    def _held(self, name: str, row: dict[str, Any], place: int, first: float | None) -> HeldSecret:
        changed = instant(row.get("LastModifiedDate"))
        return HeldSecret(
            name,
            self.client.pick(name, row, "Value", str).encode(),
            version=counted(str(row.get("Version") or ""), self.config.versions),
            standing=by_age(place),
            created=changed if row.get("Version") == 1 else first,
            rotated=changed,
            expires=_expires(row.get("Policies")),
        )


def _expires(policies: object) -> float | None:
    """Of a parameter's policies, which only its history tells: when it is deleted."""
    for policy in policies if isinstance(policies, list) else ():
        with suppress(ValueError, KeyError, TypeError):
            told = orjson.loads(policy["PolicyText"])
            if told["Type"] == "Expiration":
                return instant(told["Attributes"]["Timestamp"])
    return None
