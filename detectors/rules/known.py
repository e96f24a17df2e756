"""Which rule is meant by an id that somebody gives."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from detectors.rules.gone import GONE, heir
from detectors.rules.load import elsewhere
from monitor.common.text import printable

__all__ = ["known_id"]


def known_id(rule_id: str, known: Collection[str]) -> str:
    """The id as it is now, of the rules that are `known`. Raises LookupError, whose text repeats the id and says what
    may have been meant."""
    if rule_id in known:
        return rule_id
    if (now := heir(rule_id)) in known:
        return now
    if (gone := GONE.get(rule_id)) is not None:
        now = gone.heir or gone.instead
        meant = f"; it went, and {now} finds what it found" if now else "; it went, and no other finds what it found"
    else:
        close = get_close_matches(rule_id, known, n=3)
        meant = elsewhere(rule_id) or (f"; did you mean {' or '.join(close)}?" if close else "")
    raise LookupError(f"no rule is called {printable(rule_id)!r}{meant}")
