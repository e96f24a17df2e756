"""The door for text from outside: masked whole, and cut only then. Half of a secret is not known for one.

Where text comes in there are no rules, so nothing is cut there: `taken` keeps it whole, or says that it was too long.
Where it is kept or shown, `let_in` masks it and cuts it. A test looks for whatever else cuts text.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LABEL", "NAME", "PATH", "ROOM", "TOO_LONG", "let_in", "taken"]

ROOM = 1 << 14  # characters of a name, a label or a path that wait to be masked; the rules see all of them
TOO_LONG = "(withheld: too long to be searched for secrets)"
LABEL, NAME, PATH = 256, 300, 4096  # characters that are kept of a fact, of a title or a name, of a path


def taken(text: str | bytes) -> str:
    """`text` as it waits for the door: whole. Bytes are read as UTF-8, as far as they are that."""
    if len(text) > ROOM:
        return TOO_LONG
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def let_in(text: str, mask: Callable[[str], str], limit: int = LABEL) -> str:
    """At most `limit` characters of `text`, with its secrets masked by `mask`."""
    return mask(taken(text))[:limit]
