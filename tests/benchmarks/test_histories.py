from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.histories import Release, author, build, compare, files, final, measure


def npm(path: Path, text: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, body in (("package/package.json", '{"author": "Ann <a@example.org>"}'), ("package/a b.js", text)):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body.encode()))
    return path


def git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_releases_become_commits_behind_those_that_they_followed(tmp_path: Path) -> None:
    """1.9.1 came out after 2.0.0, and is of the line before it."""
    releases = [
        Release(version, time, npm(tmp_path / f"{time}.tgz", f"text {time}\n"))
        for version, time in (((1, 9, 0), 10), ((2, 0, 0), 20), ((1, 9, 1), 30), ((2, 1, 0), 40))
    ]
    build(releases, tmp_path / "r")
    log = git(tmp_path / "r", "log", "--all", "--date-order", "--format=%an %at %s %P")
    names = {number: git(tmp_path / "r", "rev-parse", number) for number in ("1.9.0", "2.0.0")}
    assert log.splitlines() == [
        f"Ann 40 Release 2.1.0 {names['2.0.0']}",
        f"Ann 30 Release 1.9.1 {names['1.9.0']}",
        f"Ann 20 Release 2.0.0 {names['1.9.0']}",
        "Ann 10 Release 1.9.0",
    ]
    assert git(tmp_path / "r", "show", "main:a b.js") == "text 40"
    assert git(tmp_path / "r", "rev-parse", "main") == git(tmp_path / "r", "rev-parse", "2.1.0")


def test_of_a_wheel_what_the_registry_adds_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr("x/__init__.py", "text")
        wheel.writestr("x-1.dist-info/METADATA", "Name: x\nAuthor: Bo Doe\n\nabout it\n")
    assert [*files(tmp_path / "x.whl")] == [("x/__init__.py", b"text")]
    assert author(tmp_path / "x.whl") == "Bo Doe"


def test_the_newest_releases_for_everybody_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.histories.MOST", 3)
    assert final(["1.10.0", "1.9.0", "2.0.0-beta.1", "0.9-x", "1.2.0", "2.0.0rc1", "2.0.0"]) == [
        "1.9.0", "1.10.0", "2.0.0",
    ]  # fmt: skip


def test_each_tool_has_its_turn_and_the_least_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'import sys; print(\'{"a": 1}\\n{"findings":2}\\nno\'); sys.exit(1)'
    assert measure([sys.executable, "-S", "-c", script], tmp_path)[2] == 1
    with pytest.raises(SystemExit, match="ended with 3"):
        measure(["sh", "-c", "exit 3"], tmp_path)
    runs = iter([(2.0, 9.0, 1), (5.0, 1.0, 0), (1.0, 8.0, 1), (6.0, 2.0, 0)])
    monkeypatch.setattr("benchmarks.histories.measure", lambda line, _: next(runs) if line[-1] == "r" else None)
    monkeypatch.setattr("benchmarks.histories.tools", lambda _: {"one": ["REPOSITORY"], "two": ["-C", "REPOSITORY"]})
    assert [*compare(Path("r"), 2, tmp_path)] == [("one", 1.0, 8.0, 1), ("two", 5.0, 1.0, 0)]
