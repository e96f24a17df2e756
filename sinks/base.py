"""What a sink is: its configuration, what it is given, how it fails."""

from __future__ import annotations

from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitor.common.notification import Notification, Receipt

__all__ = ["Sink", "SinkConfig"]


class SinkConfig(BaseModel):
    """Keys every sink has; each sink's `Config` adds its own beside its code."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: str
    fallback: str | None = None  # name of the sink that takes what this one refuses for good


class Sink(Protocol):
    """Built as `Class(config: Class.Config, http: monitor.common.http.Http)`; the class carries its `Config`."""

    Config: ClassVar[type[SinkConfig]]

    async def send(self, notification: Notification) -> Receipt | None:
        """Deliver, or raise RemoteError. Must be safe to repeat with the same notification id."""
        ...

    async def close(self) -> None: ...
