"""What a secret manager says of one secret, and what a provider's file brings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from monitor.clients.client import NoEffectError

__all__ = ["HeldSecret", "Known", "Manager", "OvertakenError", "Rotator", "Standing", "by_age", "counted"]

Standing = Literal["current", "previous", "retired"]


class OvertakenError(NoEffectError):
    """Nothing was sent: its provider has another value in use already, which the inventory has yet to see."""


def by_age(place: int) -> Standing:
    """The standing of a version, by its place from the newest on."""
    return ("current", "previous", "retired")[min(place, 2)]


def counted(version: str, read: int) -> str:
    """The version, for `HeldSecret`, of a secret of which so many are read: with one alone the others are not
    looked for."""
    return version if read > 1 else ""


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """One version of one secret as its manager holds it. The value is in memory for as long as it is enrolled.

    `version`: which one, where the manager gives those before it too, so that one it gives no more is gone.
    `value`: None where the provider never gives it (write-only, sealed, names only). Times: seconds since 1970, None
    when the provider does not say. `digest`: what the provider publishes of the value, to see it change. `sole`: it is
    the only one that its issuer takes, so that any before it is refused.
    """

    name: str
    value: bytes | None = field(repr=False)
    version: str = ""
    standing: Standing = "current"
    created: float | None = None
    rotated: float | None = None
    expires: float | None = None
    environment: str = ""
    owner: str = ""
    consumers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    digest: str = field(default="", repr=False)
    sole: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """How far a manager of secrets is known. `at`: when it was last read to its end, or else first asked; `good`:
    seconds from then on for which that is up to date."""

    at: float
    good: float

    def stale(self, now: float) -> bool:
        return now - self.at > self.good


class Manager(Protocol):
    """A provider's client for one `[[inventory]]` entry."""

    def held(self) -> AsyncIterator[HeldSecret]:
        """All that it holds, page by page. Raises ServiceError: what was given before is then not the whole."""

    async def doctor(self) -> list[str]:
        """What is wrong with the entry's access, a sentence each: too little, or more than it needs."""

    async def close(self) -> None: ...


class Rotator(Protocol):
    """The same with a credential that may have the provider make new values."""

    async def rotate(self, name: str, version: str, tries: int, /) -> str:
        """Have it make a new value of the secret of this name, asked for once. Returns what it does now, in words.
        `version`: the one that is to go, as the inventory knows it; nothing is sent where it is not in use any more.
        `tries`: how often it was asked for in place of that one before; each of them is a request of its own.

        Raises NoEffectError, OvertakenError, and ServiceError where it may have been taken."""

    async def fit(self) -> list[str]:
        """What is wrong with the access of that credential, a sentence each."""

    async def close(self) -> None: ...
