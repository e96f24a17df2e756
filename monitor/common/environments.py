"""Environments by the names that people give them: `prod`, `live` and `eu-production` are one."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["environment_of", "known_as"]

_KNOWN = {
    "production": ("production", "prod", "prd", "live"),
    "staging": ("staging", "stage", "stg", "preprod", "pre-prod", "pre-production", "uat"),
    "development": ("development", "develop", "dev", "local"),
    "test": ("test", "testing", "ci", "qa"),
    "preview": ("preview",),
    "not production": ("nonprod", "non-prod", "nonproduction", "non-production"),
}
_NAMES = {word: name for name, words in _KNOWN.items() for word in words}
_WORD = re.compile(r"(?:(?:non|pre)-)?[^._-]+")


def known_as(name: str) -> str:
    """One name for all that mean the same environment; of any other its own, in lower case."""
    return _NAMES.get(name.lower(), name.lower())


def environment_of(path: str) -> str | None:
    """The environment that a path or a name tells: by its last part, else by its folders, the nearest first."""
    pieces = (piece for part in path.lower().split("/")[::-1] for piece in _pieces(part))
    return next((_NAMES[piece] for piece in pieces if piece in _NAMES), None)


def _pieces(part: str) -> Iterator[str]:
    """The whole of a part before what it is made of, the last first: `pre-production` is not production."""
    yield part
    yield from _WORD.findall(part)[::-1]
