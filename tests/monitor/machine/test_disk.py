from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.machine.disk import disk, writable


def mounts(folder: Path, kind: str) -> Path:
    """A table of mounts in which the folder lies on such a file system."""
    device = folder.stat().st_dev
    table = folder / "mountinfo"
    number = f"{os.major(device)}:{os.minor(device)}"
    rows = ("0:0 / /proc rw - proc proc rw", f"{number} / / rw shared:1 - {kind} server:/x rw")
    table.write_text("".join(f"1 1 {row}\n" for row in rows))
    return table


def test_a_database_is_not_kept_whole_by_the_locks_of_a_server(tmp_path: Path) -> None:
    [found] = (each for each in disk(tmp_path, sqlite=True, mounts=mounts(tmp_path, "nfs4")) if "nfs4" in each.message)
    assert (found.kind, found.key) == ("environment", "host.disk")
    assert "PostgreSQL" in found.message
    assert not [each for each in disk(tmp_path, sqlite=False, mounts=tmp_path / "mountinfo") if "nfs4" in each.message]


@pytest.mark.parametrize(("kind", "when"), [("tmpfs", "at a restart"), ("overlay", "when the container does")])
def test_what_does_not_last_is_a_note(tmp_path: Path, kind: str, when: str) -> None:
    found = [each for each in disk(tmp_path, sqlite=True, mounts=mounts(tmp_path, kind)) if kind in each.message]
    assert [(each.kind, when in each.message) for each in found] == [("notice", True)]
    assert not [
        each for each in disk(tmp_path, sqlite=True, mounts=mounts(tmp_path, "ext4")) if "lies on" in each.message
    ]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 8 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_disk_that_is_full_or_read_only_is_found_by_writing(small: Path) -> None:
    assert writable(small) is None
    [lasting, room] = disk(small, sqlite=True)
    assert "at a restart" in lasting.message
    assert (room.kind, room.message) == ("environment", f"{small}: 8 MiB are free")
    assert str(small) in str(room.mend)
    (small / "fill").write_bytes(bytes(8 << 20))
    assert writable(small) == f"{small}: No space left on device"
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    assert writable(small) == f"{small}: Read-only file system"
    assert [path.name for path in small.iterdir()] == ["fill"], "nothing is left of the try"


def test_a_quota_is_found_by_writing(tmp_path: Path) -> None:
    program = "import sys; from monitor.machine.disk import writable; print(writable(sys.argv[1]))"
    program = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {program}"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.stdout == f"{tmp_path}: File too large\n"
