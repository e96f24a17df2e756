"""What the packages are made of, as far as that is seen without `make packages` and `make systemd`."""

from __future__ import annotations

import configparser
import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from monitor.cli import COMMANDS
from monitor.config.config import load

ROOT = Path(__file__).parent.parent
PARTS = ROOT / "packaging"


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of packaging/, which is no package."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", PARTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(made := importlib.util.module_from_spec(spec))
    return made


def test_the_configuration_that_is_installed_watches_and_alerts() -> None:
    config = load(PARTS / "config.toml")
    assert config.state_dir == Path("/var/lib/exposure-monitor")
    assert config.monitor.fingerprint_key is not None
    assert config.monitor.fingerprint_key.reference == "credential:fingerprint-key"
    assert {source.type for source in config.sources} == {"journal", "file"}
    assert [sink.type for sink in config.sinks] == ["console"]


def test_the_unit_runs_as_a_user_that_is_made_and_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "systemd/exposure-monitor.service").read_text(encoding="utf-8")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read_string(module("tree", monkeypatch).packaged(text))
    assert unit["Service"]["User"] == "exposure-monitor"
    assert "DynamicUser" not in unit["Service"]
    groups = re.findall(r"^m exposure-monitor (\S+)", (PARTS / "sysusers.conf").read_text(), re.MULTILINE)
    assert groups == unit["Service"]["SupplementaryGroups"].split()  # also where a command runs as the user
    with pytest.raises(SystemExit, match="DynamicUser=yes"):
        module("tree", monkeypatch).packaged(text.replace("DynamicUser=yes", "User=someone"))


def test_the_locks_name_what_is_installed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = module("tree", monkeypatch)
    named = re.findall(r"^([\w-]+)(?:\[\w+\])?==", tree.locks(ROOT, r"(?:yarl|psycopg)(?![\w.-])"), re.MULTILINE)
    assert named == ["yarl", "psycopg", "psycopg-binary"]
    assert tree.locks(ROOT, "yarl").count("--hash=sha256:") > 10


@pytest.mark.parametrize("script", [*sorted(path.name for path in PARTS.glob("deb.*")), "setup.sh", "rpm.pre"])
def test_a_shell_understands_the_scripts(script: str) -> None:
    text = (PARTS / script).read_text(encoding="utf-8")
    text = text.replace("@CHECKS@", (PARTS / "checks.sh").read_text(encoding="utf-8"))
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_command_has_its_man_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module("manual", monkeypatch).main(tmp_path)
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert pages.keys() == {"monitor.1", *(f"monitor-{name}.1" for name in COMMANDS)}
    assert all(f"monitor\\-{name.replace('-', chr(92) + '-')}\\fR(1)" in pages["monitor.1"] for name in COMMANDS)
    assert ".SH MONITOR INCIDENTS ACK\n" in pages["monitor-incidents.1"]
    assert re.search(r"\.TP\n\\fB\\-y, \\-\\-yes\\fR\nDo not ask\.", pages["monitor-incidents.1"])
    for name, page in pages.items():
        requests = set(re.findall(r"^[.'](\S*)", page, re.MULTILINE))
        assert requests <= {"TH", "SH", "TP", "PP", "B", "nf", "fi"}, name


def test_a_tree_that_costs_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = module("tree", monkeypatch)
    (tmp_path / "a").write_bytes(b"x" * 1_000_001)
    tree.weighed(tmp_path)
    for limits in ({"files": 0}, {"megabytes": 1}):
        with pytest.raises(SystemExit, match="1 files with 1000001 bytes"):
            tree.weighed(tmp_path, **limits)
    assert tree.FILES <= 2_250
    assert tree.MEGABYTES <= 90
