"""The keys of a journal source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.sources.base import LogConfig

__all__ = ["JournalConfig", "patterns"]


EXAMPLE = """
# journald. A host without it is fine.
[[sources]]
name = "journal"
type = "journal"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
#units = ["nginx", "web@*"]     # these alone
#exclude_units = ["chatty@*"]
#identifiers = ["sshd"]         # SYSLOG_IDENTIFIER
#priority = "warning"           # this one and worse, or "err..warning"
#boot = "0"                     # the present boot alone, or a boot's id
#namespace = "app"              # another journal namespace
#directory = "/srv/journals"    # journal files elsewhere
#fields = ["MESSAGE"]           # what is scanned of a record
#start_at = "end"               # at the very first start: "end" or "beginning"
"""


class JournalConfig(LogConfig):
    """Reads journald through `journalctl`, which it finds on `PATH`: everything, unless there are filters. A host
    without a journal is noted in the log and is no error. The user needs the group `systemd-journal` (the service has
    it).

    - `units`, `exclude_units` (all, none): names of units, `*` and `?` for any text; `.service` may be left out
    - `identifiers` (all): `SYSLOG_IDENTIFIER`, as in `journalctl -t`
    - `priority` (all): `"warning"`: that and worse; `"err..warning"`: a range
    - `boot` (all): id of a boot, or `"0"` for the present one, `"-1"` for the one before
    - `namespace`, `directory` (the host's own): another journal namespace; a folder with journal files, such as
      `/var/log/journal/remote`
    - `fields`: fields of a record that are scanned
    - `start_at`: where to begin at the very first start: `"end"` or `"beginning"`

    An alert names the unit, identifier, process, host, container and image of the record. Its offset counts in the
    record's text. The monitor's own output is left out.

    **Reads** exactly once: a position for each host and receiver is committed with what was found. **Can lose** records
    that journald deleted before they were read (reason `journal_gap`; not seen where `units`, `identifiers`, `priority`
    or `boot` leave records out), and what journald itself suppressed (`suppressed`), both in records; also `too_long`
    and `garbled`.
    """

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
