from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from monitor.drill.append import append


def test_a_last_line_without_a_newline_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("DB_HOST=db1\nDB_NAME=app")
    assert append(path, "KEY=value") is None
    assert append(path, "KEY=other") is None
    assert path.read_text() == "DB_HOST=db1\nDB_NAME=app\nKEY=value\nKEY=other\n"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path / "pipe", "not a regular file"), (Path("/dev/null"), "not a regular file"),
                      (tmp_path, "directory"), (tmp_path / "absent/file", "No such file")):  # fmt: skip
        with pytest.raises(OSError, match=why):
            append(path, "a value")


def test_a_new_file_goes_again(tmp_path: Path) -> None:
    path = tmp_path / "new.log"
    made = append(path, "ä value", mode=0o600)
    assert made is not None
    assert path.read_text() == "ä value\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made.remove()
    assert not path.exists()
    made.remove()


@pytest.mark.parametrize("how", ["written to", "replaced", "replaced by one of the same size", "replaced by a link"])
def test_what_others_have_put_there_stays(tmp_path: Path, how: str) -> None:
    path = tmp_path / "app.log"
    made = append(path, "a value")
    assert made is not None
    if how == "written to":
        with path.open("a") as file:
            file.write("a line of the service\n")
    else:
        path.rename(tmp_path / "app.log.1")
        if how.endswith("link"):
            path.symlink_to(tmp_path / "app.log.1")
        else:
            path.write_text("a value\n" if "size" in how else "a line of the service\n")
    made.remove()
    assert path.exists()


def test_what_was_there_a_moment_before_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("")
    assert append(path, "a value") is None


def test_a_link_that_leads_nowhere_makes_nothing(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    for follow in (True, False):
        with pytest.raises(OSError, match=r"No such file|it is a link"):
            append(link, "a value", follow=follow)
    assert os.listdir(tmp_path) == ["link"]


def test_a_new_file_that_could_not_be_written_whole_is_gone(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)  # its signal is ignored: by Python, always
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
        with pytest.raises(OSError, match="too large"):
            append(tmp_path / "new.log", "a value")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []
