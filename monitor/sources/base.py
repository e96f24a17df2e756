"""The contract between a source and the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitor.model import Block, Finding, Position

__all__ = ["Intake", "Source", "SourceConfig"]


class SourceConfig(BaseModel):
    """Keys every source has; each source's `Config` adds its own beside its code."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: str


class Intake(Protocol):
    """What the daemon hands to a source. Safe to call from many tasks of one source at once."""

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        """Pull `blocks` in a worker thread (so the iterator may read the disk), scan them, then commit findings and
        `positions()` in one transaction. Returns the number of findings once that is safe to acknowledge.

        `positions` is called after the last block was taken. Waits (back-pressure) while the store cannot write.
        """
        ...

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        """Commit ready-made findings (alerts of another system) with their positions."""
        ...

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        """The saved positions of this source: key → state."""
        ...

    def missed(self, reason: str, count: int, path: str = "") -> None:
        """Enter bytes that were lost into the ledger (`bytes_missed_total{reason}`) and raise an operational alert."""
        ...

    def degraded(self, what: str, message: str | None) -> None:
        """Say that part `what` of the source cannot work (message), or works again (None)."""
        ...


class Source(Protocol):
    """Built as `Class(config: Class.Config, intake: Intake, key: bytes)`; `key` is for keyed hashes (fingerprint key)."""

    Config: ClassVar[type[SourceConfig]]

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, return at the present end. Must survive its own I/O errors."""
        ...
