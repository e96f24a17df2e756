"""How bad it is: the five words, their order, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

__all__ = ["SEVERITIES", "Severity", "rank", "worst"]

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")  # ascending
_RANK: Mapping[str, int] = {severity: index for index, severity in enumerate(SEVERITIES)}


def rank(severity: Severity) -> int:
    """0 for info up to 4 for critical."""
    return _RANK[severity]


def worst(severities: Iterable[Severity]) -> Severity:
    """The highest of them; info when there are none."""
    return max(severities, key=rank, default="info")
