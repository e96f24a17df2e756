"""Every one of 200 secrets reaches the webhook among 100 other files; how fast is reported, not asserted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import latency
from tests.detectors import texts


@pytest.mark.slow
async def test_every_secret_arrives(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    texts.lend(tmp_path / "state" / "cache")
    times = sorted(await latency.measure(tmp_path, quiet=100, writes=200))
    assert len(times) == 200
    record_property("p50_ms", round(times[100] * 1e3, 1))
    record_property("p99_ms", round(times[197] * 1e3, 1))
    print(f"p50 {times[100] * 1e3:.1f} ms, p99 {times[197] * 1e3:.1f} ms")
