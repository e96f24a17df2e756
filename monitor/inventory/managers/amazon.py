"""Keys of every entry that is read from AWS."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.common.fields import Reference, ServerUrl
from monitor.inventory.managers.base import ManagerConfig

__all__ = ["AmazonConfig", "AmazonLogin"]


class AmazonLogin(BaseModel):
    """With which key. Without one: the role of the pod, the container or the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    access_key_id: Reference | None = None
    secret_access_key: Reference | None = None
    session_token: Reference | None = None
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
    """Keys of every entry that is read from AWS."""

    region: str = Field(pattern=r"^[a-z0-9-]{3,40}$")
    server: ServerUrl | None = None  # in place of the region's
