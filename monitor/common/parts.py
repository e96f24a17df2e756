"""Parts that a table names and that a configuration chooses by `type`: imported when first used."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

__all__ = ["UnknownTypeError", "part"]


class UnknownTypeError(ValueError):
    """A `type` that is not in the table. The message offers what was probably meant."""

    def __init__(self, kind: str, name: str, table: Mapping[str, str]) -> None:
        close = get_close_matches(name, table, n=2)
        meant = f"did you mean {' or '.join(close)}?" if close else f"known types: {', '.join(table)}"
        super().__init__(f"unknown {kind} type {name!r}: {meant}")


def part(table: Mapping[str, str], kind: str, name: str) -> Any:
    """What `table` names as "module:attribute" for `name`. Raises UnknownTypeError."""
    if name not in table:
        raise UnknownTypeError(kind, name, table)
    return resolve_name(table[name])
