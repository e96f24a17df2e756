"""The keys of a journal source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.sources.base import LogConfig

__all__ = ["JournalConfig", "patterns"]


class JournalConfig(LogConfig):
    """`type = "journal"`. Without filters: everything. Names in `units` and `exclude_units` may have `*` and `?`."""

    reach: ClassVar[tuple[str, ...]] = (
        "directory",
        "namespace",
        "units",
        "identifiers",
        "exclude_units",
        "priority",
        "boot",
    )
    type: Literal["journal"] = "journal"
    units: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    exclude_units: tuple[str, ...] = ()
    priority: str | None = Field(default=None, pattern=r"^[a-z0-7]+(\.\.[a-z0-7]+)?$")
    boot: str | None = Field(default=None, pattern=r"^([0-9a-f]{32}|[+-]?[0-9]{1,5})$")
    namespace: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.*+-]+$")
    directory: str | None = None
    fields: tuple[str, ...] = ("MESSAGE",)  # what is scanned of a record
    start_at: Literal["end", "beginning"] = "end"

    @field_validator("directory")
    @classmethod
    def _anchored(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value and os.path.join((info.context or {}).get("folder") or "", os.path.expanduser(value))

    @field_validator("units", "exclude_units", "identifiers")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name or name.startswith("-") or "\0" in name for name in value):
            raise ValueError('must be names, such as "nginx.service"')
        return value

    @field_validator("units", "exclude_units")
    @classmethod
    def _whole(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unit if "." in unit or unit.endswith("*") else f"{unit}.service" for unit in value)

    @field_validator("fields")
    @classmethod
    def _fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(not name.replace("_", "").isalnum() or name != name.upper() for name in value):
            raise ValueError('must be names of journal fields, such as ["MESSAGE"]')
        return value


def patterns(units: Iterable[str]) -> bool:
    """Whether one of them has wildcards."""
    return any(set("*?[") & set(unit) for unit in units)
