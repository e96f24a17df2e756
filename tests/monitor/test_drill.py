from __future__ import annotations

from pathlib import Path

import pytest

from monitor.drill import DrillError, place, plant
from monitor.sources.file.source import FileConfig


def source(*include: str, **changes: object) -> FileConfig:
    return FileConfig.model_validate({"name": "logs", "type": "file", "include": list(include), **changes})


@pytest.mark.parametrize("pattern", ["*.log", "app-*.log", "sub/*.log", "*/app.log.?", "**/*.log", "**", "exact.log"])
def test_a_file_is_found_that_the_patterns_take(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    path = place(source(str(tmp_path / pattern)))
    assert path.is_relative_to(tmp_path)
    planted = plant(path, "value")
    assert planted.made
    assert path.read_text().endswith("nothing leaked: value\n")
    planted.remove()
    assert not path.exists()


def test_a_file_that_was_there_keeps_what_it_had_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("before\n")
    planted = plant(place(source(str(tmp_path / "*.log")), path), "value")
    planted.remove()
    assert path.read_text().splitlines()[0] == "before"


def test_where_nothing_can_be_planted_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(DrillError, match="does not follow") as wrong:
        place(source(str(tmp_path / "*.log"), exclude=["x.log"]), tmp_path / "x.log")
    assert wrong.value.hop == "planted"
    for pattern in ("absent/*.log", "[ab].log"):
        with pytest.raises(DrillError, match="--file"):
            place(source(str(tmp_path / pattern)))
    with pytest.raises(DrillError, match="No such file"):
        plant(tmp_path / "absent" / "x.log", "value")
