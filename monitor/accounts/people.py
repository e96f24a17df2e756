"""Who somebody is, whichever way they came: their name in the history, and what they may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from monitor.common.text import token_like

__all__ = ["PROGRAM", "ROLES", "Person", "Role", "higher", "named", "user_name"]

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


def named(text: str) -> bool:
    """Whether this can stand in the history as somebody's name."""
    return re.fullmatch(r"[\w.@+-]{1,64}", text) is not None and not token_like(text)


def user_name(text: str) -> str:
    """A name to sign in by, as it is stored. Raises ValueError, whose text does not repeat it."""
    name = text.strip().lower()
    if not (name.isascii() and named(name)):
        raise ValueError("a name is 1 to 64 of the letters a-z, digits and . _ @ + -")
    return name
