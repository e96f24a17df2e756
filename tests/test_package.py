"""The wheel as users get it: built, installed aside, and looked into."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from detectors.rules.load import builtin_packs
from monitor import __version__
from tests.detectors import texts

ROOT = Path(__file__).parent.parent
# Not code: what the packages read at run time.
DATA = ("*.toml", "*.html", "*.css", "*.js", "*.svg", "*.md", "*.txt")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    texts.rules()  # which sees to it that the checkout has them compiled
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Iterator[Path]:
    """Where everybody may read it, and none but who installs it may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        install(wheel, target := Path(folder) / "site")
        yield target


def install(wheel: Path, target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    pip.append("--no-compile")  # most of it is not imported
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True, umask=0o022)


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
    assert "monitor/machine/exposure-monitor.service" in inside  # and with --install
    compiled = sorted(Path(name).suffix for name in inside if name.startswith("detectors/compiled/"))
    assert compiled == [".hsdb", ".hsdb", ".hsdb", ".rules"]
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


def test_the_rules_come_compiled_whoever_runs_what_root_installed(installed: Path, tmp_path: Path) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(installed)!r})
import hyperscan, orjson, re2, unicodedata
from detectors.compile import plan
from detectors.match.engine import Engine
from detectors.rules import load, packfile
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
plan.make = packfile.load_file = packfile.load_pack = None
print(plan.__file__, os.geteuid(), len(Engine.build(load.load_rules()).rules))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, user, count = done.stdout.split()
    assert Path(where).is_relative_to(installed)
    assert int(user) == (os.geteuid() or 65534)
    assert int(count) == len(texts.rules())


def test_a_wheel_is_built_where_the_rules_cannot_be_compiled(tmp_path: Path) -> None:
    """As where the libraries for that are not installed: it works without them, as a start compiles, too."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    said: list[str] = []
    app = SimpleNamespace(display_warning=said.append)
    hook = module.CompiledRules(str(tmp_path), {}, None, None, str(tmp_path), "wheel", app)
    (tmp_path / "detectors").mkdir()
    (tmp_path / "detectors" / "__init__.py").touch()  # in place of ours
    hook.initialize("standard", data := {"force_include": {}})
    hook.finalize("standard", data, "x.whl")
    assert data == {"force_include": {}}
    assert "No module named" in said[0]
    hook.initialize("editable", data)
    hook.finalize("editable", data, "x.whl")
    assert (data, len(said)) == ({"force_include": {}}, 1)


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
    assert answer.stdout == f"exposure-monitor {__version__}\n"
    (about,) = installed.glob("*.dist-info")  # of which clients of HTTP say the version
    assert about.name == f"exposure_monitor-{__version__}.dist-info"
