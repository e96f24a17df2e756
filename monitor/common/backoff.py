"""How long to wait before the next try: one formula for everything that is tried again."""

from __future__ import annotations

import random

__all__ = ["backoff"]


def backoff(attempt: int, first: float, longest: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1): doubling, capped, spread over the upper half."""
    whole = min(longest, first * 2.0 ** min(max(attempt, 1) - 1, 40))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 # jitter
