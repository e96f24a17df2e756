from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.config import Config, parse
from monitor.machine.limits import limits
from tests.monitor.machine.test_identity import unit


@pytest.fixture
def followed(tmp_path: Path) -> Config:
    """Thirty files in three folders, the journal, and a listener."""
    for folder in "abc":
        (tmp_path / folder).mkdir()
        for number in range(10):
            (tmp_path / folder / f"{number}.log").touch()
    return parse(
        f"[[sources]]\nname='f'\ntype='file'\ninclude=['{tmp_path}/*/*.log']\n[[sources]]\nname='j'\ntype='journal'\n"
        "[[sources]]\nname='s'\ntype='syslog'\nlisten=['tcp:127.0.0.1:0']\nmax_connections=100\n"
    )


def test_what_the_sources_need_is_held_against_what_the_unit_grants(followed: Config, tmp_path: Path) -> None:
    none = tmp_path / "none"  # a kernel that does not say
    assert list(limits(followed, unit("LimitNOFILE=400:1024"), none)) == []
    assert list(limits(followed, unit("LimitNOFILE=infinity"), none)) == []
    assert list(limits(followed, unit(""), none)) == []
    [files] = limits(followed, unit("LimitNOFILE=1024:256"), none)
    assert (files.kind, files.key) == ("notice", "host.files")
    assert "256 files may be open, and 30 followed files and 356 others need 386" in files.message
    assert "LimitNOFILE=65536" in str(files.mend)


def test_too_few_watches_and_instances_are_raised_by_sysctl(followed: Config, tmp_path: Path) -> None:
    for name, number in (("watches", 2), ("instances", 1)):
        (tmp_path / f"max_user_{name}").write_text(f"{number}\n")
    found = list(limits(followed, unit(""), tmp_path))
    folder = "/etc/sysctl.d"
    assert [each.mend for each in found] == [
        f"echo 'fs.inotify.max_user_watches = 8' > {folder}/60-exposure-monitor-watches.conf && sysctl --system",
        f"echo 'fs.inotify.max_user_instances = 4' > {folder}/60-exposure-monitor-instances.conf && sysctl --system",
    ]
    for name in ("watches", "instances"):
        (tmp_path / f"max_user_{name}").write_text("4\n")
    assert list(limits(followed, unit(""), tmp_path)) == []


def test_without_a_unit_the_limit_of_this_process_counts(followed: Config, tmp_path: Path) -> None:
    assert all(each.key == "host.files" for each in limits(followed, None, tmp_path))
