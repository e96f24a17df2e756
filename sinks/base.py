"""What a sink is: its configuration, what it is given, how it fails."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import AfterValidator

from monitor.common.http import CLEAR, RemoteError, in_the_clear
from monitor.common.inbound import InboundRequest
from monitor.common.notification import Notification, Receipt
from monitor.common.problems import refuse
from monitor.common.table import Component
from monitor.common.user_name import user_name

__all__ = ["Answers", "Asks", "Closes", "Limits", "Listens", "Sink", "SinkConfig", "TooLargeError", "people_by"]


class TooLargeError(RemoteError):
    """The notification is larger than the sink takes. `parts`: in so many it may fit."""

    def __init__(self, message: str, parts: int = 2) -> None:
        super().__init__(message, retry=False)
        self.parts = max(parts, 2)


class SinkConfig(Component):
    """Every sink has

    - `name`: unique; shown in alerts, logs and metrics
    - `type`: one of those below
    - `fallback`: name of the sink that takes what this one refuses for good
    - `insecure`: `true`: its credential may travel unencrypted
    """

    pages: ClassVar[bool] = False  # wakes people
    fallback: str | None = None
    insecure: bool = False

    @property
    def two_way(self) -> bool:
        """Whether people act through it: it is told every turn, and what may be done."""
        return False

    def servers(self) -> Sequence[str]:
        """URLs that it sends to, also of those that speak no HTTP, with a port. Raises CredentialError."""
        return ()

    def encrypted(self, key: str, url: str) -> str:
        """`url`, as it may carry a credential. Raises RemoteError when that would be readable on the way."""
        if in_the_clear(url) and not self.insecure:
            raise RemoteError(f"{key}: the credential {CLEAR}", retry=False)
        return url


def people_by(ids: str, example: str) -> AfterValidator:
    """Of the type of a key: the id of a user (a pattern; `example` says what one is) → their name in the history."""

    def check(names: Mapping[str, str]) -> Mapping[str, str]:
        refuse((not all(re.fullmatch(ids, user) for user in names), f"a key is {example}"))
        return {user: user_name(name) for user, name in names.items()}

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sink takes. A notification that would pass `body` or `incidents` is told in parts; a sink that shortens
    what it shows to fit names neither."""

    body: int | None = None  # bytes; `send` raises TooLargeError rather than pass it
    incidents: int | None = None  # in one notification
    in_flight: int = 1  # notifications at a time; those of one key never
    pace: float = 0.0  # seconds from one send to the next

    @property
    def read(self) -> bool:
        """By people, for whom it shortens; a program gets all."""
        return self.incidents is None


class Sink(Protocol):
    """Built as `Class(config: Class.Config, http: monitor.common.http.Http)`; the class carries its `Config`."""

    Config: ClassVar[type[SinkConfig]]

    @property
    def limits(self) -> Limits: ...

    async def send(self, notification: Notification) -> Receipt | None:
        """Deliver, or raise RemoteError. Must be safe to repeat with the same notification id."""


@runtime_checkable
class Closes(Protocol):
    """A sink that has something under way beside `send`."""

    async def close(self) -> None:
        """It will not be asked to send again."""


@runtime_checkable
class Listens(Protocol):
    """A sink that keeps a connection open to hear what people ask for."""

    async def listen(
        self,
        ask: Callable[[Sequence[InboundRequest]], Awaitable[bool]],
        problem: Callable[[str | None], None],
        sinks: Sequence[SinkConfig],
    ) -> None:
        """Until cancelled, or at once where it is not configured. `ask`: keeps requests, and says whether they are on
        disk; `trouble`: told why it hears nothing, and None when it does; `sinks`: all that are configured."""


@runtime_checkable
class Answers(Protocol):
    """A sink through whose system people ask for something, and who are told there what came of it."""

    async def answer(self, request: InboundRequest, text: str, *, done: bool) -> None:
        """Tell whoever asked: `text` says what was done, or why it was refused. Raises RemoteError."""


@runtime_checkable
class Asks(Protocol):
    """A sink that can ask whoever wants something for their words first."""

    async def ask(self, request: InboundRequest) -> bool:
        """By its `window`. True: they are asked, and another request brings the words, if any comes. False: they cannot
        be asked (any more)."""
