from __future__ import annotations

from monitor.common.severity import SEVERITIES, rank, worst


def test_severities_are_ordered() -> None:
    assert sorted(["critical", "info", "high", "low", "medium"], key=rank) == list(SEVERITIES)  # type: ignore[arg-type]
    assert worst(["low", "high", "medium"]) == "high"
    assert worst([]) == "info"
