"""The wheel as users get it: built, installed aside, and looked into."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from detectors.rules.load import builtin_packs

ROOT = Path(__file__).parent.parent
# Not code: what the packages read at run time.
DATA = ("*.toml", "*.html", "*.css", "*.js", "*.svg", "*.md", "*.txt")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def test_every_file_the_packages_read_is_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT))
        for package in ("monitor", "detectors", "sinks")
        for pattern in (*DATA, "*.py")
        for path in (ROOT / package).rglob(pattern)
    }
    assert expected
    assert expected - inside == set()
    assert any(name.startswith("detectors/packs/") for name in inside)
    assert "monitor/config.example.toml" in inside  # what `monitor init` writes
    assert not any(name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name for name in inside)


def test_the_installed_monitor_finds_its_packs(installed: Path, tmp_path: Path) -> None:
    code = (
        "import detectors.rules.load, monitor; from pathlib import Path;"
        "print(Path(monitor.__file__).parent.parent);"
        "print(len(detectors.rules.load.builtin_packs()), len(detectors.rules.load.load_rules(['vcs'])))"
    )
    # -P: the folder it is started from is not on the path; the target comes first.
    answer = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, packs, count = answer.stdout.split()
    assert Path(where) == installed
    assert int(packs) == len(builtin_packs())
    assert int(count) > 0


def test_the_command_starts(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "monitor"
    answer = subprocess.run(
        [sys.executable, str(script), "--version"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("exposure-monitor ")
