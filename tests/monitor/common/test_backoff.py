from __future__ import annotations

from monitor.common.backoff import backoff


def test_backoff_doubles_is_capped_and_spread() -> None:
    for attempt, most in [(1, 1.0), (2, 2.0), (5, 16.0), (20, 300.0), (10_000, 300.0)]:
        waits = [backoff(attempt, 1.0, 300.0) for _ in range(200)]
        assert most / 2 <= min(waits) <= max(waits) <= most
        assert len(set(waits)) > 100
