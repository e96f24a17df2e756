"""An incident as the store keeps it, for tests that need no store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monitor.domain.incidents import Incident

__all__ = ["stored_incident"]


def stored_incident(id_: str, **changes: Any) -> Incident:
    made = Incident(
        id=id_,
        fingerprint=id_,
        rule="github-pat",
        name="GitHub token",
        severity="high",
        confidence="high",
        state="open",
        masked="ghp_…",
        first_seen=1.0,
        last_seen=2.0,
        occurrences=1,
    )
    return replace(made, **changes)
