"""The configuration of a PagerDuty sink: pages alone, or also what people do about them there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import CLEAR, in_the_clear
from monitor.common.severity import Severity
from monitor.common.text import token_like
from sinks.base import SinkConfig

__all__ = ["NOTE", "PagerDutyConfig"]

NOTE = "exposure-monitor: "  # begins every note of ours, by which we know it when it is announced
_ID = re.compile(r"[A-Z0-9]{2,24}")
_NAME = re.compile(r"[\w.@-]{1,64}")
_HOSTS = {
    "us": ("https://events.pagerduty.com", "https://api.pagerduty.com"),
    "eu": ("https://events.eu.pagerduty.com", "https://api.eu.pagerduty.com"),
}


class PagerDutyConfig(SinkConfig):
    """`region` says which hosts are used, unless `base_url` (events) and `api_url` do.

    `webhook_secret`: of the webhook subscription that announces here what people do there; several while one replaces
    another. `service`: the id of this sink's service, needed where sinks share a subscription. `people`: id of a user →
    their name in the history. `resolve_as`: what a resolve over there is taken for; "none": for an acknowledgement.
    `api_token` with `from_email`: for notes, and for `priorities` (severity → its name there) and `urgencies`.
    """

    pages: ClassVar[bool] = True

    type: Literal["pagerduty"]
    routing_key: Credential
    region: Literal["us", "eu"] = "us"
    base_url: str | None = None
    api_url: str | None = None
    webhook_secret: tuple[Credential, ...] = ()
    service: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,24}$")
    people: Mapping[str, str] = {}
    resolve_as: Literal["revoked", "false_positive", "wont_fix", "used_in_tests", "none"] = "revoked"
    api_token: Credential | None = None
    from_email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    priorities: Mapping[Severity, str] = {}
    urgencies: Mapping[Severity, Literal["high", "low"]] = {}

    @property
    def events_url(self) -> str:
        return self.base_url or _HOSTS[self.region][0]

    @property
    def rest_url(self) -> str:
        return self.api_url or _HOSTS[self.region][1]

    @field_validator("base_url", "api_url")
    @classmethod
    def _urls(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError('must be scheme and host only, such as "https://events.eu.pagerduty.com"')
        return value.rstrip("/")

    @field_validator("webhook_secret", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("people")
    @classmethod
    def _people(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for user, name in value.items():
            if not _ID.fullmatch(user):
                raise ValueError("a key is the id of a user such as PLH1HKV, the end of the address of their profile")
            if not _NAME.fullmatch(name) or token_like(name):
                raise ValueError("a name is 1 to 64 letters, digits and . _ @ -: it stands in the history")
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if not self.insecure and in_the_clear(self.events_url):
            raise ValueError(f"base_url: routing_key {CLEAR}")
        if self.api_token is not None and not self.insecure and in_the_clear(self.rest_url):
            raise ValueError(f"api_url: api_token {CLEAR}")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.api_token is None) != (self.from_email is None):
            raise ValueError("api_token and from_email (of a user there, who signs the notes) go together")
        if (self.priorities or self.urgencies) and (self.api_token is None or not self.webhook_secret):
            raise ValueError("priorities and urgencies go with api_token, from_email and webhook_secret")
        if self.people and not self.webhook_secret:
            raise ValueError("people goes with webhook_secret")
        return self
