from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from monitor.machine.accounts import account, commands, groups_there, sysusers

GROUPS = "root:x:0:\nadm:x:4:syslog\nsystemd-journal:x:999:\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with a user and three groups."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tmp_path / "etc/group").write_text(GROUPS)
    return tmp_path


def test_a_system_without_a_user_and_with_one(root: Path) -> None:
    assert account(root) is None
    assert account(root / "empty") is None
    assert groups_there(root) == ("adm", "systemd-journal")
    (root / "etc/passwd").write_text("exposure-monitor:x:995:994::/var/lib/exposure-monitor:/sbin/nologin\n")
    (root / "etc/group").write_text("adm:x:4:syslog,exposure-monitor\n")
    assert account(root) == (995, 994, ("adm",))
    assert groups_there(root) == ("adm",)


def test_of_this_host_the_name_service_is_asked() -> None:
    here = {group.gr_name for group in grp.getgrall()}
    assert groups_there(Path("/")) == tuple(name for name in ("adm", "systemd-journal") if name in here)
    there = account(Path("/"))
    assert (there is not None) == ("exposure-monitor" in {user.pw_name for user in pwd.getpwall()})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
@pytest.mark.parametrize("tool", ["systemd-sysusers", "useradd"])
def test_the_tools_of_the_system_make_it_once(root: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    if tool == "useradd":  # of a system without systemd
        programs = root / "bin"
        programs.mkdir()
        for name in ("useradd", "usermod"):
            (programs / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(programs))
    for _ in range(2):
        told = sysusers(root, groups_there(root))
        assert (told is not None) == (tool == "systemd-sysusers")
        if told is not None:
            told[0].parent.mkdir(exist_ok=True)
            told[0].write_text(told[1])
        for command in commands(root, groups_there(root)):
            subprocess.run(command, check=True, capture_output=True)
        made = account(root)
        assert made is not None
        assert made.uid > 0
        assert made.groups == ("adm", "systemd-journal")
    assert (root / "etc/passwd").read_text().count("\nexposure-monitor:") == 1
