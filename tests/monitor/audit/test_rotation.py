from __future__ import annotations

from pathlib import Path

from monitor.audit.rotation import kept
from tests.monitor.audit.conftest import Make, write


async def test_a_schedule_alone_is_not_known_to_be_kept(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"docs/rotation.md": "Every 90 days.\n"})
    assert [one.verdict async for one in kept(make(tmp_path))] == ["pass", "unknown"]
    assert [one.verdict async for one in kept(make())] == ["fail", "unknown"]
