from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.mask import delays, through
from tests.detectors import texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a configuration of a few rules, which are compiled already."""
    cache = texts.warm()
    assert cache is not None
    shutil.copytree(cache, tmp_path / "cache")
    (tmp_path / "config.toml").write_text(
        '[monitor]\nstate_dir = "."\n[http]\nlisten = ""\n[rules]\npacks = ["vcs/github"]\n'
    )
    return tmp_path


def test_all_files_go_through(folder: Path) -> None:
    (folder / "logs").mkdir()
    for number in range(3):
        (folder / f"logs/{number}.log").write_bytes(b"line %d\n" % number * 9999)
    assert through(folder, folder / "logs", folder / "clean") > 0
    assert (folder / "clean").read_bytes() == b"".join(b"line %d\n" % number * 9999 for number in range(3))


def test_a_failure_is_told(folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs/a.log").write_text("a line\n")
    (folder / "config.toml").write_text("[what]\n")
    with pytest.raises(SystemExit, match="ended with 78"):
        through(folder, folder / "logs", folder / "clean")
    with pytest.raises(SystemExit, match="ended with 78"):
        delays(folder, 1)


def test_each_line_is_waited_for_and_the_tenth_is_masked(folder: Path) -> None:
    took = delays(folder, 3)
    assert len(took) == 3
    assert min(took) > 0
