"""Incidents that keep coming in one shape: the first few are told by themselves, then all that follow in one thread.

Pure: what is looked at is what the store keeps of an incident, and no secret is in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from monitor.common.severity import Severity

__all__ = ["ALONE", "FOLD", "PERIOD", "Fold", "FoldCount", "count", "field_of", "fold_key", "shape_of"]

FOLD = "fold:"  # start of the keys of such threads
ALONE = 5  # of a shape that are told by themselves
PERIOD = 86_400.0  # seconds without one more after which a shape is news again

# The name before a value: `password=`, `"password": "`, `--password `, `PASSWORD\":\"`.
_FIELD = re.compile(r"([A-Za-z_][\w.\-]{0,63})[\"'`\]\\]{0,4}\s{0,4}(?:=>|[:=]{1,2}|\s)\s{0,4}[\"'`\\]{0,4}$")
_VARIES = re.compile(r"\b(?=\w*\d)\w+\b|…+|\*{2,}")  # what has a digit, and what is hidden
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class FoldCount:
    """Of one shape and sink. `alone`: told by themselves since `since`; `folded_at`: when the thread was last told."""

    alone: int
    since: float
    folded_at: float | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """What becomes of one more, and why. `counted`: with it."""

    reason: Literal["first", "few", "again", "many"]
    counted: FoldCount

    @property
    def folds(self) -> bool:
        return self.reason == "many"


def count(counted: FoldCount | None, now: float) -> Fold:
    """One more of the shape: by itself, or into the thread of those before it."""
    if counted is None:
        return Fold("first", FoldCount(1, now))
    last = max(counted.since, counted.folded_at or 0.0)
    if not 0 <= now - last < PERIOD:  # also after a clock that was put back: rather too much is told
        return Fold("again", FoldCount(1, now, counted.folded_at))
    if counted.alone < ALONE:
        return Fold("few", FoldCount(counted.alone + 1, now, counted.folded_at))
    return Fold("many", counted)


def field_of(context: str | None, masked: str) -> str:
    """The name that the secret stands behind in its line, or nothing."""
    before, there, _ = (context or "").partition(masked) if masked else ("", "", "")
    field = _FIELD.search(before) if there else None
    return field[1] if field else ""


def shape_of(context: str | None, masked: str) -> str:
    """The name before the secret, else its line without what varies; empty where no line is kept.

    `context`: the line as the store keeps it, everything that is or may be a secret hidden in it.
    """
    if not context:
        return ""
    if field := field_of(context, masked):
        return f"field {field.lower()}"
    before, _, behind = context.partition(masked) if masked else (context, "", "")
    return "line " + _SPACE.sub(" ", _VARIES.sub("#", f"{before}…{behind}")).strip().lower()


def fold_key(rule: str, source: str, severity: Severity, shape: str) -> str:
    """Opaque and short, as it becomes PagerDuty's dedup_key. The severity is in it: the worse keep a thread apart."""
    values = json.dumps([rule, source, severity, shape])
    return FOLD + hashlib.sha256(values.encode("utf-8", "backslashreplace")).hexdigest()[:24]
