"""What a source is. What the daemon hands to it is in `monitor.intake.protocol`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from pydantic import field_validator

from monitor.access.forms import FORMS
from monitor.common.problems import suggest
from monitor.common.table import Component

__all__ = ["LogConfig", "Source", "SourceConfig", "Where", "nothing_yet"]


@dataclass(frozen=True, slots=True)
class Where:
    """How far a source has come, for people: what its class may tell of its positions with
    `where(positions: Mapping[str, Mapping[str, Any]]) -> Where` (static, blocking).

    `behind`: bytes that are there and were not read; `upto`: seconds since the epoch, of what was read last. None: not
    known.
    """

    text: str
    behind: int | None = None
    upto: float | None = None


class SourceConfig(Component):
    """Every source has

    - `name`: unique; shown in alerts, logs and metrics
    - `type`: one of those below
    """

    # Keys that say what is read: by these a source is known again under another name (monitor.sources.reach).
    reach: ClassVar[tuple[str, ...]] = ()


def nothing_yet(config: SourceConfig) -> dict[str, tuple[int, int]]:
    """As `present`, of a source that is sent what it reads: nothing of before; but the monitor is not ready before it
    listens, or could not."""
    return {}


class LogConfig(SourceConfig):
    """Those that read lines or messages also have

    - `environment`: that of who writes them, such as `staging`: a secret of another environment there is reported
      ([inventory](inventory.md)), and routes see it
    - `audit`: the form of the audit records that these lines are as well: `vault` (and OpenBao), `cloudtrail`, `gcp`,
      `azure`, `doppler`, `onepassword`, `supabase` ([access](access.md))
    """

    audit: str | None = None
    environment: str = ""

    @field_validator("audit")
    @classmethod
    def _form(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMS:
            raise ValueError(f"no such form of audit records{suggest(value, FORMS)}; there are {', '.join(FORMS)}")
        return value


class Source(Protocol):
    """Built as `Class(config: Class.Config, intake: Intake, key: bytes)`; `key` is for keyed hashes."""

    Config: ClassVar[type[SourceConfig]]

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, return at the present end. Must survive its own I/O errors."""
