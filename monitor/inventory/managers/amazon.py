"""Keys of every entry that is read from AWS."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import ServerUrl
from monitor.common.table import Table
from monitor.inventory.managers.base import ManagerConfig

__all__ = ["AmazonConfig", "AmazonLogin"]


class AmazonLogin(Table):
    """With which key AWS is asked.

    - `access_key_id`, `secret_access_key`, `session_token` (the role of the pod, container or machine): IRSA or Pod
      Identity, ECS, EC2
    - `role_arn`: a role that is taken on with that key (`sts:AssumeRole`), for secrets of another account
    """

    access_key_id: Credential | None = None
    secret_access_key: Credential | None = None
    session_token: Credential | None = None
    role_arn: str = Field(
        default="", pattern=r"^(arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+)?$"
    )  # taken on with that key

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        return self


class AmazonConfig(AmazonLogin, ManagerConfig):
    """An entry that is read from AWS.

    - `region`: such as `eu-central-1`
    - `server` (the region's): the address of the service
    """

    region: str = Field(pattern=r"^[a-z0-9-]{3,40}$")
    server: ServerUrl | None = None  # in place of the region's
