from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.sources.file.rights import entered, mend, refusal, remedy
from tests.fakes.refused import refused

REFUSED = refused()
USER = pwd.getpwuid(os.geteuid()).pw_name


def test_a_file_whose_group_may_read_it_is_a_matter_of_joining(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch(mode=0o640)
    if os.geteuid() == 0:
        os.chown(log, -1, 4)
        assert remedy(str(log)).endswith(f"add adm to SupplementaryGroups= of the service, or usermod -aG adm {USER}")
    log.chmod(0o600)
    expected = f"its group may not either: setfacl -m u:{USER}:r on it, and setfacl -d -m u:{USER}:r on its folder"
    assert remedy(str(log)) == expected


def test_the_command_for_all_files_in_the_same_case(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("a b.log", "c.log"))
    for log in (first, second):
        log.touch(mode=0o600)
    given = "setfacl -m u:ada:r"
    assert mend([str(first), str(second)], "ada") == (f"{given} '{first}' {second} && setfacl -d -m u:ada:r {tmp_path}")
    if os.geteuid() == 0:
        first.chmod(0o640)
        os.chown(first, -1, 4)
        assert mend([str(first)], "ada") == "usermod -aG adm ada"
        assert "usermod -aG adm ada" in remedy(str(first), "ada")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of root's group")
def test_nobody_is_sent_into_the_group_of_root(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch(mode=0o640)
    assert "setfacl" in remedy(str(log))


@pytest.mark.skipif(REFUSED is None, reason="root may read everything")
def test_a_folder_on_the_way_that_is_closed_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0o600)
    assert entered(str(tmp_path / "not there"))
    code = "import sys; from monitor.sources.file.rights import *; path = sys.argv[1]"
    code += "; print(remedy(path)); print(mend([path], 'ada'), entered(path))"
    command = [*(REFUSED or ()), sys.executable, "-c", code, str(closed / "in" / "app.log")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    first, second = answer.stdout.splitlines()
    assert first == f"{USER} may not enter {closed}: setfacl -m u:{USER}:x {closed}"
    assert second == f"setfacl -m u:ada:x {closed} False"


def test_other_errors_are_told_as_they_are() -> None:
    assert refusal("/x", OSError(5, "Input/output error")) == "cannot be read: Input/output error"
    assert refusal("/x", None) == "cannot be read: unknown error"
    assert refusal("/nowhere/x", PermissionError(13, "Permission denied")).endswith(f"; let {USER} read it")
