"""The tables `[monitor]`, `[http]` and `[rules]`. Others lie beside what goes by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from monitor.common.credential import Credential, LongCredential
from monitor.common.field_names import holds_secrets, is_field
from monitor.common.fields import LocalGlob, LocalPath, http_url
from monitor.common.listen import split_listen
from monitor.common.table import Table
from monitor.common.text import token_like
from monitor.config.locate import default_state_dir

__all__ = ["HttpConfig", "MonitorConfig", "RulesConfig"]

_MOST_NAMES = 100  # in one pattern, which has a limit


class MonitorConfig(Table):
    """`[monitor]`. `workers` is the number of scan threads; None: one a usable CPU, at most four.

    `node` tells this host from others that share a database, and is shown in alerts; None: its name.
    """

    state_dir: LocalPath = Field(default_factory=default_state_dir)
    fingerprint_key: Credential | None = None
    database: Credential | None = None
    node: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,255}$")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    workers: int | None = Field(default=None, ge=1, le=256)

    @field_validator("node")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        if value is not None and token_like(value):
            raise ValueError("looks like a secret, and it is shown in alerts: choose another name for this host")
        return value


class HttpConfig(Table):
    """`[http]`. `listen` is HOST:PORT (port 0: any free one), `unix:/PATH`, or empty for no HTTP at all.

    `base_url` is how people reach it, for links in alerts. `hosts` are further names allowed in the Host header.
    `token`: what pages ask for; without one they are shown on this host only.
    """

    listen: str = "127.0.0.1:9321"
    base_url: Annotated[str, http_url("https://monitor.example.org")] | None = None
    hosts: tuple[str, ...] = ()
    token: LongCredential | None = None

    @property
    def address(self) -> str | None:
        """How people reach it, as far as the file says; None: it does not."""
        host, port = split_listen(self.listen) if self.listen else ("", 0)
        return self.base_url or (f"http://{self.listen}" if port and not host.startswith("/") else None)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            split_listen(value)
        return value


class RulesConfig(Table):
    """`[rules]`. `packs` are names of shipped packs, `paths` globs of rule files of one's own, `disable` rule ids.

    Names of fields, in any case: no value of `identifiers` is a secret to a rule that goes by names, and each of
    `credentials` is one.
    """

    packs: tuple[str, ...] = ("default",)
    paths: tuple[LocalGlob, ...] = ()
    disable: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    @field_validator("identifiers", "credentials")
    @classmethod
    def _names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.field_name == "credentials" and len(value) > _MOST_NAMES:
            raise ValueError(
                f"holds {len(value)} names, and one rule finds {_MOST_NAMES} at most: write others as rules"
            )
        for number, name in enumerate(value, 1):
            if not is_field(name):
                raise ValueError(
                    f"number {number} is no name of a field, such as dedup_key: letters, digits and _ . -, at most 64, "
                    "and nothing that looks like a secret"
                )
            if info.field_name == "identifiers" and holds_secrets(name):
                raise ValueError(
                    f"{name} is what secrets are called, and none behind it would be found: give the whole name of the "
                    "field, such as page_token or event.token"
                )
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> RulesConfig:
        if both := {name.lower() for name in self.identifiers} & {name.lower() for name in self.credentials}:
            raise ValueError(f"{min(both)} is among identifiers and credentials: take it out of one of them")
        return self
