from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.workers import compare, fill, runs, scans


@pytest.mark.parametrize("real", [False, True])
def test_so_many_files_of_so_many_bytes_begin_at_different_lines(tmp_path: Path, real: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.log").write_bytes(b"".join(b"line %d\n" % number for number in range(99)))
    fill(tmp_path / "logs", 100_000, 5, tmp_path / "real" if real else None)
    files = sorted((tmp_path / "logs").rglob("*.log"))
    assert [path.stat().st_size for path in files] == [20_000] * 5
    assert len({path.read_bytes()[:200] for path in files}) == 5
    assert {path.parent.name for path in files} == {"0", "1"}


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \*\.log"):
        fill(tmp_path / "logs", 1000, 2, tmp_path)


def test_all_ways_of_reading_are_measured_and_the_least_of_each_counts(tmp_path: Path) -> None:
    ways = {"one", "two", "apart", "start"}
    assert set(scans(tmp_path)) == set(runs(tmp_path)) == ways
    calls: list[str] = []
    best = compare({name: lambda name=name: calls.append(name) for name in ways}, 3)  # type: ignore[misc]
    assert sorted(calls) == sorted([*ways] * 3)
    assert all(0 <= wall < math.inf and 0 <= cpu < math.inf for wall, cpu in best.values())
