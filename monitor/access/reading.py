"""What an audit record says, whatever system wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Outcome", "Reading"]

Outcome = Literal["read", "denied", "used"]  # the value was given; it was not; somebody showed it as a credential


@dataclass(frozen=True, slots=True)
class Reading:
    """Somebody got a secret, was refused it, or used it. Holds no value.

    `id`: the record's own, by which a repeat is known. `at`: seconds since 1970, by the clock of who wrote it.
    `names`: what was given together under the secret's name (keys of a KV secret). `marks`: what stands for the value
    in records (an HMAC, the id of an access key): public as they are, and kept as keyed hashes only.
    """

    id: str
    at: float
    secret: str
    principal: str
    outcome: Outcome = "read"
    names: tuple[str, ...] = ()
    address: str = ""
    agent: str = ""
    marks: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """What policies are asked about."""
        return tuple(f"{self.secret}#{name}" for name in self.names) or (self.secret,)
