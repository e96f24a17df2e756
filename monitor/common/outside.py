"""The door for text from outside: masked whole, and cut only then. Half of a secret is not known for one.

Where text comes in there are no rules, so nothing is cut there: `taken` keeps it whole, or says that it was too long.
Where it is kept or shown, `let_in` masks it and cuts it. A test looks for whatever else cuts text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "LABEL",
    "NAME",
    "PATH",
    "ROOM",
    "TOO_LONG",
    "at",
    "instant",
    "let_in",
    "listed",
    "number",
    "tables",
    "taken",
    "text",
    "when",
]

ROOM = 1 << 14  # characters of a name, a label or a path that wait to be masked; the rules see all of them
TOO_LONG = "(withheld: too long to be searched for secrets)"
_MANY = 1000  # entries of a list
LABEL, NAME, PATH = 256, 300, 4096  # characters that are kept of a fact, of a title or a name, of a path


def taken(text: str | bytes) -> str:
    """`text` as it waits for the door: whole. Bytes are read as UTF-8, as far as they are that."""
    if len(text) > ROOM:
        return TOO_LONG
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def let_in(text: str, mask: Callable[[str], str], limit: int = LABEL) -> str:
    """At most `limit` characters of `text`, with its secrets masked by `mask`."""
    return mask(taken(text))[:limit]


# Fields of an answer or a record that anybody may have written: there or not, of any type.


def at(record: Any, *path: str) -> Any:
    """What lies there; None where the way ends before."""
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def text(record: Any, *path: str) -> str:
    """The text there, as it waits for the door; empty for anything else."""
    value = at(record, *path)
    return taken(value) if isinstance(value, str) else ""


def number(record: Any, *path: str) -> int:
    """The id or the count there, from 1 on; 0 for anything else."""
    value = at(record, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def instant(value: object) -> float | None:
    """Seconds since 1970 of a time as providers write it: RFC 3339 or a number of seconds; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def when(record: Any, *path: str) -> float | None:
    """The time there, written as RFC 3339, in seconds since 1970; None for anything else. Without a zone it is UTC."""
    value = text(record, *path)
    moment = instant(value) if "T" in value else None
    return moment if moment is not None and 0 <= moment < 2**33 else None


def listed(record: Any, *path: str) -> Sequence[Any]:
    """The list there, of at most a thousand; empty for anything else."""
    value = at(record, *path)
    return value[:_MANY] if isinstance(value, list) else ()


def tables(record: Any, *path: str) -> Sequence[Mapping[str, Any]]:
    """The tables of a list there."""
    return [one for one in listed(record, *path) if isinstance(one, Mapping)]
