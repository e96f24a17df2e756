"""Why a rotation is asked for, as routes, reports and the history have it."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RotationReason"]

_WORDS = {
    "dependency": "a dependency that could read it has changed",
    "shared": "it was known to others, or in use elsewhere",
    "departure": "somebody who knew it has left",
    "policy": "a policy asks for it",
}


class RotationReason(StrEnum):
    dependency = "dependency"
    shared = "shared"
    departure = "departure"
    policy = "policy"

    @property
    def words(self) -> str:
        return _WORDS[self.value]
