"""Who somebody is, whichever way they came: their name in the history, and what they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["PROGRAM", "ROLES", "Person", "Role", "higher"]

# Each may what those before it may: look; act on incidents; run what takes a secret back, and decide about people.
Role = Literal["viewer", "responder", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
# Before the name of a token of the API in the history: nobody has a stroke in theirs.
PROGRAM = "api/"


@dataclass(frozen=True, slots=True)
class Person:
    """`name`: as the history has it."""

    name: str
    role: Role


def higher(*roles: Role | None) -> Role | None:
    """The one of them that may most; None: none of them is any."""
    return max((role for role in roles if role), key=ROLES.index, default=None)
