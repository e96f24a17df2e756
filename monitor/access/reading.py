"""What an audit record says, whatever system wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BEARER", "Outcome", "Reading"]

Outcome = Literal["read", "denied", "used"]  # the value was given; it was not; somebody showed it as a credential

BEARER = "(bearer of a wrapping token)"  # a principal that has shown nothing else


@dataclass(frozen=True, slots=True)
class Reading:
    """Somebody got a secret, was refused it, or used it. Holds no value.

    `id`: the record's own, by which a repeat is known. `at`: seconds since 1970, by the clock of who wrote it.
    `names`: what was given together under the secret's name (keys of a KV secret). `marks`: what stands for the value
    in records (an HMAC, the id of an access key): public as they are, and kept as keyed hashes only.
    `wraps`, `unwraps`: the wrapping token, as records show it, that the answer was put behind or got by; which secret
    an answer that was got by one holds only the record of who put it there says. `counts`: it is about a secret of
    ours; else it is here for what it wraps.
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
    wraps: str = ""
    unwraps: str = ""
    counts: bool = True

    @property
    def items(self) -> tuple[str, ...]:
        """What policies are asked about."""
        return tuple(f"{self.secret}#{name}" for name in self.names) or (self.secret,)
