"""`[audit]` and `[[waivers]]`: where to look, who may hold which key, which failures are accepted until when."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, field_validator

from monitor.audit.items import ITEMS
from monitor.common.duration import Duration
from monitor.common.fields import LocalPath
from monitor.common.problems import refuse, suggest
from monitor.common.table import Table
from monitor.common.text import legible, token_like

__all__ = ["AuditConfig", "Waiver", "fits"]

_DAY = 86_400.0


class AuditConfig(Table):
    """`gateway`: patterns as in .gitignore, for the files, and for the names of the services, that may hold the
    service-role key and the JWT secret. `production`: patterns of names of environments, beside those that say so
    themselves; `environment`: which one this host is of, where paths do not tell. `logs`: how far back no secret may
    have been in a log; `drill`: how old the last one may be. Paths count from the configuration's folder."""

    paths: tuple[LocalPath, ...] = ()
    images: tuple[LocalPath, ...] = ()
    gateway: tuple[str, ...] = ("*gateway*",)
    service_keys: tuple[str, ...] = (
        "SUPABASE_SERVICE_ROLE_KEY",
        "SUPABASE_SERVICE_KEY",
        "SUPABASE_SECRET_KEY",
        "SERVICE_ROLE_KEY",
    )
    jwt_secrets: tuple[str, ...] = ("SUPABASE_JWT_SECRET", "PGRST_JWT_SECRET", "GOTRUE_JWT_SECRET", "JWT_SECRET")
    production: tuple[str, ...] = ()
    environment: str = ""
    rotation_document: LocalPath | None = None
    emergency_document: LocalPath | None = None
    logs: Annotated[Duration, Field(gt=0)] = 30 * _DAY
    drill: Annotated[Duration, Field(gt=0)] = 90 * _DAY

    @field_validator("service_keys", "jwt_secrets")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        named = value and all(name.replace("_", "a").isalnum() for name in value)
        refuse((not named, 'must be names of variables, such as ["JWT_SECRET"]'))
        return value


class Waiver(Table):
    """A failure that somebody accepts until the end of a day (UTC). `paths`: only there, patterns as in .gitignore."""

    item: str
    reason: str = Field(min_length=1, max_length=1000)
    expires: date
    paths: tuple[str, ...] = ()

    @field_validator("item")
    @classmethod
    def _known(cls, value: str) -> str:
        refuse(
            (
                value not in ITEMS,
                f"is no item of the audit{suggest(value, ITEMS)}; `monitor audit --list` shows them",
            )
        )
        return value

    @field_validator("reason")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        refuse((token_like(value), "looks as if it held a secret, and it is shown"))
        return value

    def covers(self, path: str) -> bool:
        """Whether a failure at `path` is meant."""
        return not self.paths or (bool(path) and fits(self.paths, path))


def fits(patterns: tuple[str, ...], path: str) -> bool:
    """Whether a relative path, or a name, is matched by one of the patterns as a .gitignore would."""
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns).match_file(legible(path).replace("\\", "/").lstrip("/"))
