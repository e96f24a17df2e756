from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config.config import load
from monitor.machine.install import Installation, InstallError, Step, program, unfit
from monitor.machine.unit import PACKAGED, UNIT, rendered

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
PROGRAM = Path("/opt/exposure-monitor/bin/monitor")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bare system."""
    for folder in ("etc", "var/log", "usr/lib/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nadm:x:4:\n")
    (tmp_path / "var/log/syslog").touch()
    return tmp_path


def plan(root: Path) -> list[Step]:
    installation = Installation(root, PROGRAM, live=False)
    assert installation.refused() == []
    return installation.steps(installation.logs())


def do(root: Path) -> list[str]:
    """Does what there is to do; returns what that was."""
    needed = [step for step in plan(root) if step.needed]
    for step in needed:
        step.do()
    return [step.what for step in needed]


def modes(root: Path, *paths: str) -> list[str]:
    return [f"{stat.S_IMODE((root / path).stat().st_mode):o} {(root / path).stat().st_uid}" for path in paths]


def test_a_plan_changes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    steps = plan(root)
    assert sorted(root.rglob("*")) == before
    assert all(step.needed and step.why and step.command for step in steps)
    assert len(steps) == 8


@ROOT_ONLY
def test_all_of_it_is_done_once_and_what_is_there_is_kept(root: Path) -> None:
    assert len(do(root)) == 8
    state = "var/lib/exposure-monitor"
    key = root / "etc/exposure-monitor/credentials/fingerprint-key"
    config = root / "etc/exposure-monitor/config.toml"
    unit = root / "etc/systemd/system" / UNIT
    user = (root / state).stat().st_uid
    assert user > 0
    folders = ("etc/exposure-monitor", "etc/exposure-monitor/credentials", state)
    assert modes(root, *folders) == ["755 0", "750 0", f"700 {user}"]
    files = [str(path.relative_to(root)) for path in (key, config, unit)]
    assert modes(root, *files) == [f"600 {user}", "640 0", "644 0"]
    assert config.stat().st_gid == (root / state).stat().st_gid
    assert len(key.read_text()) == 65
    assert [source.type for source in load(config).sources] == ["file"]
    assert "SupplementaryGroups=adm\n" in unit.read_text()
    assert os.readlink(root / f"etc/systemd/system/multi-user.target.wants/{UNIT}") == f"/etc/systemd/system/{UNIT}"

    config.write_text("# mine\n")
    there = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert do(root) == []
    assert {path: path.read_bytes() for path in there} == there
    assert {path for path in root.rglob("*") if path.is_file()} == there.keys(), "nothing is left lying about"


@ROOT_ONLY
def test_a_unit_that_differs_is_shown_and_put_aside_and_a_key_is_never_made_again(root: Path) -> None:
    do(root)
    unit, key = root / "etc/systemd/system" / UNIT, root / "etc/exposure-monitor/credentials/fingerprint-key"
    older = unit.read_text().replace("WatchdogSec=30", "WatchdogSec=99")
    first = key.read_text()
    for name in ("replaced", "replaced1"):
        unit.write_text(older)
        [step] = (step for step in plan(root) if step.needed)
        assert {"-WatchdogSec=99", "+WatchdogSec=30"} <= {*step.more}
        assert "is put aside" in step.why
        step.do()
        assert "WatchdogSec=30" in unit.read_text()
        assert (unit.parent / f"{UNIT}.{name}").read_text() == older
    key.unlink()
    steps = {step.what: step for step in plan(root)}
    makes = steps[f"key {key}"]
    key.write_text(first)  # somebody puts the copy back in between
    makes.do()
    assert key.read_text() == first


@pytest.mark.parametrize("folder", PACKAGED)
def test_a_package_is_not_installed_over(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / UNIT).touch()
    [reason] = Installation(root, PROGRAM, live=False).refused()
    assert "a package has installed the service" in reason


@pytest.mark.parametrize(
    ("path", "what", "said"),
    [
        (f"etc/systemd/system/{UNIT}", "another", "starts another program"),
        (f"etc/systemd/system/{UNIT}", "mask", "unmask"),
        ("etc/exposure-monitor", "file", "has to be a folder"),
        ("etc/exposure-monitor/config.toml", "folder", "has to be a file"),
        ("etc/exposure-monitor/credentials", "file", "has to be a folder"),
        ("etc/exposure-monitor/credentials/fingerprint-key", "folder", "has to be a file"),
        ("var/lib/exposure-monitor", "dangling", "has to be a folder"),
        ("etc/passwd", "root", "is root by another name"),
    ],
)
def test_what_is_foreign_and_in_our_place_is_left_there(root: Path, path: str, what: str, said: str) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if what == "folder":
        place.mkdir()
    elif what in ("mask", "dangling"):
        place.symlink_to("/dev/null" if what == "mask" else "/nowhere")
    else:
        user = "exposure-monitor:x:0:0::/:/bin/sh\n"
        place.write_text(user if what == "root" else "[Service]\nExecStart=/usr/bin/exposure-monitor\n")
    [reason] = Installation(root, PROGRAM, live=False).refused()
    assert said in reason


@pytest.fixture
def small(root: Path) -> Iterator[Path]:
    """A system whose /etc is a disk of 64 KiB."""
    place = root / "etc"
    kept = {path.name: path.read_text() for path in place.iterdir()}
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may not mount")
    for name, text in kept.items():
        (place / name).write_text(text)
    yield root
    subprocess.run(["umount", place], check=True)


@ROOT_ONLY
def test_a_disk_that_is_full_is_told_before_and_what_fails_meanwhile_leaves_nothing_half_done(small: Path) -> None:
    [reason] = Installation(small, PROGRAM, live=False).refused()
    assert "less than 4 MiB free" in reason
    installation = Installation(small, PROGRAM, live=False)
    *steps, unit, _ = installation.steps([])
    for step in steps:
        step.do()
    with contextlib.suppress(OSError):
        (small / "etc/fill").write_bytes(bytes(1 << 20))
    (small / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    with pytest.raises(OSError, match="No space left"):
        unit.do()
    assert list((small / "etc/systemd/system").iterdir()) == []
    assert len((small / "etc/exposure-monitor/credentials/fingerprint-key").read_text()) == 65


@ROOT_ONLY
def test_a_tool_that_fails_is_named_with_what_it_said(root: Path) -> None:
    (root / "etc/group").unlink()
    (root / "etc/group").mkdir()
    account = Installation(root, PROGRAM, live=False)
    with pytest.raises((InstallError, OSError)):
        account.steps([])[0].do()


def test_it_can_be_taken_back(root: Path) -> None:
    undo = Installation(root, PROGRAM, live=False).undo()
    assert undo[0] == f"systemctl --root={root} disable exposure-monitor"
    assert "keep a copy" in undo[-1]
    assert "systemctl daemon-reload" in Installation(Path("/"), PROGRAM, live=True).undo()


def test_the_program_is_the_one_of_this_python() -> None:
    assert program() == Path(sys.executable).with_name("monitor")


def test_a_python_that_the_service_could_not_run_is_refused() -> None:
    for place in ("/home/ada/.venv/bin/monitor", "/run/user/7/venv/bin/monitor", "/tmp/venv/bin/monitor"):
        assert "the service sees nothing below /home" in str(unfit(Path(place), Path("/usr/bin/python3")))
    assert "sees nothing below" in str(unfit(Path("/bin/sh"), Path("/home/ada/.pyenv/bin/python3")))
    assert "/nowhere" in str(unfit(Path("/nowhere/monitor"), Path("/bin/sh")))


@ROOT_ONLY
def test_a_python_that_only_root_can_run_is_refused() -> None:
    with tempfile.TemporaryDirectory(dir="/var/lib") as folder:
        python = Path(folder, "python")
        python.write_text("#!/bin/sh\nexit $(( $(id -u) != 65534 ))\n")
        for mode, fits in ((0o755, True), (0o700, False)):
            Path(folder).chmod(0o755)
            python.chmod(mode)
            why = unfit(Path("/bin/sh"), python)
            assert (why is None) == fits


def test_the_unit_in_force_is_known_again(root: Path) -> None:
    place = root / "etc/systemd/system" / UNIT
    place.parent.mkdir(parents=True)
    place.write_text(rendered(PROGRAM, ["adm"]))
    [unit] = (step for step in plan(root) if step.what.startswith("unit "))
    assert not unit.needed
